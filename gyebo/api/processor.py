"""What prepares pictures for a model: beside its texts (`Processor`), or alone (`PictureProcessor`).

A picture is the path of an image file, its bytes, an image of PIL, or an array uint8 [H, W, 3] or [H, W]. It is brought to what
the model's run learned from. Letters: B pictures, S pixels of a side, R regions, F numbers of a region, N image tokens.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data.boxes import as_features, with_whole
from gyebo.data.picture_files import seen
from gyebo.data.records import Record, Region
from gyebo.tasks.heads.task_model import body_of
from gyebo.tasks.seeing import BOXES, GRID, PictureReading
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

PIXELS, VALUES, CODES = "pixels", "pixel_values", "image_ids"


class PictureProcessor:
    """Pictures to the inputs of a model that reads no text: {"pixels": uint8 [B, S, S, 3]}."""

    tokenizer: Tokenizer | None = None

    def __init__(self, model: Any, name: str | Path | None = None) -> None:
        """name: the run whose record says how pictures were read."""
        self._read = _Reader(model, name)

    def __call__(self, pictures: Any) -> dict[str, Any]:
        """The inputs for some pictures, or for one."""
        return self._read(_several(pictures), None)

    def __repr__(self) -> str:
        return f"PictureProcessor({self._read.gives})"


class Processor(Tokenizer):
    """Texts and pictures to the inputs of a model that sees: a tokenizer that takes `pictures=` too. `tokenizer`: it alone."""

    def __init__(self, tokenizer: Tokenizer, model: Any, name: str | Path | None = None) -> None:
        self.__dict__.update(tokenizer.__dict__)
        self.tokenizer = tokenizer
        self._read = _Reader(model, name)

    @property
    def target(self) -> Tokenizer:
        """The tokenizer itself."""
        return self.tokenizer.target

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of texts."""
        return self.tokenizer.encode_batch(texts)

    def save(self, directory: str | Path, *, max_length: int | None = None) -> None:
        """Write the tokenizer; how pictures are read stands in the model's files."""
        self.tokenizer.save(directory, max_length=max_length)

    def __call__(  # type: ignore[override]
        self, texts: Any = None, pairs: Any = None, *, pictures: Any = None, boxes: Any = None, **options: Any
    ) -> dict[str, Any]:
        """The inputs for texts, as the tokenizer gives them, for pictures, or for both, a picture for each text.

        boxes: of a model that reads regions, for each picture its boxes [n, 4] in pixels from the top left, (x0, y0, x1, y1);
        without them cells of a grid. With pictures, texts become padded tensors. Raises ValueError for what is no picture, and
        for boxes that don't fit.
        """
        if texts is None and pictures is None:
            raise OptionError("‹texts› and ‹pictures› are both missing: give one")
        if boxes is not None and pictures is None:
            raise OptionError("‹boxes› has no effect without ‹pictures›: leave it out")
        if pictures is None:
            return self.tokenizer(texts, pairs, **options)
        found = self._read(_several(pictures), boxes)
        if texts is None:
            return found
        lines = [texts] if isinstance(texts, str) else list(texts)
        shown = len(next(iter(found.values())))
        if len(lines) != shown and not self._read.compares:
            raise OptionError(f"‹pictures›: {shown} for {len(lines)} texts: give one for each")
        further = [pairs] if isinstance(pairs, str) else pairs
        usual = {"padding": True, "return_tensors": "pt"}
        return self.tokenizer(lines, further, **{**usual, **options}) | found

    def __repr__(self) -> str:
        return f"Processor({self.tokenizer!r}, {self._read.gives})"


class _Reader:
    """Pictures as one model reads them."""

    def __init__(self, model: Any, name: str | Path | None) -> None:
        from gyebo.jobs.picture_reading import pictures_as_read, reading_of

        body = body_of(model)
        self.compares: bool = body.compares
        self.painter: Any = body.picture_tokenizer if body.draws or body.captions else None
        self.without_painter = (body.draws or body.captions) and self.painter is None
        self.regions: PictureReading | None = None
        self.refused = ""
        read = None if self.without_painter else pictures_as_read(name, body)
        self.options = DataOptions(corpus=["."], **(read or {}))
        self.gives = VALUES if body.compares else PIXELS if body.tokenizes_pictures else CODES
        if body.sees:
            self.gives = "visual_feats, visual_pos"
            try:
                self.regions = reading_of(name, model)
            except ValueError as error:  # it reads what a detector found, which its user gives
                self.refused = str(error)

    def __call__(self, pictures: list[Any], boxes: Any) -> dict[str, Any]:
        if self.refused:
            raise ValueError(self.refused)
        if self.without_painter:
            raise ValueError("this model has no picture_tokenizer folder, without which it knows no codes: load the whole run")
        records = [_record(picture, number) for number, picture in enumerate(pictures)]
        if not records:
            raise OptionError("‹pictures› is empty: give one at least")
        if self.regions is not None:
            return _regions(records, self.regions, boxes)
        if boxes is not None:
            raise OptionError("‹boxes› has no effect on a model that reads whole pictures: leave it out")
        pixels = np.stack([seen(record, self.options).pixels for record in records])
        return {self.gives: self._codes(pixels) if self.painter is not None else _tensor(pixels)}

    def _codes(self, pixels: NDArray[np.uint8]) -> Tensor:
        import torch

        with torch.inference_mode():
            codes: Tensor = self.painter.encode_pixels(_tensor(pixels).to(self.painter.device))
        return codes.cpu()


