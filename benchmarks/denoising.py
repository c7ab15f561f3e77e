"""One denoising step of BART-base and of T5-base, gyebo against transformers, both sides in one run.

    python benchmarks/denoising.py [--families bart t5] [--rounds 5]

Two works, each in bfloat16 autocast with the published dropout, clipping, fused AdamW: "fixed": 4 sources of 128 tokens without
padding, targets of 128 (BART) or 32 (T5); "mixed": 16 texts with the lengths of Korean reviews (16 pieces on average), which
transformers pads to the longest of the batch on each side. Medians over interleaved rounds, a side a process; a ratio above 1
means that gyebo is faster. Tokens are those of source and target. Writes benchmarks/results/denoising.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib import import_module
from statistics import median
from typing import Any

import numpy as np
import torch
from masked import review_lengths
from report import machine, store
from sides import Work, measure, stepper

from gyebo.models.family import FAMILIES
from gyebo.nn.cost import Workload
from gyebo.objectives.source_target import TargetLoss
from gyebo.training.device import matmul_rate

IGNORE, BATCHES = -100, 4
TARGETS = {"bart": 1.0, "t5": 0.25}  # length of a target for each token of its source
THEIRS = {"bart": ("BartConfig", "BartForConditionalGeneration"), "t5": ("T5Config", "T5ForConditionalGeneration")}
# of `transformers`, where its defaults are not the base size
SHAPES: dict[str, dict[str, Any]] = {
    "bart": {"d_model": 768, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 3072, "decoder_ffn_dim": 3072}
    | {"encoder_attention_heads": 12, "decoder_attention_heads": 12},
    "t5": {"d_model": 768, "num_layers": 12, "d_ff": 3072, "num_heads": 12},
}
Batch = dict[str, torch.Tensor]


def batches(family: str, kind: str) -> list[Batch]:
    """The same batches for every side: ids, masks and labels of both streams, padded to their longest."""
    rng = np.random.default_rng(0)
    return [
        batch(rng, np.full(4, 128) if kind == "fixed" else review_lengths(rng, 16), TARGETS[family]) for _ in range(BATCHES)
    ]


def batch(rng: np.random.Generator, sources: np.ndarray, share: float) -> Batch:
    """Random ids of these lengths; targets are `share` as long, rounded up."""
    found: Batch = {}
    for name, lengths in (("", sources), ("decoder_", np.ceil(sources * share).astype(int))):
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.where(mask, rng.integers(1000, 30_000, mask.shape), 1)
        found[f"{name}input_ids"], found[f"{name}attention_mask"] = (
            torch.from_numpy(ids),
            torch.from_numpy(mask.astype(np.int64)),
        )
    labels = found["decoder_input_ids"].roll(-1, 1)
    found["labels"] = labels.masked_fill(found["decoder_attention_mask"] == 0, IGNORE)
    return found


def over(data: list[Batch], model: torch.nn.Module, loss: Callable[[Batch], torch.Tensor]) -> Work:
    """One step for each batch."""
    left = iter(())
    step = stepper(model, lambda: loss(next(left)))

    def work() -> None:
        nonlocal left
        left = iter(data)
        for _ in data:
            step()

    return work


def ours(family: str, kind: str) -> Work:
    """gyebo's step over all batches."""
    torch.manual_seed(0)
    model, objective = base(family).train(), TargetLoss("lm")

    def loss(found: Batch) -> torch.Tensor:
        fields = {"input_ids": found["input_ids"], "document_ids": found["attention_mask"], "labels": found["labels"]}
        fields |= {"decoder_input_ids": found["decoder_input_ids"], "decoder_document_ids": found["decoder_attention_mask"]}
        return objective.loss(model, fields)["lm"][0] / objective.counts(fields)["lm"]

    return over(batches(family, kind), model, loss)


def base(family: str) -> Any:
    """The base size of a family."""
    module, _, name = FAMILIES[family].cls.partition(":")
    cls = getattr(import_module(module), name)
    return cls(cls.sizes["base"])


def theirs(compiled: bool, family: str, kind: str) -> Work:
    """The step of transformers."""
    import transformers

    config, model = (getattr(transformers, name) for name in THEIRS[family])
    torch.manual_seed(0)
    net = model(config(**SHAPES[family])).train()
    run = torch.compile(net) if compiled else net
    return over(batches(family, kind), net, lambda found: run(**found, use_cache=False).loss)


SIDES = {
    "mixed": {"gyebo": ours, "transformers, dynamic padding": partial(theirs, False)},
    "fixed": {"gyebo": ours, "transformers eager": partial(theirs, False), "transformers compiled": partial(theirs, True)},
}


def figures(family: str, kind: str, rounds: int, rate: float) -> dict[str, Any]:
    """Measure one work of one family, and print it."""
    times = measure(SIDES[kind], (family, kind), rounds, warm=1)
    data = batches(family, kind)
    lengths = {
        name: torch.cat([found[mask].sum(1) for found in data])
        for name, mask in (("source", "attention_mask"), ("target", "decoder_attention_mask"))
    }
    predicted = sum(int((found["labels"] != IGNORE).sum()) for found in data)
    tokens = sum(int(found.sum()) for found in lengths.values())
    middle = {name: median(values) for name, values in times.items()}
    with torch.device("meta"):
        model = base(family)
    share = 3 * model.flops(Workload(lengths, {"lm": predicted})) / middle["gyebo"] / rate
    ratios = {name: seconds / middle["gyebo"] for name, seconds in middle.items() if name != "gyebo"}
    for name, seconds in middle.items():
        print(f"{family:<5} {kind:<6} {name:<32} {tokens / seconds:>8,.0f} real tokens/s")
    for name, ratio in ratios.items():
        print(f"{family:<5} {kind:<6} gyebo against {name}: {ratio:.2f} times as fast")
    print(f"{family:<5} {kind:<6} share of the machine's bfloat16 matrix-product rate ({rate / 1e9:,.0f} GFLOP/s): {share:.0%}")
    return {"real_tokens": tokens, "seconds": times, "median_seconds": middle, "ratio": ratios, "share": share}


def main() -> None:
    """Measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--families", nargs="+", choices=list(THEIRS), default=list(THEIRS))
    options.add_argument("--rounds", type=int, default=5)
    given = options.parse_args()
    rate = matmul_rate("cpu", "bfloat16", seconds=2.0)
    works = {family: {kind: figures(family, kind, given.rounds, rate) for kind in SIDES} for family in given.families}
    store("denoising", {"work": "denoising steps at base size, bfloat16 autocast", "machine": machine(), "works": works})


if __name__ == "__main__":
    main()
