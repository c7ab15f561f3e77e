"""Which choices of pretraining pay: each alone, against gyebo's defaults, at equal FLOPs on the same text.

    python benchmarks/ablations.py TEXT -o runs/ablations [--families gpt2 lstm bert] [--arms ...] [--flops 1.5e13] [--seeds 0]

Width 128, 4 layers, 4,000 ids and 2,048 tokens a step, which suit such a budget; every arm has the same tokenizer and held-out
text. Reported is the family's own metric on it (bits per byte, or nats per masked token with the published masks,
however many were masked in training), and by how many per cent it is below that of the defaults. An arm with several options is
several choices at once. BERT needs about 4e13 FLOPs to leave the frequencies of single tokens. A run that is there is kept.
Writes benchmarks/results/ablations.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

from report import machine, store

import gyebo
from gyebo.config.run import DataOptions
from gyebo.jobs.tokenizer import train_tokenizer
from gyebo.models.family import find, model_class
from gyebo.objectives import table

SHAPE = {"width": 128, "layers": 4, "heads": 2}
BATCH, IDS = 2048, 4000


def kept(half_life: float) -> float:
    """Adam's second beta with which a gradient counts half after so many tokens."""
    return round(0.5 ** (BATCH / half_life), 5)


ARMS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "second moment: half-life of 140,000 tokens": {"optim.betas": [0.9, kept(140_000)]},
    "second moment: half-life of 560,000 tokens": {"optim.betas": [0.9, kept(560_000)]},
    "Muon": {"optim.name": "muon"},
    "cool-down of 1 - sqrt": {"optim.schedule": "wsd", "optim.final_lr": 0.0},
    "rate falls to 0": {"optim.final_lr": 0.0},
    "warm-up of 2 %": {"optim.warmup": 0.02},
    "rate 2e-3": {"optim.lr": 2e-3},
    "rate 4e-3": {"optim.lr": 4e-3},
    "weight decay 0.01": {"optim.weight_decay": 0.01},
    "30 % masked": {"objective.rate": 0.3},
    "no dropout": {"train.dropout_share": 0.0},
}
MASKING = "30 % masked"  # of families that mask
STILL = "no dropout"  # of families that have any


def settings(family: str, arm: str) -> dict[str, Any] | None:
    """The options of an arm; None where it changes nothing of a family."""
    usual = vars(model_class(family).sizes["mini"])
    drops = any(value for name, value in usual.items() if name.endswith("dropout"))
    if (arm == MASKING and find(family).objective != "masked") or (arm == STILL and not drops):
        return None
    return {f"model.{name}": value for name, value in SHAPE.items() if name in usual} | ARMS[arm]


def run(given: argparse.Namespace, family: str, arm: str, seed: int) -> float | None:
    """The family's metric of one run; None where the arm changes nothing."""
    options = settings(family, arm)
    if options is None:
        return None
    out = given.out / family / arm.replace(" ", "-").replace(":", "").replace("%", "percent") / f"seed-{seed}"
    learning: dict[str, Any] = {"tokenizer": str(given.out / "tokenizer"), "batch_tokens": BATCH, "context": 128, "seed": seed}
    learning |= {"settings": options, "flops": given.flops}
    found = gyebo.pretrain(family, str(given.text), size="mini", out=out, resume=True, **learning)
    return float(found.valid[table.find(find(family).objective).metric])


def main() -> None:
    """Train, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["gpt2", "lstm", "bert"])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--flops", type=float, default=1.5e13)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    if not (given.out / "tokenizer").exists():
        train_tokenizer(DataOptions(corpus=[str(given.text)]), given.out / "tokenizer", kind="bpe", vocab_size=IDS)
    figures: dict[str, dict[str, Any]] = {}
    for family in given.families:
        usual = [run(given, family, "defaults", seed) for seed in given.seeds]
        for arm in given.arms:
            values = [run(given, family, arm, seed) for seed in given.seeds]
            if None in values:
                continue
            gain = 100 * (1 - mean(values) / mean(usual))
            figures.setdefault(family, {})[arm] = {"values": values, "gain_percent": gain}
            print(f"{family:<6} {arm:<44} {', '.join(f'{value:.4f}' for value in values)}  {gain:+.2f} %", flush=True)
    asked = {"flops": given.flops, "seeds": given.seeds, "shape": SHAPE, "batch_tokens": BATCH, "ids": IDS, "arms": ARMS}
    store("ablations", {"settings": asked, "machine": machine(), "families": figures})


if __name__ == "__main__":
    main()
