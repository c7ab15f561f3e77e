"""How large a model should be for a budget: runs of several shapes at each of several budgets, on the same text.

    python benchmarks/budget.py TEXT -o runs/budget [--families gpt2 bert lstm] [--part fit check ids]

fit     8 shapes for each family: widths of 64 to 384 at 1e12, 1e13 and 1e14 FLOPs, two or three at each budget
check   one run at 3e14 FLOPs for GPT-2 and BERT, of the shape that the fit says, to see whether the formula goes on
ids     GPT-2 at 1e13 FLOPs with vocabularies of 500 to 16,000 ids

All runs have 2,048 tokens a step, contexts of 128 tokens, no dropout, and gyebo's other defaults; models have a layer for each
32 of their width, at least 2 and at most 8. Stored are parameters, tokens, FLOPs, and the family's metric on the same held-out
text: bits per byte, or nats per masked token. A run that is there is kept. Writes benchmarks/results/budget.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from report import machine, store

import gyebo
from gyebo.config.run import DataOptions
from gyebo.jobs.tokenizer import train_tokenizer
from gyebo.models.family import find, model_class
from gyebo.objectives import table

FIT = {1e12: (64, 96), 1e13: (64, 128, 192), 1e14: (128, 192, 256)}
IDS = 4000
VOCABULARIES = (500, 1000, 2000, 8000, 16_000)
REPORTED = ("parameters", "parameters_without_embeddings", "tokens", "epochs", "flops", "seconds")
Run = tuple[str, float, int, int]  # family, FLOPs, width, ids


def layers(width: int) -> int:
    """As deep as such a model usually is."""
    return min(8, max(2, width // 32))


def train(given: argparse.Namespace, run: Run) -> dict[str, Any]:
    """The figures of one run."""
    family, flops, width, ids = run
    tokenizer = given.out / f"tokenizer-{ids}"
    if not tokenizer.exists():
        train_tokenizer(DataOptions(corpus=[str(given.text)]), tokenizer, kind="bpe", vocab_size=ids)
    usual = vars(model_class(family).sizes["mini"])
    shape = {"width": width, "layers": layers(width), "heads": max(2, width // 64)}
    settings: dict[str, Any] = {f"model.{name}": value for name, value in shape.items() if name in usual}
    settings["train.dropout_share"] = 0.0
    found = gyebo.pretrain(
        family,
        str(given.text),
        size="mini",
        tokenizer=str(tokenizer),
        context=128,
        batch_tokens=2048,
        flops=flops,
        settings=settings,
        out=given.out / family / f"{flops:.0e}-{width}-{ids}",
        resume=True,
    )
    metric = table.find(find(family).objective).metric
    figures = {"family": family, "width": width, "layers": layers(width), "ids": ids, metric: found.valid[metric]}
    return figures | {name: getattr(found, name) for name in REPORTED}


def asked(given: argparse.Namespace) -> list[Run]:
    """The runs of the parts that are asked for, cheap ones first."""
    found: list[Run] = []
    if "fit" in given.part:
        found += [(family, flops, width, IDS) for flops, widths in FIT.items() for width in widths for family in given.families]
    if "ids" in given.part:
        found += [("gpt2", 1e13, 128, ids) for ids in VOCABULARIES]
    if "check" in given.part:
        found += [(family, 3e14, width, IDS) for family in given.families if family != "lstm" for width in given.width]
    return sorted(found, key=lambda run: run[1])


def main() -> None:
    """Train, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["gpt2", "bert", "lstm"])
    parser.add_argument("--part", nargs="+", default=["fit"], choices=["fit", "check", "ids"])
    parser.add_argument("--width", type=int, nargs="+", default=[256], help="of the runs of the part check")
    given = parser.parse_args()
    figures = []
    for run in asked(given):
        figures.append(train(given, run))
        family, flops, width, ids = run
        print(f"{family:<6} {flops:.0e} FLOPs, width {width}, {ids:,} ids: {list(figures[-1].values())[4]:.4f}", flush=True)
    store("budget", {"machine": machine(), "runs": figures})


if __name__ == "__main__":
    main()
