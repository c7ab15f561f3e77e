"""Small labelled files and tiny pretrained models, for the tests of fine-tuning."""

import csv
import json
import random
from pathlib import Path

import torch

from gyebo.config.finetune import FinetuneOptions
from gyebo.interchange import save
from gyebo.models.family import find, model_class
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.conftest import NOUNS, OTHERS

FAMILIES = ("gpt2", "bert", "roberta", "distilbert")
GOOD, BAD = ("좋아한다", "만났다"), ("기다린다", "찾았다")
LABELS = {"positive": GOOD, "negative": BAD}


def sentences(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Different (sentence, label): its last word decides."""
    rng = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = rng.choice(list(LABELS))
        text = f"{rng.choice(NOUNS)} {rng.choice(OTHERS)} {rng.choice(NOUNS)} {rng.choice(OTHERS)} {rng.choice(LABELS[label])}."
        found[text] = label
    return list(found.items())


def table(path: Path, header: tuple[str, ...], rows: list[tuple]) -> Path:
    """A .csv file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def json_lines(path: Path, rows: list[dict]) -> Path:
    """A .jsonl file."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def reviews(folder: Path, count: int = 200, seed: int = 0, name: str = "reviews.csv") -> Path:
    """A separable classification file with the columns review and mood."""
    return table(folder / name, ("review", "mood"), sentences(count, seed))


def saved_model(folder: Path, family: str, tokenizer: Path, seed: int = 0, **options) -> Path:
    """A tiny model of a family with fresh weights, as pretraining leaves it."""
    torch.manual_seed(seed)
    line = find(family)
    copy = Tokenizer.load(tokenizer).for_family(roles_of(line))
    cls = model_class(family)
    ids = {f"{role}_id": copy.role_ids[role] for role in ("pad", "bos", "eos")}
    shape = {"context": 64, "width": 32, "layers": 2, "heads": 2, "init_std": 0.1, **options}
    save(cls(cls.config_class(vocab_size=copy.vocab_size, **ids, **shape)), copy, folder)
    return folder


def tuning(model, data=None, name: str = "classification", **changes) -> FinetuneOptions:
    """The options of a small fine-tuning, by default on `reviews`; `task`: further fields of the task."""
    columns = {"text": "review", "label": "mood"} if name == "classification" else {}
    task = {"name": name, "data": None if data is None else str(data), **columns, **changes.pop("task", {})}
    values = {"model": str(model), "epochs": 1, "batch": 16, "device": "cpu", "precision": "float32", **changes}
    return FinetuneOptions.model_validate({**values, "task": task})


def tagged(count: int, seed: int = 0) -> list[dict]:
    """Sentences in which the first noun is a PLACE."""
    rows = []
    for text, _ in sentences(count, seed):
        rows.append({"text": text, "spans": [[0, text.index(" "), "PLACE"]]})
    return rows


def questions(count: int, seed: int = 0) -> list[dict]:
    """Contexts of which the last word is asked for; every fourth question has no answer."""
    rows = []
    for number, (text, _) in enumerate(sentences(count, seed)):
        start = text.rindex(" ") + 1
        answer = {"text": text[start:-1], "answer_start": start}
        rows.append({"context": text, "question": "무엇을 하나?", "answers": [] if number % 4 == 0 else [answer]})
    return rows


def choices(count: int, seed: int = 0) -> list[dict]:
    """Prompts with three options, of which the one that ends with the same noun is right."""
    rng = random.Random(seed)
    rows = []
    for text, _ in sentences(count, seed):
        right = rng.randrange(3)
        options = rng.sample(NOUNS[1:], 3)
        options[right] = text.split()[0]
        rows.append({"text": text, "options": options, "label": right})
    return rows


def pairs(count: int, seed: int = 0) -> list[tuple]:
    """(sentence, verb, whether the verb is its last word, the same as a score)."""
    rng = random.Random(seed)
    rows = []
    for text, _ in sentences(count, seed):
        verb = rng.choice([*GOOD, *BAD])
        same = text.rstrip(".").endswith(verb)
        rows.append((text, verb, "same" if same else "other", 5.0 if same else rng.random()))
    return rows


def treebank(folder: Path, counts: dict[str, int]) -> Path:
    """Sentences as KLUE-DP has them: every word hangs on the next one, the last is the root."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in counts.items():
        lines = []
        for number, (text, _) in enumerate(sentences(count, seed=len(split))):
            words = text.split()
            lines.append(f"## {split}-{number}\t{text}")
            for place, word in enumerate(words, 1):
                last = place == len(words)
                head, relation = ("0", "VP") if last else (str(place + 1), "NP")
                lines.append("\t".join([str(place), word, word, "NNG", head, relation]))
            lines.append("")
        (folder / f"dp_{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
