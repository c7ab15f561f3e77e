"""How a model that sees reads the picture of an example: as regions, in the stream "regions" beside the tokens.

What is read is what the model learned from in pretraining: the boxes of the picture, or cells of a grid, each as its pixels
(`gyebo/data/boxes.py`), or the features that a detector gave (`gyebo/data/region_files.py`). IMG, the region of the whole
picture that ViLBERT has before the others, is the mean of their features, as in the authors' fine-tuning. No torch.

N rows, n regions of a picture, F numbers of a region.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data.boxes import as_features, regions_shown, with_whole
from gyebo.data.picture_files import looked_at
from gyebo.data.records import CROP_SIZE, SIZE, Record
from gyebo.data.region_files import GivenRegions
from gyebo.data.streams import REGIONS, BatchField
from gyebo.tasks.features import Features, Ragged, ragged
from gyebo.tasks.task import Example

FIELD = "gyebo_pictures"  # of config.json
TEXT, IMAGE = "text", "image"  # what may be left out of an example
BOXES, GRID, AUTO = "boxes", "grid", "auto"


@dataclass(frozen=True, kw_only=True)
class PictureReading:
    """How pictures become regions.

    `size`, `fit`: pixels a side to which a picture is brought, and how (None: as its record says); `crop`: pixels a side of a
    region; `regions`: its boxes, the cells of a grid of `grid` x `grid`, or AUTO, which `settled` decides; `most`: the regions
    that are read of a picture; `features`: numbers that a detector gives for each region, None where pixels are read. `whole`:
    the whole picture stands before them, and boxes have 5 numbers (ViLBERT). `left_out`: TEXT or IMAGE, the side of an example
    that is not read (an ablation).
    """

    size: int = SIZE
    fit: str | None = None
    crop: int = CROP_SIZE
    regions: str = AUTO
    grid: int = 4
    most: int = 36
    features: int | None = None
    whole: bool = False
    left_out: str | None = None

    def settled(self, examples: Iterable[Example]) -> PictureReading:
        """With boxes or a grid, by whether any of the training examples has boxes."""
        if self.regions != AUTO or self.features:
            return self
        some = any(example.picture is not None and example.picture.regions for example in examples)
        return replace(self, regions=BOXES if some else GRID)

    def as_dict(self) -> dict[str, Any]:
        """What differs from the defaults, for `config.json`."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

    def seen_of(self, record: Record) -> tuple[NDArray[np.float32], NDArray[Any]]:
        """The boxes [n, 4] of a picture's regions, at least one, and their pixels, uint8 [n, F], or features, float32.
        ValueError names the record where its picture or a box can't be used, or has pixels where features are read."""
        if isinstance(record.picture, GivenRegions) or self.features:
            return self._given_of(record)
        found = looked_at(record, size=self.size, fit=self.fit, crop_size=self.crop)
        cells = self.grid if self.regions == GRID else None
        boxes, pixels = regions_shown(
            found.boxes, found.crops, lambda: found.pixels, side=self.crop, most=self.most, cells=cells
        )
        return boxes, pixels.reshape(len(boxes), -1)

    def _given_of(self, record: Record) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if not self.features:
            raise OptionError(f"{record.where}: the model reads pixels of pictures: leave ‹features› out")
        if not isinstance(record.picture, GivenRegions):
            raise OptionError(
                f"{record.where}: the model reads features of a detector ({self.features:,} numbers a region), which gyebo "
                "does not make of a picture: give their file with ‹features›, or start from a model that was trained on pixels"
            )
        size = record.picture.file.feature_size
        if size != self.features:
            raise OptionError(
                f"‹features›={record.picture.file.path}: has {size:,} numbers a region, but the model reads {self.features:,}"
            )
        found = record.picture.read()
        if not len(found):
            raise ValueError(f"{record.where}: {record.picture.file.path} has no region of the picture {record.picture.name!r}")
        return found.boxes[: self.most], found.features[: self.most]


