"""What the benchmark of a small Korean DALL-E trains on and asks for: names of emoji, scenes of the built-in world.

Left out of training: the rows of the splits valid and test, and some pairs of a gesture and a skin tone, which a hash chooses
(`PAIRS`): each of the two is learned with others, the two together never. The world leaves its own combinations out.
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
from numpy.typing import NDArray
from PIL import Image

from gyebo.config.durable import replacing
from gyebo.data.picture_files import opened
from gyebo.world.pictures import VALUES, Scene, looks, pictures
from gyebo.world.pictures.scenes import BIG, is_faced, is_shaped
from gyebo.world.pictures.sentences import Described, Description, described, in_words, noun_phrase

Pixels = NDArray[np.uint8]
TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")  # code points, from the lightest
PAIRS = 16  # one pair of a gesture and a tone in so many is left out
PARTS = ("train", "pairs", "valid", "test")
ASKED_SEED = 2  # of the world's scenes that are asked for; no model learns from them
SEEN, COLOUR, SHAPE = "world, seen", "world, unseen colour", "world, unseen shape"


@dataclass(frozen=True)
class Asked:
    """A text to draw. `real`: a picture of it, uint8 [S, S, 3]. `others`: name of a fact -> texts that differ in it alone."""

    text: str
    real: Pixels
    others: dict[str, tuple[str, ...]]


# ---- emoji


@dataclass(frozen=True)
class Emoji:
    """A row. `gesture`: its group, which persons and tones share; `tones`: numbers of its skin tones; `shape`: its code points
    without them."""

    name: str
    png: bytes
    gesture: str
    tones: tuple[int, ...]
    shape: str
    split: str


def read_emoji(folder: Path) -> list[Emoji]:
    """All rows of emoji.parquet, in order."""
    found = []
    columns = ["name_ko", "png", "group", "codepoints", "split"]
    for row in parquet.read_table(folder / "emoji.parquet", columns=columns).to_pylist():
        points = row["codepoints"].split()
        tones = tuple(TONES.index(point) for point in points if point in TONES)
        shape = " ".join(point for point in points if point not in TONES)
        found.append(Emoji(row["name_ko"], row["png"], row["group"], tones, shape, row["split"]))
    return found


def left_out(gesture: str, tone: int) -> bool:
    """Whether a gesture in a skin tone is left out of training."""
    return _hashed(f"{gesture}|{tone}") % PAIRS == 0


def pairs_left_out(rows: Sequence[Emoji]) -> list[str]:
    """ "gesture, code point of the tone" of all that are left out, in order."""
    pairs = {(row.gesture, tone) for row in rows if part_of(row) == "pairs" for tone in row.tones}
    return [f"{gesture}, {TONES[tone]}" for gesture, tone in sorted(pairs) if left_out(gesture, tone)]


def part_of(row: Emoji) -> str:
    """One of `PARTS`."""
    if row.split == "train" and any(left_out(row.gesture, tone) for tone in row.tones):
        return "pairs"
    return row.split


def write_parts(rows: Sequence[Emoji], folder: Path) -> dict[str, Path]:
    """Part -> a parquet file with its pictures and names, the same bytes each time."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for part in PARTS:
        of = [row for row in rows if part_of(row) == part]
        content = io.BytesIO()
        table = arrow.table({"image": [row.png for row in of], "text": [row.name for row in of]})
        parquet.write_table(table, content)
        files[part] = folder / f"{part}.parquet"
        if not files[part].is_file() or files[part].read_bytes() != content.getvalue():
            with replacing(files[part]) as aside:
                aside.write_bytes(content.getvalue())
    return files


def emoji_asked(rows: Sequence[Emoji], part: str, count: int, size: int) -> list[Asked]:
    """Names of a part, chosen by a hash: of pairs those with one tone, which differ from others in it; of other parts those
    without a tone."""
    tones = 1 if part == "pairs" else 0
    of = sorted((row for row in rows if part_of(row) == part and len(row.tones) == tones), key=lambda row: _hashed(row.name))
    names = {(row.shape, row.tones): row.name for row in rows}
    found = []
    for row in of[:count]:
        others = [names.get((row.shape, (tone,))) for tone in range(len(TONES)) if (tone,) != row.tones]
        facts = {"skin tone": tuple(name for name in others if name)} if tones else {}
        found.append(Asked(row.name, _pixels(row.png, size), {name: texts for name, texts in facts.items() if texts}))
    return found


