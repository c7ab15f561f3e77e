"""From a picture file to the pixels that are stored: checked before it is decoded, turned upright, in colour, on white, square.

The size that a file declares is checked first, so that a small file that would unpack to gigabytes is refused. What a camera
noted as its rotation is applied; CMYK, grey, palette and 16-bit pictures become RGB; what is transparent becomes white.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.run import DataOptions
from gyebo.data.boxes import check_boxes
from gyebo.data.pictures import Seen
from gyebo.data.records import CROP, STRETCH, Box, Record, as_prepared

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")
MOST_PIXELS = 50_000_000  # of a picture, as its header says
WHITE = (255, 255, 255)
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class Fit:
    """How a picture of `width` x `height` becomes a square of `size`: the part `source` of it, in pixels, is what stands in the
    part `target` of the square, in pixels."""

    source: Box
    target: tuple[int, int, int, int]
    size: int

    @classmethod
    def of(cls, width: int, height: int, size: int, how: str) -> Fit:
        """`how`: one of `CROP`, `PAD` and `STRETCH` (`records.py`)."""
        if how == CROP:
            side = min(width, height)
            x, y = (width - side) / 2, (height - side) / 2
            return cls((x, y, x + side, y + side), (0, 0, size, size), size)
        if how == STRETCH:
            return cls((0, 0, width, height), (0, 0, size, size), size)
        longer = max(width, height)
        w, h = max(1, round(width * size / longer)), max(1, round(height * size / longer))
        x0, y0 = (size - w) // 2, (size - h) // 2
        return cls((0, 0, width, height), (x0, y0, x0 + w, y0 + h), size)

    def shares(self, box: Box) -> Box | None:
        """A box of the picture, in pixels, as shares of the square, cut where that ends; None where none of it is seen."""
        (sx0, sy0, sx1, sy1), (tx0, ty0, tx1, ty1) = self.source, self.target
        across, down = (tx1 - tx0) / (sx1 - sx0), (ty1 - ty0) / (sy1 - sy0)
        xs = [(tx0 + (min(max(x, sx0), sx1) - sx0) * across) / self.size for x in (box[0], box[2])]
        ys = [(ty0 + (min(max(y, sy0), sy1) - sy0) * down) / self.size for y in (box[1], box[3])]
        return (xs[0], ys[0], xs[1], ys[1]) if xs[0] < xs[1] and ys[0] < ys[1] else None


def seen(record: Record, options: DataOptions) -> Seen:
    """A record with its pixels, as the options of a corpus say. Errors as of `looked_at`."""
    asked = as_prepared(options)
    return looked_at(record, size=asked["picture_size"], fit=asked["picture_fit"], crop_size=asked["crop_size"])


def looked_at(record: Record, *, size: int, fit: str | None, crop_size: int) -> Seen:
    """A record with its pixels: a square of `size`, made as `fit` says (None: as the record says), and crops of `crop_size` of
    its regions. ValueError names the record where its picture or a box can't be used."""
    if not isinstance(record.picture, bytes | Path):
        return _drawn(record, size, crop_size)
    image = opened(record.picture, record.where)
    square_of = Fit.of(image.width, image.height, size, fit or record.fit)
    check_boxes(np.array([region.box for region in record.regions]).reshape(-1, 4), record.where, image.width, image.height)
    kept = [(region, shares) for region in record.regions if (shares := square_of.shares(region.box)) is not None]
    crops = [_crop(image, region.box, crop_size) for region, _ in kept]
    square = np.full((size, size, 3), WHITE, np.uint8)
    x0, y0, x1, y1 = square_of.target
    square[y0:y1, x0:x1] = _resized(image, square_of.source, x1 - x0, y1 - y0)
    shown = Record(record.where, record.picture, record.texts, tuple(region for region, _ in kept))
    return Seen(shown, square, _boxes([shares for _, shares in kept]), _crops(crops, crop_size))


def _drawn(record: Record, size: int, crop_size: int) -> Seen:
    """A picture of the world, whose boxes are shares already."""
    from PIL import Image

    pixels = record.picture.draw(size)
    image = Image.fromarray(pixels)
    boxes = [region.box for region in record.regions]
    crops = [_crop(image, (x0 * size, y0 * size, x1 * size, y1 * size), crop_size) for x0, y0, x1, y1 in boxes]
    return Seen(record, pixels, _boxes(boxes), _crops(crops, crop_size))


def _boxes(boxes: list[Box]) -> NDArray[np.float32]:
    return np.array(boxes, np.float32).reshape(-1, 4)


def _crops(crops: list[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
    return np.array(crops, np.uint8).reshape(-1, size, size, 3)


def _crop(image: Image, box: Box, size: int) -> NDArray[np.uint8]:
    """The pixels that a box touches, without those around it, as a square of `size`."""
    found = image.crop((math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])))
    return _resized(found, (0, 0, found.width, found.height), size, size)


def _resized(image: Image, box: Box, width: int, height: int) -> NDArray[np.uint8]:
    from PIL import Image as pillow

    return np.asarray(image.resize((width, height), pillow.Resampling.LANCZOS, box), np.uint8)


def opened(picture: bytes | Path, where: str) -> Image:
    """A picture upright and in RGB. ValueError in a line that begins with `where` for what can't be decoded or is too large."""
    from PIL import ImageOps

    with _readable(picture, where) as image:
        if image.format not in FORMATS:
            raise ValueError(f"{where}: a picture of the kind {image.format}: convert it to one of {', '.join(FORMATS)}")
        if image.width * image.height > MOST_PIXELS:
            raise ValueError(
                f"{where}: the picture declares {image.width} x {image.height} pixels, more than {MOST_PIXELS:,}: "
                "make it smaller"
            )
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
            return in_colour(upright)
        except _DAMAGED as error:
            raise ValueError(f"{where}: the picture is damaged or cut short: {error}") from None


@contextmanager
def _readable(picture: bytes | Path, where: str) -> Iterator[Image]:
    """A picture of which no more than the header is read."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a large picture; it is refused by our own limit
            image = Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{where}: the picture {error.filename} is missing") from None
    except UnidentifiedImageError:
        raise ValueError(
            f"{where}: no picture of a known kind ({', '.join(FORMATS)}), or its first bytes are damaged"
        ) from None
    except Image.DecompressionBombError:
        raise ValueError(f"{where}: the picture declares more than {MOST_PIXELS:,} pixels: make it smaller") from None
    except _DAMAGED as error:
        raise ValueError(f"{where}: the picture can't be read: {error}") from None
    with image:
        yield image


def in_colour(image: Image) -> Image:
    """A decoded picture in RGB, 8 bits a channel, what is transparent on white."""
    from PIL import Image as pillow

    if image.mode.startswith("I") or image.mode == "F":  # 16 bits, which Pillow would cut off instead of scaling
        image = _in_eight_bits(image)
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = pillow.new("RGBA", image.size, (*WHITE, 255))
        image = pillow.alpha_composite(paper, image)
    return image.convert("RGB")


def _in_eight_bits(image: Image) -> Image:
    """A grey picture of 16 bits, with the value that means transparent, if it has one, as an alpha channel."""
    from PIL import Image as pillow

    values: NDArray[Any] = np.asarray(image).astype(np.int64)
    grey = pillow.fromarray(np.clip((values + 128) // 257, 0, 255).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(pillow.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return grey
