"""DALL-E: gyebo beside the public implementation in PyTorch, lucidrains/DALLE-pytorch, both sides in one run.

    pip install --target REFERENCE --no-deps dalle-pytorch==1.6.6 einops axial-positional-embedding rotary-embedding-torch
    python benchmarks/drawing.py REFERENCE [--work grid-16] [--rounds 5]

Works are equal sizes: width, layers, heads, places of the text, grid, codes, and a row, column or convolution in each layer as in
the paper. Two things are timed, each in a process of its own, in turn; medians, and a ratio above 1 means that gyebo is faster.

"sampling": `CANDIDATES` pictures of one text, all image tokens, each among the 128 most probable, without guidance, in float32.
The reference runs with `use_cache` and `optimize_for_inference`; as released it loses its cache where there is no guidance
(`forward_with_cond_scale` does not hand it on) and reads the whole sequence again for each token, so here it is handed on.
"training": forward, backward, clipping, fused AdamW, of texts that fill all places, in the precision
whose matrix products are faster here; the reference with its sparse attention, and with `optimize_for_inference`, where rows and
columns are masks of a full one. gyebo is compared with the faster one.

The reference's rotary positions, shifted tokens and `stable` are off, input and output matrix are one, as in gyebo. What still
differs: its feed-forward network has a gate, so gyebo's is half as wide again (6 x width), for the same number of parameters;
its layers have scales, and no bias for queries, keys and values; it has one output matrix for text and image tokens, with a
bias, at all places; a row sees its own row alone, not the previous one from its place on; and a convolution's window of 5 x 5
lies above and left of its place, for which gyebo's gets a kernel of 7, as many places. How many the last place sees is counted
on both sides, and column layers are compared in numbers, before anything is timed.
The image tokenizers of the reference are not imported: none is used. Writes benchmarks/results/drawing.json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any

import torch
from report import machine, store
from sides import Work, measure, stepper

from gyebo.data.streams import TOKENS
from gyebo.generation.drawing import DrawingOptions, draw
from gyebo.models.dalle import Attention, Dalle, DalleConfig, Run, kinds
from gyebo.nn.grid_attention import KINDS, Pattern
from gyebo.objectives.text_to_image import IMAGE, TextToImage
from gyebo.training.device import DTYPES, matmul_rate

CANDIDATES, TOP_K = 8, 128
NEEDED = {"sampling": 2.0, "training": 1.3}
NAMES = {"row": "axial_row", "column": "axial_col", "convolution": "conv_like"}
SHAPES = {
    # name: config, pictures of a training step
    "grid-16": (replace(Dalle.sizes["mini"], grid=16, kernel=7, inner=6 * 256), 8),
    "grid-32": (DalleConfig(8000, 64, 1024, 32, 256, 6, 4, kernel=7, inner=6 * 256), 2),
}


# ---- the reference


class NoTokenizer(torch.nn.Module):
    """Stands where the reference has an image tokenizer: pictures are their codes."""

    num_layers = 0

    def __init__(self, grid: int, codes: int):
        super().__init__()
        self.image_size, self.num_tokens = grid, codes

    def decode(self, codes: torch.Tensor) -> torch.Tensor:
        """The codes themselves."""
        return codes


def reference(folder: Path) -> ModuleType:
    """Its module `dalle_pytorch`, without what its package and its image tokenizers import."""
    if not (folder / "dalle_pytorch" / "dalle_pytorch.py").is_file():
        raise SystemExit(f"{folder}: no dalle_pytorch in it; install it as `python benchmarks/drawing.py --help` says")
    if "dalle_pytorch" not in sys.modules:
        sys.path.append(str(folder))
        package, tokenizers = ModuleType("dalle_pytorch"), ModuleType("dalle_pytorch.vae")
        package.__path__ = [str(folder / "dalle_pytorch")]
        vars(tokenizers).update(OpenAIDiscreteVAE=NoTokenizer, VQGanVAE=NoTokenizer)
        sys.modules |= {"dalle_pytorch": package, "dalle_pytorch.vae": tokenizers}
    return importlib.import_module("dalle_pytorch.dalle_pytorch")


def their_model(folder: Path, config: DalleConfig, *, masks: bool) -> Any:
    """The reference in the size of a config."""
    found = reference(folder)

    class Cached(found.DALLE):  # type: ignore[name-defined, misc]
        """Hands the cache on without guidance, too."""

        def forward_with_cond_scale(self, *args: Any, cond_scale: float = 1, **kwargs: Any) -> torch.Tensor:
            """The logits."""
            return self(*args, **kwargs)

    torch.manual_seed(0)
    return Cached(
        dim=config.width,
        vae=NoTokenizer(config.grid, config.image_codes),
        num_text_tokens=config.vocab_size,
        text_seq_len=config.context,
        depth=config.layers,
        heads=config.heads,
        dim_head=config.width // config.heads,
        attn_types=tuple(NAMES[kind] for kind in kinds(config.layers)),
        rotary_emb=False,
        shift_tokens=False,
        share_input_output_emb=True,
        optimize_for_inference=masks,
    )


def their_drawing(folder: Path, work: str) -> Work:
    """Its sampling."""
    config, _ = SHAPES[work]
    model = their_model(folder, config, masks=True)
    text = texts(config, 1).expand(CANDIDATES, -1)
    kept = 1 - (TOP_K + 0.5) / model.total_tokens

    def call() -> None:
        codes = model.generate_images(text.clone(), filter_thres=kept, use_cache=True)
        assert codes.shape == (CANDIDATES, config.image_tokens)

    return call


def their_training(folder: Path, work: str, precision: str, masks: bool) -> Work:
    """Its training step."""
    config, pictures = SHAPES[work]
    model = their_model(folder, config, masks=masks).train()
    text, image = texts(config, pictures), images(config, pictures)
    return stepper(model, lambda: model(text, image, return_loss=True), precision)


# ---- gyebo


def our_drawing(folder: Path, work: str) -> Work:
    """gyebo's sampling."""
    config, _ = SHAPES[work]
    model, text = our_model(config), texts(config, 1).tolist()
    options = DrawingOptions(candidates=CANDIDATES, top_k=TOP_K)

    def call() -> None:
        draw(model, text, options)

    return call


