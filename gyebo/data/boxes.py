"""Boxes of regions: in shares of a picture, as a regular grid, with their area, and the pixels in them as features.

A box is x0, y0, x1, y1 from the top left corner. n boxes, S side of a crop, H and W sides of a picture in pixels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SLACK = 1e-5  # by which a box may pass the picture's border: files hold rounded numbers
WHOLE = (0.0, 0.0, 1.0, 1.0)

Boxes = NDArray[np.float32]  # [n, 4]


def check_boxes(boxes: NDArray[np.floating], where: str, width: float = 1.0, height: float = 1.0) -> None:
    """ValueError, naming the first of them, where boxes [n, 4] are not inside a picture of this width and height, or empty."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{where}: boxes must be [n, 4] (x0, y0, x1, y1), but are {list(boxes.shape)} instead")
    sides, slack = np.array([width, height, width, height]), SLACK * np.array([width, height, width, height])
    inside = np.isfinite(boxes).all(1) & (boxes >= -slack).all(1) & (boxes <= sides + slack).all(1)
    good = inside & (boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])
    if good.all():
        return
    number = int(np.argmin(good))
    found = ", ".join(f"{value:g}" for value in boxes[number])
    why = f"not inside the picture of {width:g} x {height:g}" if not inside[number] else "empty: x0 < x1 and y0 < y1 are needed"
    raise ValueError(f"{where}: box {number} ({found}) is {why}")


def in_shares(boxes: NDArray[np.floating], width: float, height: float, where: str) -> Boxes:
    """Boxes in pixels as shares of width and height (LXMERT and ViLBERT alike); ValueError as of `check_boxes`."""
    if not (width > 0 and height > 0):
        raise ValueError(f"{where}: the picture's width and height must be positive, but are {width:g} and {height:g} instead")
    check_boxes(boxes, where, width, height)
    return np.clip(boxes / np.array([width, height, width, height]), 0, 1).astype(np.float32)


def grid(columns: int, rows: int) -> Boxes:
    """The boxes of a regular grid, row by row from the top left, in shares."""
    if columns < 1 or rows < 1:
        raise ValueError(f"a grid needs at least one column and one row, but has {columns} and {rows}")
    y, x = np.mgrid[:rows, :columns].reshape(2, -1)
    return np.stack([x / columns, y / rows, (x + 1) / columns, (y + 1) / rows], 1).astype(np.float32)


def with_area(boxes: Boxes) -> Boxes:
    """Boxes in shares with the share of the area as their fifth number, as ViLBERT has them: [n, 5]."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.concatenate([boxes, area[:, None]], 1).astype(np.float32)


def with_whole(boxes: Boxes) -> Boxes:
    """Boxes in shares [n, 4] as ViLBERT has them: the whole picture before them, and the share of the area: [1 + n, 5]."""
    return with_area(np.concatenate([np.array([WHOLE], np.float32), boxes]))


def regions_shown(
    boxes: Boxes,
    kept: NDArray[np.uint8],
    picture: Callable[[], NDArray[np.uint8]],
    *,
    side: int,
    most: int,
    cells: int | None = None,
) -> tuple[Boxes, NDArray[np.uint8]]:
    """The regions that a model reads of a picture, at least one: boxes [n, 4] and their pixels [n, S, S, 3].

    They are the first `most` of its boxes, whose pixels are `kept`, or all of the picture where nothing was found in it; with
    `cells` those of a regular grid with so many along each side.
    """
    if cells is None and len(boxes):
        return boxes[:most], kept[:most]
    found = np.array([WHOLE], np.float32) if cells is None else grid(cells, cells)
    return found, crops(picture(), found, side)


def as_features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels of regions [n, ...] as a model reads them, from -1 to 1: [n, F]."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / 127.5 - 1


def overlaps(boxes: Boxes) -> NDArray[np.float32]:
    """Intersection over union of every two boxes, [n, n]."""
    low, high = np.maximum(boxes[:, None, :2], boxes[None, :, :2]), np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    union = area[:, None] + area[None] - shared
    return (shared / np.maximum(union, np.finfo(np.float32).tiny)).astype(np.float32)


def crops(picture: NDArray[np.uint8], boxes: Boxes, side: int) -> NDArray[np.uint8]:
    """What is in boxes (in shares) of a picture [H, W, 3], brought to `side` pixels: [n, S, S, 3].

    Each pixel is the mean over the area that it covers in the picture, so that nothing thin is lost where much is reduced.
    """
    height, width, _ = picture.shape
    sums = np.zeros((height + 1, width + 1, 3))
    np.cumsum(np.cumsum(picture, 0, dtype=np.float64), 1, out=sums[1:, 1:])
    steps = np.linspace(0, 1, side + 1)
    x = (boxes[:, 0, None] + (boxes[:, 2] - boxes[:, 0])[:, None] * steps).astype(np.float64) * width  # [n, S + 1]
    y = (boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * steps).astype(np.float64) * height
    row, part = _between(y, height)
    at_rows = sums[row] * (1 - part)[..., None, None] + sums[row + 1] * part[..., None, None]  # [n, S + 1, W + 1, 3]
    column, part = _between(x, width)
    each = np.arange(len(boxes))[:, None, None]
    line = np.arange(side + 1)[None, :, None]
    left, right = (at_rows[each, line, place[:, None, :]] for place in (column, column + 1))  # [n, S + 1, S + 1, 3]
    at_points = left * (1 - part)[:, None, :, None] + right * part[:, None, :, None]
    total = np.diff(np.diff(at_points, axis=1), axis=2)
    area = np.diff(y, axis=1)[:, :, None] * np.diff(x, axis=1)[:, None, :]
    return np.clip(np.rint(total / area[..., None]), 0, 255).astype(np.uint8)


def _between(places: NDArray[np.float64], last: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The whole number below each place from 0 to `last`, at most last - 1, and how far it is to the next."""
    below = np.clip(np.floor(places), 0, last - 1).astype(np.int64)
    return below, places - below
