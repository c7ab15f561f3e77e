"""Which choices of pretraining pay: each alone, against a plain run, at equal FLOPs on the same text.

    python benchmarks/ablations.py TEXT -o runs/ablations [--families gpt2 lstm bert] [--arms ...] [--flops 4e12] [--width 64]
        [--layers 2] [--batch-tokens 512] [--seeds 0]

4,000 ids, a shape and tokens of a step that suit such a budget; each arm has the same tokenizer and held-out text. A plain
run has AdamW with betas of 0.9 and 0.95 and a rate of 1e-3, the model's dropout, and gyebo's other defaults. Reported is the
family's own metric (bits per byte, or nats per masked token with the published masks, however many were masked in training),
and by how many per cent it is below that of the plain run. An arm with several options is several choices at once. BERT needs
about 4e13 FLOPs to leave the frequencies of single tokens. A run that is there is kept. Writes
benchmarks/results/ablations.json.
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

IDS = 4000
HALF_LIFE = "second moment: half-life of "


PLAIN = "plain"
BASE: dict[str, Any] = {
    "optim.betas": [0.9, 0.95],
    "optim.lr": 1e-3,
    "train.dropout_share": 1.0,
}  # of all arms: AdamW's, the model's dropout
ARMS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    HALF_LIFE + "140,000 tokens": {},
    HALF_LIFE + "560,000 tokens": {},
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


def kept(arm: str, batch: int) -> float:
    """Adam's second beta with which a gradient counts half after so many tokens."""
    tokens = float(arm.removeprefix(HALF_LIFE).removesuffix(" tokens").replace(",", ""))
    return float(round(0.5 ** (batch / tokens), 5))


def settings(given: argparse.Namespace, family: str, arm: str) -> dict[str, Any] | None:
    """The options of an arm; None where it changes nothing of a family."""
    shape = {"width": given.width, "layers": given.layers, "heads": max(2, given.width // 64)}
    usual = vars(model_class(family).sizes["mini"])
    drops = any(value for name, value in usual.items() if name.endswith("dropout"))
    if (arm == MASKING and find(family).objective != "masked") or (arm == STILL and not drops):
        return None
    own = {"optim.betas": [0.9, kept(arm, given.batch_tokens)]} if arm.startswith(HALF_LIFE) else ARMS[arm]
    base = BASE if drops else {name: value for name, value in BASE.items() if name != "train.dropout_share"}
    return {f"model.{name}": value for name, value in shape.items() if name in usual} | base | own


def run(given: argparse.Namespace, family: str, arm: str, seed: int) -> float | None:
    """The family's metric of one run; None where the arm changes nothing."""
    options = settings(given, family, arm)
    if options is None:
        return None
    out = given.out / family / arm.replace(" ", "-").replace(":", "").replace("%", "percent") / f"seed-{seed}"
    learning: dict[str, Any] = {"tokenizer": str(given.out / "tokenizer"), "batch_tokens": given.batch_tokens, "seed": seed}
    learning |= {"settings": options, "flops": given.flops, "context": 128}
    found = gyebo.pretrain(family, str(given.text), size="mini", out=out, resume=True, **learning)
    return float(found.valid[table.find(find(family).objective).metric])


def main() -> None:
    """Train, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["gpt2", "lstm", "bert"])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--flops", type=float, default=4e12)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=512)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    if not (given.out / "tokenizer").exists():
        train_tokenizer(DataOptions(corpus=[str(given.text)]), given.out / "tokenizer", kind="bpe", vocab_size=IDS)
    figures: dict[str, dict[str, Any]] = {}
    for family in given.families:
        usual = [run(given, family, PLAIN, seed) for seed in given.seeds]
        for arm in given.arms:
            values = [run(given, family, arm, seed) for seed in given.seeds]
            if None in values:
                continue
            gain = 100 * (1 - mean(values) / mean(usual))
            figures.setdefault(family, {})[arm] = {"values": values, "gain_percent": gain}
            print(f"{family:<6} {arm:<44} {', '.join(f'{value:.4f}' for value in values)}  {gain:+.2f} %", flush=True)
    shape = {name: getattr(given, name) for name in ("width", "layers", "batch_tokens")}
    asked = {"flops": given.flops, "seeds": given.seeds, "ids": IDS, "arms": ARMS} | shape
    store("ablations", {"settings": asked, "machine": machine(), "families": figures})


if __name__ == "__main__":
    main()