def our_training(folder: Path, work: str, precision: str) -> Work:
    """gyebo's training step."""
    config, pictures = SHAPES[work]
    model = our_model(config).train()
    image = images(config, pictures)
    objective = TextToImage({"train": image.numpy()}, None, 1 / 8, 0.0, config.start, config.context)
    batch = {"input_ids": texts(config, pictures), "image_ids": image}
    batch |= {TOKENS.document_ids: torch.ones_like(batch["input_ids"]), IMAGE.document_ids: torch.ones_like(image)}

    def loss() -> torch.Tensor:
        counts = objective.counts(batch)
        found: Any = objective.loss(model, batch)
        return sum(weight * total / counts[name] for name, (total, weight) in found.items())  # type: ignore[return-value]

    return stepper(model, loss, precision)


def our_model(config: DalleConfig) -> Dalle:
    """gyebo's model."""
    torch.manual_seed(0)
    return Dalle(config)


# ---- what both read


def texts(config: DalleConfig, count: int) -> torch.Tensor:
    """Texts that fill all places; 0 would be padding for the reference."""
    return torch.randint(1, config.vocab_size, (count, config.context), generator=torch.Generator().manual_seed(1))


def images(config: DalleConfig, count: int) -> torch.Tensor:
    """Codes of pictures."""
    return torch.randint(config.image_codes, (count, config.image_tokens), generator=torch.Generator().manual_seed(2))


# ---- how far they compute the same


@torch.no_grad()
def column_difference(folder: Path, config: DalleConfig) -> float:
    """The largest difference between the outputs of both column layers with the same weights."""
    ours, theirs = layers(folder, config, "column")
    theirs.to_qkv.weight.copy_(ours.qkv.weight), ours.qkv.bias.zero_()
    theirs.to_out[0].load_state_dict(ours.out.state_dict())
    x = torch.randn(2, config.text_places + config.image_tokens - 1, config.width)
    return float((ours(x, Run(config.text_places)) - theirs(x)).abs().max())


