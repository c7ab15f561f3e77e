"""What is asked of each kind of model: its units while it reads stimuli, and what it answers while some are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.config.run import DataOptions
from gyebo.jobs.inspection.neurons.probes import Probes, Stimulus

AT_ONCE = 64  # stimuli
Held = Mapping[str, tuple[Tensor, Tensor]]  # layer -> units [n], the values that they have [n]


@dataclass(frozen=True)
class Question:
    """Something about a concept that a model gets right or wrong. `kind`: what is asked; `content`: the reader's own."""

    concept: str
    kind: str
    content: Any


class Reader(Protocol):
    """A model that is looked into."""

    @property
    def model(self) -> Any:
        """The model."""

    @property
    def data(self) -> DataOptions:
        """How pictures are prepared for it."""

    @property
    def layers(self) -> dict[str, int]:
        """Name of a layer -> its units."""

    @property
    def described(self) -> str:
        """What a unit is, in words."""

    def activations(self, stimuli: Sequence[Stimulus]) -> NDArray[np.float32]:
        """The units of all layers, one after the other, for each stimulus: [S, U]."""

    def questions(self, probes: Probes, group: str) -> list[Question]:
        """What may be asked about the concepts of a group; nothing where answers can't be judged."""

    def right(self, questions: Sequence[Question], held: Held) -> NDArray[np.bool_]:
        """Which of the questions are answered right while units are held."""


def means_of(units: Mapping[str, list[Tensor]], count: int) -> NDArray[np.float32]:
    """The units of `count` stimuli of equal length, a mean over all places of each: [count, U]."""
    layers = [torch.cat([part.reshape(count, -1, part.shape[-1]) for part in parts], 1).mean(1) for parts in units.values()]
    found: NDArray[np.float32] = torch.cat(layers, 1).float().cpu().numpy()
    return found


def alike(sizes: Sequence[Any]) -> list[list[int]]:
    """The numbers of what has the same size, in batches: so no padding comes between the places of a stimulus."""
    by_size: dict[Any, list[int]] = {}
    for number, size in enumerate(sizes):
        by_size.setdefault(size, []).append(number)
    return [some[first : first + AT_ONCE] for some in by_size.values() for first in range(0, len(some), AT_ONCE)]


def too_long(text: str, tokens: int, most: int) -> ValueError:
    """What is said of a text that doesn't fit."""
    return ValueError(f"the text {text!r} has {tokens} tokens, but the model reads {most} at most: say it in fewer words")