def read(given: Mapping[str, Any], where: str) -> PictureReading | None:
    """What a parsed `config.json` says of pictures, None where it says nothing; ValueError, naming `where`, for anything else
    than `as_dict` writes."""
    if FIELD not in given:
        return None
    found, known = given[FIELD], {f.name: f for f in fields(PictureReading)}
    if not isinstance(found, dict):
        raise ValueError(f"{where}: {FIELD} must be an object, but is {str(found)[:60]!r} instead")
    for name, value in found.items():
        if name not in known or not _fits(name, value):
            raise ValueError(f"{where}: {FIELD}.{name} is {str(value)[:60]!r}, which gyebo does not write there")
    return PictureReading(**found)


_WORDS = {"fit": ("crop", "pad", "stretch"), "regions": (BOXES, GRID, AUTO), "left_out": (TEXT, IMAGE)}
_MOST = {"size": 512, "crop": 128, "grid": 16, "most": 10_000, "features": 1_000_000}


def _fits(name: str, value: Any) -> bool:
    if name in _WORDS:
        return value in _WORDS[name]
    return type(value) is bool if name == "whole" else type(value) is int and 1 <= value <= _MOST[name]


@dataclass(frozen=True)
class SeenRegions(Ragged):
    """The regions of pictures [sum of n, F]: features, or pixels as bytes, which are given out as features from -1 to 1, for a
    quarter of the memory. `whole`: before those of each picture stands their mean."""

    whole: bool = False

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Regions of each picture."""
        return np.diff(self.starts) + self.whole

    def lengths_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Regions of these pictures."""
        return super().lengths_of(numbers) + self.whole

    def joined(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """The features of these pictures' regions, concatenated."""
        regions = Ragged(self.values, self.starts)
        found, counts = regions.joined(numbers), regions.lengths_of(numbers)
        features = as_features(found) if found.dtype == np.uint8 else found
        if not self.whole or not len(numbers):
            return features
        before = np.cumsum(counts) - counts
        means = np.add.reduceat(features, before, dtype=np.float64) / counts[:, None]
        return np.insert(features, before, means, axis=0)


def with_regions(features: Features, examples: Sequence[Example], reading: PictureReading) -> Features:
    """The features of examples with their pictures: "visual_feats" and "visual_pos" in the stream "regions", whose
    "region_document_ids" follow. Without regions where the image is left out.

    Raises ValueError, naming the example, where it has no picture, or one that can't be read.
    """
    if reading.left_out == IMAGE:
        return features
    found = [reading.seen_of(_picture(examples[number])) for number in features.example]
    seen = ragged(seen for _, seen in found)
    boxes = ragged(with_whole(boxes) if reading.whole else boxes for boxes, _ in found)
    columns = {"visual_feats": SeenRegions(seen.values, seen.starts, reading.whole), "visual_pos": boxes}
    shapes = {"visual_feats": (reading.features or 3 * reading.crop**2,), "visual_pos": (5 if reading.whole else 4,)}
    added = (BatchField(name, REGIONS, 0, "float32", shape) for name, shape in shapes.items())
    return replace(features, columns=features.columns | columns, fields=(*features.fields, *added))


def _picture(example: Example) -> Record:
    if example.picture is None:
        raise ValueError(f"example {example.id}: has no picture")
    return example.picture


def without(examples: Sequence[Example], reading: PictureReading) -> Sequence[Example]:
    """The examples as they are read: of a text that is left out only the special tokens stay."""
    if reading.left_out != TEXT:
        return examples
    return [replace(example, text="", pair=None) for example in examples]


def picture_key(record: Record | None) -> str:
    """What is equal for equal pictures with equal regions, "" for none: the file's content, or what is drawn."""
    if record is None:
        return ""
    if isinstance(record.picture, GivenRegions):
        found = record.picture.read()
        return hashlib.blake2b(found.boxes.tobytes() + found.features.tobytes(), digest_size=16).hexdigest()
    content = record.picture.read_bytes() if isinstance(record.picture, Path) else record.picture
    content = content if isinstance(content, bytes) else repr(content).encode()
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(repr((record.fit, [asdict(region) for region in record.regions])).encode())
    return digest.hexdigest()
