"""What a small budget buys: runs of several shapes and batches at equal FLOPs on the same text.

    python benchmarks/budget.py TEXT -o runs/budget [--families gpt2] [--parts shapes batches]

All runs have contexts of 128 tokens, no dropout, AdamW's betas of 0.9 and 0.95, a rate of 1e-3 and gyebo's other defaults;
models have a layer for each 32 of their width. Stored are parameters, tokens, FLOPs, and the family's metric on the same
held-out text: bits per byte, or nats per masked token. A run that is there is kept. Writes benchmarks/results/budget.json;
parts that are not asked for stay as they are there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from report import RESULTS, machine, store

import gyebo
from gyebo.config.run import DataOptions
from gyebo.jobs.tokenizer import train_tokenizer
from gyebo.models.family import find, model_class
from gyebo.objectives import table

Run = tuple[float, int, int, int]  # FLOPs, width, ids, tokens a step
PARTS: dict[str, list[Run]] = {
    "shapes": [(4e12, width, 4000, 512) for width in (64, 96, 128)],
    "batches": [(4e12, 96, 4000, batch) for batch in (512, 1024, 2048)],
}
REPORTED = ("parameters", "parameters_without_embeddings", "steps", "tokens", "bytes", "epochs", "flops", "seconds")


def train(given: argparse.Namespace, family: str, run: Run) -> dict[str, Any]:
    """The figures of one run."""
    flops, width, ids, batch = run
    tokenizer = given.out / f"tokenizer-{ids}"
    if not tokenizer.exists():
        train_tokenizer(DataOptions(corpus=[str(given.text)]), tokenizer, kind="bpe", vocab_size=ids)
    usual = vars(model_class(family).sizes["mini"])
    shape = {"width": width} | ({"layers": max(2, width // 32), "heads": 2} if "heads" in usual else {})
    settings: dict[str, Any] = {f"model.{name}": value for name, value in shape.items()}
    found = gyebo.pretrain(
        family,
        str(given.text),
        size="mini",
        tokenizer=str(tokenizer),
        context=128,
        batch_tokens=batch,
        flops=flops,
        settings=settings | {"train.dropout_share": 0.0, "optim.betas": [0.9, 0.95], "optim.lr": 1e-3},
        out=given.out / family / f"{flops:.1e}-{width}-{ids}-{batch}",
        resume=True,
    )
    metric = table.find(find(family).objective).metric
    layers = shape.get("layers", usual["layers"])
    asked = {"budget": flops, "width": width, "layers": layers, "ids": ids, "batch_tokens": batch}
    return asked | {metric: found.valid[metric]} | {name: getattr(found, name) for name in REPORTED}


def main() -> None:
    """Train, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["gpt2"])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    given = parser.parse_args()
    stored = RESULTS / "budget.json"
    runs = json.loads(stored.read_text(encoding="utf-8"))["runs"] if stored.exists() else []
    runs = [run for run in runs if run["family"] not in given.families or run["part"] not in given.parts]
    for family in given.families:
        for part in given.parts:
            for run in PARTS[part]:
                found = train(given, family, run)
                runs.append({"part": part, "family": family} | found)
                print(f"{part:<6} {family:<6} {found}", flush=True)
    store("budget", {"machine": machine(), "runs": runs})


if __name__ == "__main__":
    main()