def emoji_pictures(rows: Sequence[Emoji], part: str, count: int, size: int) -> Pixels:
    """Pictures of a part, chosen by a hash, [n, S, S, 3]."""
    of = sorted((row for row in rows if part_of(row) == part), key=lambda row: _hashed(row.name))
    return np.stack([_pixels(row.png, size) for row in of[:count]])


def _pixels(png: bytes, size: int) -> Pixels:
    return np.asarray(opened(png, "emoji").resize((size, size), Image.Resampling.LANCZOS), np.uint8)


def _hashed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


# ---- the world


def world_asked(kind: str, count: int, size: int) -> list[Asked]:
    """Scenes of one big thing, each text once: `SEEN`; `COLOUR`, `SHAPE`: a thing in a colour or shape that no scene of a
    training shows it in."""
    found: dict[str, Asked] = {}
    for scene, real in _scenes(kind, size):
        description = Description((described(scene.things[0], None),), place=scene.place)
        text = _said(description)
        if text not in found:
            found[text] = Asked(text, real, {name: tuple(map(_said, other)) for name, other in _changed(description)})
        if len(found) == count:
            break
    return [*found.values()]


def world_pictures(count: int, size: int) -> Pixels:
    """Scenes of any number of things that no model learns from, [n, S, S, 3]."""
    return np.stack([picture.draw(size) for picture in pictures(count, seed=ASKED_SEED, languages=("ko",))])


def avocado_chairs() -> list[str]:
    """ "아보카도 모양의 의자" in the colours in which the world shows chairs; it never shows one of this shape."""
    chair, avocado = _number("thing", "의자"), _number("shape", "아보카도 모양의")
    held_out = looks().held_out
    assert ("shape", chair, avocado) in held_out
    colours = [value for value in range(len(VALUES["colour"])) if ("colour", chair, value) not in held_out]
    plain = (("thing", chair), ("shape", avocado))
    return [noun_phrase(Described((*plain, ("colour", colour))), "ko") for colour in colours]


def _number(name: str, korean: str) -> int:
    return [word for word, _ in VALUES[name]].index(korean)


def _scenes(kind: str, size: int) -> Iterator[tuple[Scene, Pixels]]:
    """Scenes of a kind without end, and their pictures."""
    held_out, start = looks().held_out, 0
    while True:
        for picture in pictures(100, seed=ASKED_SEED, start=start, languages=("ko",), unseen=kind != SEEN):
            thing = picture.scene.things[0]
            if len(picture.scene.things) > 1 or thing.size != BIG:
                continue
            new = {name for name in ("colour", "shape") if (name, thing.thing, thing.value(name)) in held_out}
            if new == {SEEN: set(), COLOUR: {"colour"}, SHAPE: {"shape"}}[kind]:
                yield picture.scene, picture.draw(size)
        start += 100


def _said(description: Description) -> str:
    return in_words(description, "ko", random.Random(0), phrase=True)


def _changed(description: Description) -> Iterator[tuple[str, list[Description]]]:
    """Name of each fact that is told -> the descriptions with another value of it; of things one of which the same can be
    told."""
    told = description.things[0]
    for name, value in told.values:
        others = [other for other in range(len(VALUES[name])) if other != value]
        if name == "thing":
            others = [v for v in others if (is_shaped(v), is_faced(v)) == (is_shaped(value), is_faced(value))]
        changed = [Described(tuple((n, other if n == name else v) for n, v in told.values)) for other in others]
        yield name, [replace(description, things=(thing,)) for thing in changed]
    places = range(len(VALUES["place"]))
    yield "place", [replace(description, place=other) for other in places if other != description.place]
