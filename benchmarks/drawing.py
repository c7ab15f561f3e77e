"""DALL-E: gyebo beside the public implementation in PyTorch, lucidrains/DALLE-pytorch, both sides in one run.

    pip install --target REFERENCE --no-deps dalle-pytorch==1.6.6 einops axial-positional-embedding rotary-embedding-torch
    python benchmarks/drawing.py REFERENCE [--work grid-16] [--rounds 3]

Of equal sizes: width, layers, heads, places of the text, grid, codes, and a row, column or convolution in each layer as in the
paper. Two things are timed, each side in a process of its own, in turn; medians; a ratio above 1 means that gyebo is faster.

"sampling": four pictures of one text, each code among the 128 most probable, without guidance, in float32; of a grid of 16 x
16 all codes, of one of 32 x 32 the last two rows of given pictures. The reference runs with `use_cache` and
`optimize_for_inference`; as released it loses its cache where there is no guidance (`forward_with_cond_scale` does not hand it
on) and reads the whole sequence again for each code, so here it is handed on. Its convolution, and only that, has no cache:
beside it stands the same model with full attention in all layers, where everything has one.
"training": forward, backward, clipping, fused AdamW, of texts that fill all places, in the precision whose matrix products are
faster here; the reference with its sparse attention, and with `optimize_for_inference`, where rows and columns are masks of a
full one.

The reference's rotary positions, shifted tokens and `stable` are off, input and output matrix are one, as in gyebo. What still
differs: its feed-forward network has a gate, so gyebo's is half as wide again (6 x width), for the same number of parameters;
its layers have scales, and no bias for queries, keys and values; it has one output matrix for text and image tokens, with a
bias, at all places; a row sees its own row alone, not the previous one from its place on; and a convolution's window of 5 x 5
lies above and left of its place, for which gyebo's gets a kernel of 7, as many places. How many the last place sees is counted
on both sides, and column layers are compared in numbers, before anything is timed.
The image tokenizers of the reference are not imported: none is used. Writes benchmarks/results/drawing.json, of another work
drawing-WORK.json.
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

CANDIDATES, TOP_K = 4, 128
NEEDED = {"sampling": 2.0, "training": 1.3}
NAMES = {"row": "axial_row", "column": "axial_col", "convolution": "conv_like"}
SHAPES = {
    # name: config, image tokens that are drawn, pictures of a training step
    "grid-16": (replace(Dalle.sizes["mini"], grid=16, kernel=7, inner=6 * 256), 256, 8),
    "grid-32": (DalleConfig(8000, 64, 1024, 32, 256, 6, 4, kernel=7, inner=6 * 256), 64, 2),
}


# ---- the reference


class NoTokenizer(torch.nn.Module):
    """Stands where the reference has an image tokenizer: pictures are their codes."""

    num_layers = 0

    def __init__(self, grid: int, codes: int):
        super().__init__()
        self.image_size, self.num_tokens = grid, codes

    def get_codebook_indices(self, pictures: torch.Tensor) -> torch.Tensor:
        """The codes of a picture, which stand in its first channel."""
        return pictures[:, 0].flatten(1).long()

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


def their_model(folder: Path, config: DalleConfig, *, masks: bool, full: bool = False) -> Any:
    """The reference in the size of a config; `full`: without any sparse attention."""
    found = reference(folder)

    class Model(found.DALLE):  # type: ignore[name-defined, misc]
        """Hands its cache on without guidance, too."""

        def forward_with_cond_scale(self, *args: Any, cond_scale: float = 1, **options: Any) -> torch.Tensor:
            """The logits."""
            return self(*args, **options)

    torch.manual_seed(0)
    return Model(
        dim=config.width,
        vae=NoTokenizer(config.grid, config.image_codes),
        num_text_tokens=config.vocab_size,
        text_seq_len=config.context,
        depth=config.layers,
        heads=config.heads,
        dim_head=config.width // config.heads,
        attn_types=("full",) if full else tuple(NAMES[kind] for kind in kinds(config.layers)),
        rotary_emb=False,
        shift_tokens=False,
        share_input_output_emb=True,
        optimize_for_inference=masks,
    )


def their_drawing(folder: Path, work: str, full: bool = False) -> Work:
    """Its sampling."""
    config, drawn, _ = SHAPES[work]
    model = their_model(folder, config, masks=True, full=full)
    text, given = texts(config, 1).expand(CANDIDATES, -1), config.image_tokens - drawn
    picture = images(config, 1).view(1, 1, config.grid, config.grid).expand(CANDIDATES, 3, -1, -1).float() if given else None
    kept = 1 - (TOP_K + 0.5) / model.total_tokens

    def call() -> None:
        codes = model.generate_images(text.clone(), filter_thres=kept, use_cache=True, img=picture, num_init_img_tokens=given)
        assert codes.shape == (CANDIDATES, config.image_tokens)

    return call


def their_training(folder: Path, work: str, precision: str, masks: bool) -> Work:
    """Its training step."""
    config, _, pictures = SHAPES[work]
    model = their_model(folder, config, masks=masks).train()
    text, image = texts(config, pictures), images(config, pictures)
    return stepper(model, lambda: model(text, image, return_loss=True), precision)


# ---- gyebo


def our_drawing(folder: Path, work: str) -> Work:
    """gyebo's sampling."""
    config, drawn, _ = SHAPES[work]
    model, text = our_model(config), texts(config, 1).tolist()
    given = images(config, 1)[:, : config.image_tokens - drawn] if drawn < config.image_tokens else None
    options = DrawingOptions(candidates=CANDIDATES, top_k=TOP_K)

    def call() -> None:
        draw(model, text, options, given=given)

    return call


