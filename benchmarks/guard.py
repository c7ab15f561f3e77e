"""What the guard finds of Korean toxic comments (BEEP!, Moon et al. 2020), each check alone and all together.

    python benchmarks/guard.py data/hate_speech -o runs/guard [--encoder MODEL] [--neighbours 1]

A fifth of train, chosen by a hash of the text's letters, is for the thresholds (5 % false alarms). The rest teaches the
checks: words by log-odds, the linear baseline, and, with an encoder, a classifier fine-tuned from it and exemplars. Figures
are of dev: once with hate as what is unwanted and all else as innocent, once with hate or offensive. Writes
benchmarks/results/guard.json.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

from report import machine, store

from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.generation.guard.answering import NEUTRAL
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.guard.fit import Wanted, fit
from gyebo.jobs.guard.learn import learn
from gyebo.jobs.guard.score import score
from gyebo.text.disguise import letters_of

POSITIVE = {"hate": ["hate"], "hate or offensive": ["hate", "offensive"]}
CLASSIFIERS = ("linear", "fine-tuned")
TERMS = "여자 남자 여성 남성 엄마 아줌마 할머니 노인 외국인 중국 일본 조선족 흑인 동성애 장애 전라도 경상도 기독교".split()


def rows(path: Path) -> list[dict[str, str]]:
    """Comments and their labels."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        names, *lines = (line.rstrip("\n").split("\t") for line in file)
    found = (dict(zip(names, fields)) for fields in lines)
    return [{"text": row["comments"], "label": row["hate"]} for row in found]


def in_the_fifth(text: str) -> bool:
    """Whether a text is for the thresholds."""
    return hashlib.blake2b(letters_of(text).encode(), digest_size=8).digest()[-1] % 5 == 0


def write(path: Path, examples: list[dict[str, str]]) -> str:
    """The examples as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in examples), encoding="utf-8")
    return str(path)


def measure(out: Path, files: dict[str, str], name: str, encoder: str | None, neighbours: int) -> dict[str, Any]:
    """The guard of what is unwanted, and its figures."""
    positive = POSITIVE[name]
    folder = out / name.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    words = learn(files["rest"], folder / "words.txt", positive, overwrite=True)
    unwanted, allowed = folder / "unwanted.txt", folder / "allowed.txt"
    examples = [json.loads(line) for line in Path(files["rest"]).read_text(encoding="utf-8").splitlines()]
    for path, kind in ((unwanted, True), (allowed, False)):
        path.write_text("".join(f"{row['text']}\n" for row in examples if (row["label"] in positive) == kind), encoding="utf-8")
    near: dict[str, Any] = {}
    if encoder:
        near = {"encoder": encoder, "unwanted": str(unwanted), "neighbours": neighbours}
        near |= {"allowed": str(allowed)} if neighbours > 1 else {}
    models = [out / kind for kind in CLASSIFIERS[: 2 if encoder else 1]]
    classifiers = [f"{model}:{','.join(positive)}" for model in models]
    wanted = Wanted(words=[str(folder / "words.txt")], classifiers=classifiers, **near)
    korean = {"neutral": NEUTRAL["ko"]}  # an encoder of Korean finds English like comments with links
    fitted = fit(files["fifth"], folder / "guard.toml", positive, wanted, settings=korean, overwrite=True, device="cpu")
    terms = folder / "terms.txt"
    terms.write_text("\n".join(TERMS) + "\n", encoding="utf-8")
    found = score(folder / "guard.toml", files["dev"], positive, terms=str(terms), device="cpu")
    for row in [*found["checks"], *({"check": each["term"], "blocked": each} for each in found["terms"])]:
        shares = ((kind, row[kind]) for kind in ("recall", "false_alarms", "blocked") if kind in row)
        shown = (f"{kind} {s['share']:.3f} ({s['low']:.3f} to {s['high']:.3f}) of {s['of']}" for kind, s in shares)
        print(f"{name:<20}{row['check']:<14}" + ", ".join(shown), flush=True)
    return {"words": words, "fitted": fitted | {"out": None}, "dev": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--encoder")
    parser.add_argument("--neighbours", type=int, default=1)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    train = rows(given.data / "train.tsv.gz")
    parts = {"fifth": [row for row in train if in_the_fifth(row["text"])], "dev": rows(given.data / "dev.tsv.gz")}
    parts["rest"] = [row for row in train if not in_the_fifth(row["text"])]
    files = {name: write(given.out / f"{name}.jsonl", examples) for name, examples in parts.items()}
    task = TaskOptions(name="classification", data=files["rest"])
    finetune_linear(task, given.out / CLASSIFIERS[0], overwrite=True)
    if given.encoder:
        finetune(FinetuneOptions(model=given.encoder, task=task, epochs=3), given.out / CLASSIFIERS[1], resume=True)
    figures = {name: measure(given.out, files, name, given.encoder, given.neighbours) for name in POSITIVE}
    sizes = {name: len(examples) for name, examples in parts.items()}
    store(
        "guard",
        {"machine": machine(), "sizes": sizes, "encoder": given.encoder and Path(given.encoder).name, "unwanted": figures},
    )


if __name__ == "__main__":
    main()