def layers(folder: Path, config: DalleConfig, kind: str) -> tuple[Attention, Any]:
    """The attention of a kind, gyebo's and the reference's."""
    ours = Attention(config, 0)
    ours.pattern = Pattern(kind, config.grid, config.kernel)
    reference(folder)
    found = importlib.import_module("dalle_pytorch.attention")
    options = {"seq_len": config.context + config.image_tokens, "image_size": config.grid, "heads": config.heads}
    options["dim_head"] = config.width // config.heads
    if kind == "convolution":
        return ours, found.SparseConvCausalAttention(config.width, **options)
    return ours, found.SparseAxialCausalAttention(config.width, axis=int(kind == "column"), **options)


@torch.no_grad()
def pairs(folder: Path, config: DalleConfig) -> dict[str, tuple[int, int]]:
    """Of each kind of layer how many places of the grid the last one sees by gyebo's pattern and by the reference's, found by
    changing each place."""
    small = replace(config, context=3, width=4, heads=1, inner=4, layers=1)
    x = torch.randn(1, small.text_places + small.image_tokens - 1, small.width)
    changed = x.repeat(small.image_tokens - 1, 1, 1)
    places = torch.arange(len(changed))
    changed[places, small.text_places + places] += 1
    found = {}
    for kind in KINDS:
        ours, theirs = layers(folder, small, kind)
        run = Run(small.text_places)
        seen = [sum(int((call(row[None]) != call(x))[0, -1].any()) for row in changed) for call in (partial(ours, run=run), theirs)]
        found[kind] = (seen[0], seen[1])
    return found


def main() -> None:
    """Compare, measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("reference", type=Path, metavar="REFERENCE")
    options.add_argument("--work", choices=list(SHAPES), action="append", help="by default all of them")
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    precision = max(DTYPES, key=lambda name: matmul_rate("cpu", name, seconds=1.0))
    cases = [case(given.reference, work, given.rounds, precision) for work in given.work or SHAPES]
    command = f"python benchmarks/drawing.py REFERENCE --rounds {given.rounds}"
    if given.work:
        command += "".join(f" --work {work}" for work in given.work)
    store("drawing", {"command": command, "machine": machine(), "needed": NEEDED, "precision": precision, "cases": cases})


def case(folder: Path, work: str, rounds: int, precision: str) -> dict[str, Any]:
    """One work: what both compute, and how long they take."""
    config, pictures = SHAPES[work]
    with torch.device("meta"):
        ours = our_model(config).count_parameters()
    theirs = sum(p.numel() for p in their_model(folder, config, masks=False).parameters())
    difference, seen = column_difference(folder, config), pairs(folder, config)
    print(f"{work}: parameters {ours:,} and {theirs:,}; column layers differ by {difference:.1e}; the last place sees {seen}")
    sides = {
        "sampling": {"gyebo": our_drawing, "reference": their_drawing},
        "training": {
            "gyebo": partial(our_training, precision=precision),
            "reference, sparse": partial(their_training, precision=precision, masks=False),
            "reference, masks": partial(their_training, precision=precision, masks=True),
        },
    }
    found: dict[str, Any] = {}
    for what, each in sides.items():
        seconds = measure(each, (folder, work), rounds if what == "sampling" else 3 * rounds, warm=1)
        middle = {name: median(times) for name, times in seconds.items()}
        ratios = {name: time / middle["gyebo"] for name, time in middle.items() if name != "gyebo"}
        print(f"  {what}: {({name: round(time, 3) for name, time in middle.items()})} s, ratios {ratios}")
        found[what] = {"seconds": seconds, "median_seconds": middle, "ratio": ratios, "against_the_best": min(ratios.values())}
    shape = {"context": config.context, "grid": config.grid, "width": config.width, "layers": config.layers}
    shape |= {"heads": config.heads, "vocab_size": config.vocab_size, "image_codes": config.image_codes}
    counted = {"parameters": {"gyebo": ours, "reference": theirs}, "last_place_sees": seen, "column_difference": difference}
    return {"work": work, "shape": shape, "candidates": CANDIDATES, "pictures_a_step": pictures, **counted, **found}


if __name__ == "__main__":
    main()
