"""LXMERT and ViLBERT on NLVR's 1,000 labelled examples: what pretraining on statements gives, and what each side alone tells.

    python benchmarks/nlvr.py NLVR -o runs/nlvr [--minutes 75] [--epochs 4] [--seeds 3] [--families lxmert vilbert]

NLVR is the folder with train, dev, test and train_images.parquet. Each family is pretrained once on statements about the
pictures without a sentence (`nlvr:`) and on the built-in scenes (`world:pictures,en,N`), by its paper's objectives, without
dropout. Then it is fine-tuned with each seed: with text and picture, with the text alone, with the picture alone; and from new
weights, with the same tokenizer, with both. Weights are chosen on dev; the figures are of the public test set. A run that is
there is kept. Writes benchmarks/results/nlvr.json.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from report import machine, store

import gyebo

STILL = ("residual_dropout", "embedding_dropout", "attention_dropout")
# A hidden item makes what is counted unknown; a false statement tells more than the statement of another picture.
MASKED = {"objective.rate": 0.1, "objective.region_rate": 0.02, "objective.false_share": 1.0}
ARMS = {"both": {}, "text alone": {"ablate": "image"}, "picture alone": {"ablate": "text"}}
NEW = "both, without pretraining"


def pretrained(given: argparse.Namespace, family: str) -> Any:
    """The one pretraining of a family."""
    shape = {f"model.{name}": 0.0 for name in STILL} | {"optim.lr": given.lr} | MASKED
    shape |= dict(setting.split("=", 1) for setting in given.pretraining)
    corpus = [Path(f"nlvr:{given.data}"), Path(f"world:pictures,en,{given.scenes}")]
    budget = {"steps": given.steps} if given.steps else {"minutes": given.minutes}
    out = given.out / family / "pretrained"
    options = {"vocab_size": given.vocab_size, "batch_tokens": given.batch_tokens, "settings": shape}
    return gyebo.pretrain(family, corpus, size=given.size, out=out, resume=True, **budget, **options)


def finetuned(given: argparse.Namespace, family: str, arm: str) -> Any:
    """All seeds of an arm."""
    model, rest = str(given.out / family / "pretrained"), dict(ARMS.get(arm, {}))
    if arm == NEW:
        model, rest = f"{family}:{given.size}", {"tokenizer": model}
    out = given.out / family / arm.replace(", ", "-").replace(" ", "-")
    learning = {"epochs": given.epochs, "batch": given.batch, "lr": given.finetuning_lr}
    return gyebo.finetune(model, "nlvr", data=given.data, out=out, seeds=given.seeds, resume=True, **learning, **rest)


def always_true(path: Path) -> float:
    """The accuracy of one answer for all."""
    labels = parquet.read_table(path, columns=["label"])["label"].to_pylist()
    return sum(labels) / len(labels)


def main() -> None:
    """Train, print, store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--families", nargs="+", default=["lxmert", "vilbert"])
    parser.add_argument("--size", default="mini")
    parser.add_argument("--minutes", type=float, default=75.0, help="of each pretraining")
    parser.add_argument("--steps", type=int, help="of each pretraining, instead of minutes")
    parser.add_argument("--lr", type=float, default=4e-4)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--vocab-size", type=int, default=800)
    parser.add_argument("--scenes", type=int, default=1000, help="pictures of the built-in world")
    parser.add_argument("--pretraining", nargs="*", default=[], metavar="NAME=VALUE", help="further options of pretraining")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--finetuning-lr", type=float, default=2e-4)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    families: dict[str, Any] = {}
    for family in given.families:
        run = pretrained(given, family)
        print(f"{family}: {run.valid}", flush=True)
        arms = {}
        for arm in (*ARMS, NEW):
            found = finetuned(given, family, arm)
            arms[arm] = {part: getattr(found, part)["accuracy"].values for part in ("valid", "test")}
            print(f"{family:<8} {arm:<28} dev {arms[arm]['valid']}, test {arms[arm]['test']}", flush=True)
        families[family] = {"pretraining": {"valid": run.valid, "seconds": run.seconds, "steps": run.steps}, "arms": arms}
    settings = {name: str(value) for name, value in vars(given).items() if name not in ("data", "out", "families")}
    true = {part: always_true(given.data / f"{part}.parquet") for part in ("dev", "test")}
    store("nlvr", {"settings": settings, "machine": machine(), "always_true": true, "families": families})


if __name__ == "__main__":
    main()
