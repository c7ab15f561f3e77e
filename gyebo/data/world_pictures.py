"""`world:pictures`: the pictures of the built-in world as a CORPUS.

world:pictures[,ko|en][,N][,outline][,unseen][,statements][,questions][,seed=N]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.run import DataOptions
from gyebo.data.records import CAPTION, FALSE, QUESTION, SIZE, Record, Region, Text
from gyebo.data.source import Source

KIND = "world pictures"
NAME = "pictures"
COUNT = 20_000
OUTLINE, UNSEEN = "outline", "unseen"
KINDS_OF = {"statements": FALSE, "questions": QUESTION}  # what else a picture's texts are, besides captions


def is_named(corpus: str) -> bool:
    """Whether a name that begins with world: means pictures."""
    return NAME in corpus.removeprefix("world:").split(",")


def source(corpus: str) -> Source:
    """The source of a name; ValueError for a part of it that is not known."""
    languages: tuple[str, ...] = ("ko", "en")
    count, settings = COUNT, []
    for part in filter(None, corpus.removeprefix("world:").split(",")):
        key, _, value = part.partition("=")
        if part in ("ko", "en"):
            languages = (part,)
        elif part.isdecimal() and int(part) > 0:
            count = int(part)
        elif part in (OUTLINE, UNSEEN, *KINDS_OF) or (key == "seed" and value.isdecimal()):
            settings.append(part)
        elif part != NAME:
            raise ValueError(
                f"{corpus}: {part!r} is no part of the name of the world's pictures: ko or en, a number of pictures, "
                f"{', '.join((OUTLINE, UNSEEN, *KINDS_OF))}, seed=N"
            )
    return Source(KIND, None, languages, count, (NAME, *sorted(set(settings))))


def records(source: Source, span: tuple[int, int]) -> Iterator[Record]:
    """The pictures of a part of the source; they are drawn when they are asked to be."""
    from gyebo.world import pictures

    seeds = [int(part.removeprefix("seed=")) for part in source.settings if part.startswith("seed=")]
    kinds = {CAPTION, *(kind for name, kind in KINDS_OF.items() if name in source.settings)}
    start, end = span
    found = pictures.pictures(
        end - start,
        seed=seeds[0] if seeds else 0,
        start=start,
        languages=source.languages,
        style="outline" if OUTLINE in source.settings else "scene",
        unseen=UNSEEN in source.settings,
    )
    for number, picture in enumerate(found, start):
        texts = tuple(Text(text.text, text.kind, text.answer) for text in picture.texts if text.kind in kinds)
        yield drawn(picture, f"{source.name}: picture {number}", texts)


def drawn(picture: Any, where: str, texts: tuple[Text, ...] = ()) -> Record:
    """A picture of the world as a record, with its things as regions; it is drawn when it is asked to be."""
    regions = tuple(Region(region.box, region.label, region.attributes) for region in picture.regions)
    return Record(where, picture, texts, regions)


def fingerprint(source: Source, options: DataOptions) -> bytes:
    """What changes where the world or its drawing does: the name, and what a few pictures hold."""
    found = [source.name.encode()]
    for record in records(source, (0, 3)):
        pixels: NDArray[np.uint8] = record.picture.draw(options.picture_size or SIZE)
        found += [pixels.tobytes(), repr((record.texts, record.regions)).encode()]
    return b"\0".join(found)
