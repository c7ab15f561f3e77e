"""`gyebo world --pictures`: pictures of the world as PNG files with a captions file, which can be read as a CORPUS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from gyebo.config import durable
from gyebo.config.errors import OptionError
from gyebo.world import pictures as drawn

CAPTIONS = "captions.jsonl"


def write_pictures(
    out: Path | str,
    count: int,
    *,
    size: int = 64,
    seed: int = 0,
    languages: tuple[str, ...] = ("ko", "en"),
    style: str = "scene",
    unseen: bool = False,
    report: Callable[[int], None] | None = None,
) -> int:
    """Write `count` pictures of `size` pixels a side into a new folder; returns how many texts they have.

    Each row of captions.jsonl is a text: file_name, text, kind (caption, false, question), answer of a question; the first row
    of a picture also has its objects. OptionError for a folder that holds something, ValueError as in `world.pictures`.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OptionError(f"‹pictures›={out} exists already: name a new folder")
    options: dict[str, Any] = {"seed": seed, "languages": languages, "style": style, "unseen": unseen}
    next(drawn.pictures(1, **options)).draw(size)  # what can't be drawn leaves no folder behind
    durable.make_folder(out)
    found = drawn.pictures(count, **options)
    texts = 0
    with durable.replacing(out / CAPTIONS) as aside, aside.open("w", encoding="utf-8") as file:
        for number, picture in enumerate(found):
            name = f"{number:06d}.png"
            Image.fromarray(picture.draw(size)).save(out / name)
            for row in rows_of(picture, name, size):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                texts += 1
            if report:
                report(number + 1)
    return texts


def rows_of(picture: drawn.Picture, name: str, size: int) -> Iterator[dict[str, Any]]:
    """The rows of a captions file about a picture; boxes in pixels."""
    objects = [
        {"box": [round(size * share, 2) for share in region.box], "label": region.label, **region.attributes}
        for region in picture.regions
    ]
    for number, text in enumerate(picture.texts):
        row: dict[str, Any] = {"file_name": name, "text": text.text, "kind": text.kind, "language": text.language}
        yield row | ({"answer": text.answer} if text.answer else {}) | ({} if number else {"objects": objects})
