"""A table of pictures with statements that neither side decides alone, and tiny models that see."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gyebo.interchange import save
from gyebo.models.family import find, model_class
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.conftest import OTHERS

WORDS = {"나무": (200, 30, 30), "바다": (30, 30, 200)}  # a word -> the colour that it stands for
LABELS = ("no", "yes")


def rows(folder: Path, count: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """(image file, sentence, label): "yes" where the sentence's word stands for the colour of the picture. Each of the four
    pairs is as frequent."""
    rng, found = random.Random(seed), []
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for number in range(count):
        word, shown = list(WORDS)[number % 2], list(WORDS)[number // 2 % 2]
        colour = tuple(part + rng.randint(-25, 25) for part in WORDS[shown])
        Image.new("RGB", (24, 16), colour).save(folder / "pictures" / f"{seed}-{number}.png")
        text = f"{rng.choice(OTHERS)} {word} {rng.choice(OTHERS)}."
        found.append((f"pictures/{seed}-{number}.png", text, LABELS[word == shown]))
    return found


def table(folder: Path, count: int = 64, seed: int = 0, name: str = "my.csv") -> Path:
    """The rows as a .csv with the columns picture, sentence and answer."""
    path, found = folder / name, rows(folder, count, seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("picture", "sentence", "answer"), *found])
    return path


def described(folder: Path, count: int = 64, size: int = 6) -> tuple[Path, Path]:
    """The rows as a .csv whose pictures are not there, and a file with three regions of each: their first three numbers are the
    colour, the rest noise."""
    path = table(folder, count)
    rng, names, features = np.random.default_rng(0), [], []
    for file in sorted((folder / "pictures").iterdir()):
        colour = np.asarray(Image.open(file).convert("RGB")).reshape(-1, 3)[0] / 127.5 - 1
        names.append(file.stem)
        features.append(np.concatenate([np.tile(colour, (3, 1)), rng.standard_normal((3, size - 3))], 1).astype(np.float32))
        file.unlink()
    boxes = np.tile(np.array([[0, 0, 1, 1], [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32), (len(names), 1))
    np.savez(folder / "regions.npz", names=names, counts=[3] * len(names), boxes=boxes, features=np.concatenate(features))
    return path, folder / "regions.npz"


def saved_seeing(folder: Path, family: str, tokenizer: Path, **options) -> Path:
    """A tiny model of a family that sees with fresh weights, as pretraining on pixels leaves it."""
    torch.manual_seed(0)
    line, cls = find(family), model_class(family)
    copy = Tokenizer.load(tokenizer).for_family(roles_of(line))
    ids = {f"{role}_id": copy.role_ids[role] for role in ("pad", "bos", "eos")}
    shape = {"context": 32, "width": 32, "layers": 2, "heads": 2, "crop": 8, "feature_size": 192, "init_std": 0.05}
    own = {
        "lxmert": {"region_layers": 1, "cross_layers": 1},
        "vilbert": {
            "image_width": 32,
            "image_layers": 1,
            "image_heads": 2,
            "image_inner": 32,
            "co_width": 32,
            "co_heads": 2,
            "text_at": (1,),
            "image_at": (0,),
        },
    }[family]
    save(cls(cls.config_class(vocab_size=copy.vocab_size, **{**ids, **shape, **own, **options})), copy, folder)
    return folder
