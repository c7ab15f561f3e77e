"""LXMERT and ViLBERT on NLVR's 1,000 labelled examples: what pretraining on statements gives, and what each side alone tells.

    python benchmarks/nlvr.py NLVR -o runs/nlvr [--minutes 15 60] [--epochs 4] [--seeds 3] [--families lxmert vilbert]

NLVR is the folder with train, dev, test and train_images.parquet. Each family, of width 128, is pretrained twice on statements
about the pictures without a sentence: first those that something is there (`nlvr:simple,NLVR`), then from these weights all
forms (`nlvr:NLVR`); both with the built-in scenes (`world:pictures,en,N`), by its paper's objectives, without dropout. Then it
is fine-tuned with each seed: with text and picture, with the text alone, with the picture alone; and from new weights, with the
same tokenizer, with both. Weights are chosen on dev; the figures are of the public test set. A run that is there is kept.
Writes benchmarks/results/nlvr.json; families that are not asked for stay as they are there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from report import RESULTS, machine, store

import gyebo
from gyebo.config.run import DataOptions
from gyebo.jobs.tokenizer import train_tokenizer

WIDTH = {
    "lxmert": {"width": 128, "layers": 2, "region_layers": 1, "cross_layers": 2},
    "vilbert": dict.fromkeys(("width", "image_width", "image_inner", "co_width"), 128),
}
STILL = dict.fromkeys(("residual_dropout", "embedding_dropout", "attention_dropout"), 0.0)  # in pretraining
SHAPE = {"init_std": round(0.02 * (768 / 128) ** 0.5, 4)}
# A hidden word or item leaves open what is asked or counted; a false statement tells more than one about another picture.
LEARNING = {"objective.rate": 0.03, "objective.region_rate": 0.02, "objective.false_share": 1.0, "train.evaluate_tokens": 8192}
OWN = {"lxmert": {"objective.normalizer": 1}, "vilbert": {}}  # with the published 1 / 0.15 regions are most of the loss
ARMS = {"both": {}, "text alone": {"ablate": "image"}, "picture alone": {"ablate": "text"}}
NEW = "both, without pretraining"


def pretrained(given: argparse.Namespace, family: str) -> list[Any]:
    """Both pretrainings of a family."""
    scenes = Path(f"world:pictures,en,{given.scenes}")
    simple, every = ([Path(f"{prefix}{given.data}"), scenes] for prefix in ("nlvr:simple,", "nlvr:"))
    tokenizer = given.out / "tokenizer"
    if not tokenizer.exists():
        train_tokenizer(DataOptions(corpus=list(map(str, every))), tokenizer, kind="wordpiece", vocab_size=given.vocab_size)
    learning = LEARNING | OWN[family] | {"optim.lr": given.lr} | dict(setting.split("=", 1) for setting in given.pretraining)
    shape = {f"model.{name}": value for name, value in (WIDTH[family] | SHAPE | STILL).items()}
    first: dict[str, Any] = {"size": "mini", "tokenizer": str(tokenizer), "settings": learning | shape}
    then: dict[str, Any] = {"start_from": given.out / family / "simple", "settings": learning}
    runs = []
    rest: dict[str, Any] = {"batch_tokens": given.batch_tokens, "valid_share": 0.003, "resume": True}
    for name, corpus, own, minutes in zip(("simple", "pretrained"), (simple, every), (first, then), given.minutes):
        run = gyebo.pretrain(family, corpus, minutes=minutes, out=given.out / family / name, **own, **rest)
        print(f"{family}, {name}: {run.steps} steps, {run.valid}", flush=True)
        runs.append(run)
    return runs


def finetuned(given: argparse.Namespace, family: str, arm: str) -> Any:
    """All seeds of an arm."""
    model, rest = str(given.out / family / "pretrained"), dict[str, Any](ARMS.get(arm, {}))
    settings: dict[str, Any] = {"body_dropout": 0.1}
    if arm == NEW:
        settings |= {f"shape.{name}": value for name, value in (WIDTH[family] | SHAPE).items()}
        model, rest = f"{family}:mini", {"tokenizer": model}
    out = given.out / family / arm.replace(", ", "-").replace(" ", "-")
    rest |= {"epochs": given.epochs, "batch": given.batch, "lr": given.finetuning_lr, "settings": settings}
    return gyebo.finetune(model, "nlvr", data=given.data, out=out, seeds=range(given.seeds), resume=True, **rest)


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
    parser.add_argument("--minutes", type=float, nargs=2, default=[15.0, 60.0], help="of the two pretrainings")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--vocab-size", type=int, default=800)
    parser.add_argument("--scenes", type=int, default=1000, help="pictures of the built-in world")
    parser.add_argument("--pretraining", nargs="*", default=[], metavar="NAME=VALUE", help="further options of pretraining")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--finetuning-lr", type=float, default=2e-4)
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    given = parser.parse_args()
    families: dict[str, Any] = {}
    for family in given.families:
        runs = pretrained(given, family)
        arms = {}
        for arm in (*ARMS, NEW):
            found = finetuned(given, family, arm)
            arms[arm] = {part: getattr(found, part)["accuracy"].values for part in ("valid", "test")}
            print(f"{family:<8} {arm:<28} dev {arms[arm]['valid']}, test {arms[arm]['test']}", flush=True)
        learned = [{"valid": run.valid, "seconds": run.seconds, "steps": run.steps} for run in runs]
        families[family] = {"pretraining": learned, "parameters": runs[-1].parameters, "arms": arms}
    settings = {name: str(value) for name, value in vars(given).items() if name not in ("data", "out", "families")}
    stored = RESULTS / "nlvr.json"
    families = (json.loads(stored.read_text(encoding="utf-8"))["families"] if stored.exists() else {}) | families
    true = {part: always_true(given.data / f"{part}.parquet") for part in ("dev", "test")}
    store("nlvr", {"settings": settings, "machine": machine(), "always_true": true, "families": families})


if __name__ == "__main__":
    main()