def _regions(records: list[Record], reading: PictureReading, boxes: Any) -> dict[str, Any]:
    """Features [B, R, F], boxes [B, R, 4 or 5] and mask [B, R] of the regions of pictures, padded with zeros."""
    if boxes is None and reading.regions not in (BOXES, GRID):
        reading = replace(reading, regions=GRID)
    if boxes is not None:
        if reading.regions == GRID:
            raise OptionError("‹boxes› has no effect on a model that learned from the cells of a grid: leave it out")
        given = [np.asarray(each, np.float64) for each in boxes]
        if len(given) != len(records):
            raise OptionError(f"‹boxes›: {len(given)} for {len(records)} pictures: give the boxes of each")
        if wrong := [list(each.shape) for each in given if each.ndim != 2 or each.shape[1] != 4]:
            raise OptionError(f"‹boxes› must be [n, 4] for each picture, but are {wrong[0]} instead")
        reading = replace(reading, regions=BOXES)
        records = [
            replace(record, regions=tuple(Region(tuple(map(float, box))) for box in each))  # type: ignore[arg-type]
            for record, each in zip(records, given)
        ]
    found = [reading.seen_of(record) for record in records]
    features = [as_features(pixels) for _, pixels in found]
    places = [boxes for boxes, _ in found]
    if reading.whole:
        features = [np.concatenate([each.mean(0, keepdims=True, dtype=np.float64), each]) for each in features]
        places = [with_whole(each) for each in places]
    mask = [np.ones(len(each), np.int64) for each in features]
    shown: dict[str, Sequence[NDArray[Any]]] = {"visual_feats": features, "visual_pos": places, "visual_attention_mask": mask}
    return {name: _padded(rows) for name, rows in shown.items()}


def _padded(rows: Sequence[NDArray[Any]]) -> Tensor:
    most = max(map(len, rows))
    kind = np.int64 if rows[0].dtype == np.int64 else np.float32
    table = np.zeros((len(rows), most, *rows[0].shape[1:]), kind)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return _tensor(table)


def _tensor(values: NDArray[Any]) -> Tensor:
    import torch

    return torch.from_numpy(values)


def _several(pictures: Any) -> list[Any]:
    """A list of pictures; one alone is one."""
    if isinstance(pictures, list | tuple):
        return list(pictures)
    if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
        return list(pictures)
    return [pictures]


def _record(picture: Any, number: int) -> Record:
    where = f"picture {number} (from 0)"
    if isinstance(picture, str | Path):
        path = Path(picture)
        if not path.is_file():
            raise FileNotFoundError(f"{where}: {path}: no such file")
        return Record(str(path), path, ())
    if isinstance(picture, bytes):
        return Record(where, picture, ())
    from PIL import Image

    if not isinstance(picture, Image.Image):
        picture = Image.fromarray(_pixels(picture, where))
    content = io.BytesIO()
    kept = picture if picture.mode in ("RGB", "RGBA", "L", "LA", "P", "1", "I;16") else picture.convert("RGB")
    kept.save(content, "PNG")  # nothing is lost
    return Record(where, content.getvalue(), ())


def _pixels(picture: Any, where: str) -> NDArray[np.uint8]:
    if not isinstance(picture, np.ndarray) and type(picture).__module__.partition(".")[0] != "torch":
        raise OptionError(f"‹pictures›: {where} is a {type(picture).__name__}: give a path, an image of PIL or an array")
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        raise OptionError(
            f"‹pictures›: {where} must be uint8 [H, W, 3] or [H, W], but is {pixels.dtype} {list(pixels.shape)} instead"
        )
    return pixels
