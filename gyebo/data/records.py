"""A record: one picture with its texts, and regions of it; and how pictures are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gyebo.config.run import DataOptions

CAPTION, FALSE, QUESTION = "caption", "false", "question"
KINDS = (CAPTION, FALSE, QUESTION)  # what a text says of its picture: something true, something false, a question
CHUNK_BYTES = 8 << 20  # of pixels, as they are prepared
SIZE, CROP_SIZE = 64, 16  # pixels of a side, where the options say nothing
CROP, PAD, STRETCH = "crop", "pad", "stretch"  # how a picture becomes square: its middle, all of it on white, or all stretched

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Text:
    """A text about a picture. `answer`: of a question."""

    text: str
    kind: str = CAPTION
    answer: str | None = None


@dataclass(frozen=True)
class Region:
    """A part of a picture: its box (x0, y0, x1, y1) in pixels of the picture as it is shown, from the top left, or in shares of
    it where the picture is drawn; its label, and the values of its attributes by name."""

    box: Box
    label: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A picture with its texts. `where`: file and row, for errors. `picture`: the bytes of an image file, the path of one, what
    draws itself: a picture of the world, or what a detector found in it (`gyebo/data/region_files.py`). `fit`: how it becomes
    square where the options say nothing."""

    where: str
    picture: Any
    texts: tuple[Text, ...]
    regions: tuple[Region, ...] = ()
    fit: str = CROP

    @property
    def name(self) -> str:
        """What its file is called, without folder and ending; "" for a picture that has none of its own."""
        return self.picture.stem if isinstance(self.picture, Path) else ""


def as_prepared(options: DataOptions) -> dict[str, Any]:
    """The options that decide how a picture is prepared."""
    return {
        "picture_size": options.picture_size or SIZE,
        "picture_fit": options.picture_fit,
        "crop_size": options.crop_size or CROP_SIZE,
        "picture_field": options.picture_field,
    }


def pictures_in_chunk(options: DataOptions) -> int:
    """Number of pictures of a chunk."""
    return max(1, CHUNK_BYTES // (3 * (options.picture_size or SIZE) ** 2))
