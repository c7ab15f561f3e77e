"""What objectives share that learn from texts and the regions of their pictures: a row is a text with its picture, in two
streams.

    tokens    [CLS] 빨간 [MASK] 옆에 ... [SEP]
    regions   what is in the first box, in the second, ...

Half of the rows have another text than their picture's: one about another picture or, where a picture has false statements, one
of these. Words are masked as in `masked.py`, regions by each objective in its own way. For evaluation every text is with its
picture.

A region is a box of the picture where the corpus has boxes, otherwise a cell of a regular grid; its feature are the pixels in
it, from -1 to 1. A region may have a label, and attributes of which one at a time is learned, drawn anew each time.

n regions of a picture, F size of a feature.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data.batches import IGNORE
from gyebo.data.boxes import Boxes, as_features, regions_shown
from gyebo.data.picture_plans import one_row_a_text, pictures_of
from gyebo.data.pictures import Pictures
from gyebo.data.plan import DOCUMENT, ROOM, SIZE, Plan
from gyebo.data.records import CAPTION, FALSE, QUESTION
from gyebo.data.region_files import RegionFile, open_regions
from gyebo.data.shards import Split
from gyebo.data.streams import REGIONS, TOKENS, Arrays
from gyebo.nn.outputs import Encoded
from gyebo.objectives.framed import ATTEMPTS
from gyebo.objectives.masked import hide
from gyebo.objectives.objective import Defaults, Draw, Setting
from gyebo.text.boundaries import marks_of

BOXES, GRID = "boxes", "grid"


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    rate: float = Field(0.15, gt=0, lt=1, description="share of tokens to predict")
    mask_share: float = Field(0.8, ge=0, le=1, description="share of these replaced by the mask token")
    random_share: float = Field(0.1, ge=0, le=1, description="share of these replaced by a random token")
    region_rate: float = Field(0.15, gt=0, lt=1, description="probability of a region to be masked")
    swap: float = Field(0.5, ge=0, lt=1, description="share of rows whose text is not about their picture")
    false_share: float = Field(
        0.5, ge=0, le=1, description="share of these with a false statement about the picture, where it has any"
    )
    regions: Literal["auto", "boxes", "grid"] = Field(
        "auto", description="regions of a picture: its boxes, or the cells of a grid; auto: boxes where the corpus has any"
    )
    grid: int = Field(4, ge=1, le=16, description="cells of the grid along each side")
    most_regions: int = Field(36, ge=1, description="most regions of a picture, the first ones")
    features: str | None = Field(
        None, description="a file of region features (.tsv as LXMERT's, .npz, .parquet), by the names of the pictures' files"
    )
    labels: bool = Field(True, description="learn the labels of regions and their attributes, where there are any")

    @model_validator(mode="after")
    def _consistent(self) -> Options:
        if self.mask_share + self.random_share > 1:
            raise ValueError(f"mask_share and random_share are {self.mask_share + self.random_share:g} together, more than 1")
        if self.features and self.regions != "auto":
            raise ValueError(f"regions = {self.regions} has no effect with features, whose file has the boxes: leave it out")
        return self


@dataclass(frozen=True)
class TextWithRegions(ABC, Defaults):
    """`ids`: role -> id; `single`: the family's template; `pieces`: ids that a random piece is drawn from; `most`: regions of a
    row; `crop`: pixels of a side of a region; `labels`, `attributes`, `answers`: their names, () where they are not learned;
    `attribute_starts`: name of an attribute -> number of its first value among all. `always`: every text is another
    picture's."""

    options: Any
    ids: dict[str, int]
    single: tuple[str, ...]
    pieces: NDArray[np.int64]
    most: int
    crop: int
    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    attribute_starts: dict[str, int]
    answers: tuple[str, ...]
    swap: float
    always: bool = False
    file: RegionFile | None = None

    # -- which text is in which row

    @property
    def shortens(self) -> bool:
        """Yes: texts are exchanged, so a row may have fewer tokens than the plan says."""
        return True

    @property
    def feature_size(self) -> int:
        """Numbers of a region."""
        return 3 * self.crop**2 if self.file is None else self.file.feature_size

    @property
    def read_as(self) -> dict[str, Any]:
        """How a model reads a region: its pixels, or a feature."""
        return {"crop": self.crop if self.file is None else None, "feature_size": self.feature_size}

    @property
    @abstractmethod
    def places(self) -> int:
        """Regions of a row."""

    def lengths(self, context: int) -> dict[str, int]:
        """As many tokens as the context, and the regions of a row."""
        return {TOKENS.name: context, REGIONS.name: self.places}

    def describe(self) -> str:
        """The options, as they were settled."""
        return ", ".join(f"{name} {value}" for name, value in self.options.model_dump(exclude_none=True).items())

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """A row for each text that is true of its picture, or asks about it. A text that takes its place may be as long as the
        context."""
        kinds = (CAPTION, QUESTION) if self.answers else (CAPTION,)
        room = {TOKENS.name: context, REGIONS.name: self.places}
        return one_row_a_text(split, context, kinds=kinds, special=len(self.single) - 1, streams=(TOKENS, REGIONS), rooms=room)

    def held_out(self, split: Split, context: int) -> Plan:
        """The same."""
        return self.plan(split, context, 0)

    def unmasked(self) -> Self:
        """The same with nothing hidden and nothing exchanged: every text with its own picture, as they are."""
        none = dict.fromkeys(("mask_share", "random_share", "region_rate"), 0.0)
        return replace(self, options=self.options.model_copy(update=none), swap=0.0, always=False)

    # -- what a row holds

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """A text and its picture: `input_ids` [m] without roles, `document`, `picture`, `answer` [1] each; of the regions
        `features` [n, F], `boxes` [n, 4], `labels` [n] and `attributes` [n, A], NONE where there is none; `false_ids`, all
        false statements about the picture, and the `false_sizes` of each; `room` [1] for pieces."""
        document, pictures = int(piece[DOCUMENT]), pictures_of(split)
        picture, room = int(pictures.of[document]), int(piece[ROOM]) - (len(self.single) - 1)
        false = [_tokens(split, other, room) for other in pictures.documents(picture, FALSE)] if self.swap else []
        return {
            "input_ids": _tokens(split, document, min(int(piece[SIZE]), room)),
            "document": np.array([document]),
            "picture": np.array([picture]),
            "answer": np.array([pictures.answers[document]]),
            "false_ids": np.concatenate([np.zeros(0, np.int64), *false]),
            "false_sizes": np.array([len(ids) for ids in false], np.int64),
            **self._regions(pictures, picture),
        }

    def _detected(self, file: RegionFile, name: str) -> Arrays:
        """The regions of a picture in a file."""
        found, most = file.read(name), self.most
        none = np.full(len(found), IGNORE)
        labels, attributes = (
            none if not known or values is None else values
            for known, values in ((self.labels, found.labels), (self.attributes, found.attributes))
        )
        sure = (
            np.ones(len(found), np.float32) if values is None else values
            for values in (found.confidences, found.attribute_confidences)
        )
        names = ("features", "boxes", "labels", "attributes", "confidences", "attribute_confidences")
        values = (found.features, found.boxes, labels, attributes[:, None], *sure)
        return {name: value[:most] for name, value in zip(names, values)}

    def _regions(self, pictures: Pictures, picture: int) -> Arrays:
        if self.file is not None:
            return self._detected(self.file, pictures.files[picture])
        found, names = pictures.regions(picture), self.attribute_starts
        features, boxes = self.shown(lambda: pictures.read(picture), found.boxes, found.crops)
        labels, attributes = np.full(len(boxes), IGNORE), np.full((len(boxes), len(names)), IGNORE)
        if self.options.regions != GRID and len(found):
            labels = np.where(found.labels < 0, IGNORE, found.labels)[: self.most] if self.labels else labels
            for number, (name, start) in enumerate(names.items()):
                values = found.attributes[name][: self.most]
                attributes[:, number] = np.where(values < 0, IGNORE, values + start)
        return {"features": features, "boxes": boxes, "labels": labels, "attributes": attributes}

    def shown(
        self, picture: Callable[[], NDArray[np.uint8]], boxes: Boxes, kept: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], Boxes]:
        """The regions that are read of a picture as features [m, F], and their boxes [m, 4]; arguments as in
        `regions_shown`."""
        cells = self.options.grid if self.options.regions == GRID else None
        found, pixels = regions_shown(boxes, kept, picture, side=self.crop, most=self.most, cells=cells)
        return as_features(pixels), found

    @abstractmethod
    def as_read(self, features: NDArray[np.float32], boxes: Boxes) -> Arrays:
        """What the model reads of a picture with these regions, none of which is masked: `visual_feats` and `visual_pos`."""

    # -- corruption

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Exchange the text or not, frame it, mask words and regions."""
        text, own = self._text(example, rng, draw)
        parts = {"$A": text}
        framed = [parts.get(name, np.array([self.ids.get(name, 0)])) for name in self.single]
        real = np.repeat([name in parts for name in self.single], [len(part) for part in framed])
        options = self.options
        words = hide(
            np.concatenate(framed),
            real,
            rng,
            rate=options.rate,
            mask_share=options.mask_share,
            random_share=options.random_share,
            mask=self.ids["mask"],
            pieces=self.pieces,
        )
        attribute = _one_of(example["attributes"], rng)
        return words | self.with_regions(example | {"attribute": attribute}, own, rng, draw)

    def _text(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> tuple[NDArray[np.int64], bool]:
        """The text of a row, and whether it is about the row's picture."""
        if not self.always and rng.random() >= self.swap:
            return example["input_ids"], True
        count = len(example["false_sizes"])
        if count and rng.random() < self.options.false_share:
            ends, number = example["false_sizes"].cumsum(), int(rng.integers(count))
            return example["false_ids"][ends[number] - example["false_sizes"][number] : ends[number]], False
        return self.another(example, rng, draw)["input_ids"], False

    def another(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """An example of another picture. Raises ValueError where there is hardly any."""
        for _ in range(ATTEMPTS):
            other = draw(rng)
            if other["picture"][0] != example["picture"][0] and len(other["input_ids"]):
                return other
        raise OptionError("hardly any other picture to exchange texts with: bring more pictures, or set ‹objective.swap›=0")

    @abstractmethod
    def with_regions(self, example: Arrays, own: bool, rng: np.random.Generator, draw: Draw) -> Arrays:
        """The fields of a row beside its words. `own`: the text is about the picture."""


def _tokens(split: Split, document: int, most: int) -> NDArray[np.int64]:
    count = min(most, int(split.documents["tokens"][document]))
    return split.read(int(document), 0, count).astype(np.int64)


def _one_of(values: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """One of the values of each row [n, A] that are not IGNORE; [n], IGNORE where there is none."""
    if not values.shape[1]:
        return np.full(len(values), IGNORE)
    order = np.where(values == IGNORE, 2.0, rng.random(values.shape)).argmin(1)
    return values[np.arange(len(values)), order]


def encode(model: Any, batch: dict[str, Tensor]) -> Encoded:
    """A batch through a model that sees."""
    return model.encode(
        batch["input_ids"],
        document_ids=batch["document_ids"],
        visual_feats=batch["visual_feats"],
        visual_pos=batch["visual_pos"],
        region_document_ids=batch["region_document_ids"],
    )


def facts_of(options: Options, setting: Setting) -> dict[str, Any]:
    """What such an objective is built from, with options settled. Raises ValueError where the tokenizer has no mask,
    OptionError where the corpus has no pictures, or no boxes that are asked for."""
    tokenizer, pictures = setting.tokenizer, pictures_of(setting.split)
    if "mask" not in tokenizer.role_ids:
        raise ValueError("words are masked, but the tokenizer has no mask token: train a tokenizer with gyebo")
    counts = np.diff(pictures.regions_of)
    some = bool(counts.sum())
    if options.regions == BOXES and not some:
        raise OptionError("‹objective.regions›=boxes: the corpus has no boxes; leave it out, or use grid")
    regions = (BOXES if some else GRID) if options.regions == "auto" else options.regions
    settled = options.model_copy(update={"regions": regions})
    if options.features is not None:
        return _facts_of_file(options, setting, open_regions(options.features))
    learned = options.labels and regions == BOXES
    starts: dict[str, int] = {}
    names: list[str] = []
    for attribute, values in pictures.attributes.items() if learned else ():
        starts[attribute] = len(names)
        names += [f"{attribute}: {value}" for value in values]
    return _shared(settled, setting) | {
        "most": min(options.most_regions, max(1, int(counts.max(initial=0)))) if regions == BOXES else options.grid**2,
        "labels": pictures.labels if learned else (),
        "attributes": tuple(names),
        "attribute_starts": starts,
    }


def _shared(options: Options, setting: Setting) -> dict[str, Any]:
    return {
        "options": options,
        "ids": setting.tokenizer.role_ids,
        "single": setting.roles.single,
        "pieces": np.flatnonzero(marks_of(setting.tokenizer).piece),
        "crop": pictures_of(setting.split).crop_size,
        "swap": options.swap,
    }


def _facts_of_file(options: Options, setting: Setting, file: RegionFile) -> dict[str, Any]:
    """What follows from a file of features; its classes are called by their numbers."""
    missing = next((name for name in pictures_of(setting.split).files if name not in file), None)
    if missing is not None:
        what = f"no features of the picture {missing!r}" if missing else "the corpus has pictures without a file of their own"
        raise OptionError(f"‹objective.features›={options.features}: {what}: features are found by the names of files")
    labels, attributes = (tuple(map(str, range(count))) if options.labels else () for count in file.classes)
    return _shared(options, setting) | {
        "most": options.most_regions,
        "labels": labels,
        "attributes": attributes,
        "attribute_starts": {},
        "file": file,
    }
