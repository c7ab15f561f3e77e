"""The Evolved Transformer against the plain one at equal parameters: the perplexity of answers (Meena's paper: 10.2 and 10.7).

    python benchmarks/evolved.py OUT --task chatbot --data DIR [--steps 2000] [--seeds 0 1 2]

Meena mini and a pre-norm Transformer of its width, vocabulary and depth (a block of Meena counts as two), whose inner width
gives it as many parameters outside of the embedding, within 1 %. Both have the same tokenizer, trained on the examples that
they learn from, and the same batches in the same order, without label smoothing and averaging; each stops early by validation,
and keeps its best weights. Of several rates each takes the one that is best on validation with the first seed. OUT/SIDE/
lr-RATE/seed-N are runs; one that is there is kept. Writes benchmarks/results/evolved.json.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from report import machine, store
from rich.console import Console

from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.results import FinetuneResult
from gyebo.models.family import model_class

# 848 and not 843, which would be nearest: if anything, the plain one has more.
PLAIN = {"width": 256, "layers": 2, "decoder_layers": 2, "heads": 4, "inner": 848, "pre_norm": True, "attention_bias": False}
PLAINLY = {"smoothing": 0.0, "average": 1, "beams": 1}
DROPOUT = {"residual_dropout": 0.1, "attention_dropout": 0.1}
SIDES = {"evolved": ("meena", {}), "plain": ("transformer", {**PLAIN, "inner_dropout": 0.1})}


def parameters(family: str, shape: dict[str, Any]) -> int:
    """Outside of the embedding, which is the output layer too."""
    cls = model_class(family)
    with torch.device("meta"):
        return cls(replace(cls.sizes["mini"], **shape)).count_parameters(embeddings=False)


def run(given: argparse.Namespace, side: str, seed: int, lr: float) -> FinetuneResult:
    """One seed of one side; from its directory where it is done."""
    family, shape = SIDES[side]
    options = {
        "model": f"{family}:mini",
        "task": {"name": given.task, "data": given.data, "text": given.text, "label": given.label},
        "shape": {**shape, **DROPOUT},
        "seed": seed,
        "steps": given.steps,
        "max_length": given.max_length,
        "evaluations": given.evaluations,
        "patience": given.patience,
        "translation": {**PLAINLY, "vocab_size": given.vocab_size, "batch_tokens": given.batch_tokens},
        "optim": {"lr": lr, "betas": (0.9, 0.98)},
    }
    out = given.out / side / f"lr-{lr:g}" / f"seed-{seed}"
    return finetune(FinetuneOptions.model_validate(options), out, resume=True, console=Console())


def measured(given: argparse.Namespace, side: str) -> dict[str, Any]:
    """All seeds of a side at its best rate."""
    first, *others = given.seeds
    found = {lr: run(given, side, first, lr) for lr in given.lr}
    best = min(found, key=lambda lr: found[lr].valid[given.metric])
    results = [found[best], *(run(given, side, seed, best) for seed in others)]
    values = [result.test[given.metric] for result in results]
    family, shape = SIDES[side]
    spread = f" +- {stdev(values):.3f}" if len(values) > 1 else ""
    print(f"{side:<8} lr {best:g}: {given.metric} {mean(values):.3f}{spread}, {parameters(family, shape):,} parameters")
    return {
        "parameters": parameters(family, shape),
        "lr": best,
        "valid_by_lr": {lr: result.valid[given.metric] for lr, result in found.items()},
        "test": values,
        "seconds": [result.seconds for result in results],
        "best_step": [result.best_step for result in results],
    }


def main() -> None:
    """Train, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--task", default="chatbot")
    parser.add_argument("--data", required=True)
    parser.add_argument("--text")
    parser.add_argument("--label")
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--metric", default="response_perplexity", help="lower is better")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--lr", type=float, nargs="+", default=[5e-4, 1e-3, 2e-3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--evaluations", type=float, default=1.0, help="an epoch")
    parser.add_argument("--patience", type=int, default=3)
    given = parser.parse_args()
    counts = {side: parameters(*SIDES[side]) for side in SIDES}
    assert abs(counts["plain"] / counts["evolved"] - 1) < 0.01, counts
    figures = {side: measured(given, side) for side in SIDES}
    settings = {name: str(value) for name, value in vars(given).items() if name not in ("out", "data")}
    store("evolved", {"settings": settings, "machine": machine(), "sides": figures})


if __name__ == "__main__":
    main()
