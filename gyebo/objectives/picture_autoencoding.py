"""What objectives share that learn from pictures alone: a row is a picture, and its tokens are the places at which it has a
code.

A batch holds a picture as what each of its codes stands for, row by row: `patches` [R, N, F, F, 3], N places of F x F pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data.picture_plans import one_row_a_picture, pictures_of
from gyebo.data.plan import DOCUMENT, Plan
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.objectives.objective import Batch, Defaults, Draw

VARIED = 1000  # pictures, spread over the corpus, of which the variance is computed


@dataclass(frozen=True)
class PictureAutoencoding(Defaults):
    """`size`: pixels of a side of a picture; `factor`: of what a code stands for."""

    size: int
    factor: int

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """The pixels."""
        return (BatchField("patches", TOKENS, 0, "uint8", (self.factor, self.factor, 3)),)

    @property
    def places(self) -> int:
        """Codes of a picture."""
        return (self.size // self.factor) ** 2

    def for_evaluation(self) -> PictureAutoencoding:
        """The same."""
        return self

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """A row for each picture."""
        return self.held_out(split, context)

    def held_out(self, split: Split, context: int) -> Plan:
        """The same. OptionError for another number of places."""
        if context != self.places:
            raise OptionError(f"‹context›={context} has no effect: a picture has {self.places} codes; leave it out")
        return one_row_a_picture(split, self.places)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """The pixels of a picture."""
        pictures = pictures_of(split)
        return {"patches": patches_of(pictures.read(int(pictures.of[piece[DOCUMENT]])), self.factor)}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """The picture as it is."""
        return dict(example)

    def projected(self, batch: Batch) -> dict[str, int]:
        """Nothing: there is no output layer over a vocabulary."""
        return {}


def patches_of(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """A picture [S, S, 3] as its patches [N, F, F, 3], row by row."""
    side = len(pixels) // factor
    return pixels.reshape(side, factor, side, factor, 3).swapaxes(1, 2).reshape(side * side, factor, factor, 3)


def pixels_of(batch: Batch) -> Tensor:
    """The pictures of a batch of tensors, uint8 [R, S, S, 3]."""
    patches = batch["patches"]
    rows, places, factor = patches.shape[:3]
    side = round(places**0.5)
    return patches.view(rows, side, side, factor, factor, 3).transpose(2, 3).reshape(rows, side * factor, side * factor, 3)


def variance_of(split: Split) -> float:
    """Variance of the pixel values, from 0 to 1, of pictures of a split."""
    pictures = pictures_of(split)
    numbers = np.unique(np.linspace(0, len(pictures) - 1, min(VARIED, len(pictures))).astype(int))
    values = np.stack([pictures.read(int(number)) for number in numbers])
    if not (found := float(values.var()) / 255**2):
        raise ValueError("all pixels of the corpus have one value: there is nothing to learn")
    return found