def our_training(folder: Path, work: str, precision: str) -> Work:
    """gyebo's training step."""
    config, _, pictures = SHAPES[work]
    model = our_model(config).train()
    image = images(config, pictures)
    objective = TextToImage(
        codes={"train": image.numpy()}, dropping=None, text_weight=1 / 8, without_text=0.0, start=config.start,
        context=config.context,
    )  # fmt: skip
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
    return float((ours(x, Run(config.text_places, image_first=False)) - theirs(x)).abs().max())


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
def pairs(folder: Path, config: DalleConfig) -> dict[str, dict[str, int]]:
    """Kind of layer -> side -> how many places of the grid the last one sees, found by changing each place."""
    small = replace(config, context=3, width=4, heads=1, inner=4, layers=1)
    x = torch.randn(1, small.text_places + small.image_tokens - 1, small.width)
    found: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        ours, theirs = layers(folder, small, kind)
        found[kind] = {}
        for side, call in (("gyebo", partial(ours, run=Run(small.text_places, image_first=False))), ("reference", theirs)):
            before, seen = call(x)[0, -1], 0
            for place in range(small.text_places, x.shape[1]):
                changed = x.clone()
                changed[0, place] = torch.randn(small.width)
                seen += int((call(changed)[0, -1] != before).any())
            found[kind][side] = seen
    return found


def measured(folder: Path, work: str, rounds: int, precision: str) -> dict[str, Any]:
    """Seconds of each side, and ratios."""
    sides = {
        "sampling": {
            "gyebo": our_drawing,
            "reference": their_drawing,
            "reference, full attention": partial(their_drawing, full=True),
        },
        "training": {
            "gyebo": partial(our_training, precision=precision),
            "reference": partial(their_training, precision=precision, masks=False),
            "reference, masks": partial(their_training, precision=precision, masks=True),
        },
    }
    found = {}
    for what, each in sides.items():
        seconds = measure(each, (folder, work), rounds if what == "sampling" else 3 * rounds, warm=0)
        middle = {name: median(times) for name, times in seconds.items()}
        ratios = {name: time / middle["gyebo"] for name, time in middle.items() if name != "gyebo"}
        for name, time in middle.items():
            print(f"  {what:<9} {name:<26} {time:8.3f} s" + (f", {ratios[name]:.2f} times" if name in ratios else ""))
        found[what] = {"seconds": seconds, "median_seconds": middle, "ratio": ratios}
    return found


def main() -> None:
    """Compare, measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("reference", type=Path, metavar="REFERENCE")
    options.add_argument("--work", choices=list(SHAPES), default="grid-16")
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    config, drawn, pictures = SHAPES[given.work]
    reference(given.reference)
    precision = max(DTYPES, key=lambda name: matmul_rate("cpu", name, seconds=1.0))
    with torch.device("meta"):
        ours = our_model(config).count_parameters()
    theirs = sum(p.numel() for p in their_model(given.reference, config, masks=False).parameters())
    difference, seen = column_difference(given.reference, config), pairs(given.reference, config)
    print(f"{given.work}: parameters {ours:,} and {theirs:,}; column layers differ by {difference:.1e}; the last place sees")
    print("  " + "; ".join(f"in a {kind} {counts}" for kind, counts in seen.items()))
    shape = {"context": config.context, "grid": config.grid, "width": config.width, "layers": config.layers}
    shape |= {"heads": config.heads, "vocab_size": config.vocab_size, "image_codes": config.image_codes}
    facts = {
        "command": f"python benchmarks/drawing.py REFERENCE --work {given.work} --rounds {given.rounds}",
        "machine": machine(),
        "needed": NEEDED,
        "shape": shape,
        "parameters": {"gyebo": ours, "reference": theirs},
        "last_place_sees": seen,
        "column_difference": difference,
        "pictures_at_once": CANDIDATES,
        "codes_drawn": drawn,
        "pictures_a_step": pictures,
        "training_precision": precision,
    }
    found = measured(given.reference, given.work, given.rounds, precision)
    store("drawing" if given.work == "grid-16" else f"drawing-{given.work}", facts | found)


if __name__ == "__main__":
    main()
