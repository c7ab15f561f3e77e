"""Several tasks in one training: how often each is drawn, and batches of their examples (Raffel et al. 2020, section 3.5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gyebo.data.order import permuted
from gyebo.data.streams import Arrays, Stream
from gyebo.tasks.features import Features, Ragged

BLOCK = 4096  # draws that share a random generator
DRAWS = 0x6D6978  # beside the seed, so that draws and permutations are independent


def mixing_rates(sizes: Sequence[int], *, by: str, limit: int | None = None, temperature: float = 1.0) -> NDArray[np.float64]:
    """The share of each task in what is drawn, from its number of training examples; their sum is 1.

    `by` "equal": all alike. "proportional": r_m = min(e_m, limit) / sum over n of min(e_n, limit), which `temperature` T makes
    more alike: r_m^(1/T), divided by their sum.
    """
    counts = np.minimum(np.asarray(sizes, np.float64), np.inf if limit is None else limit)
    if by == "equal":
        counts = np.ones(len(sizes))
    rates = (counts / counts.sum()) ** (1 / temperature)
    return np.asarray(rates / rates.sum())


def joined(parts: Sequence[Features]) -> Features:
    """The rows of several features, one after the other; ids of examples are numbered on."""
    columns = {name: _joined([part.columns[name] for part in parts]) for name in parts[0].columns}
    before = np.cumsum([0, *(len(part.ids) for part in parts[:-1])])
    numbers = np.concatenate([part.example + first for part, first in zip(parts, before)])
    ids = tuple(name for part in parts for name in part.ids)
    return replace(parts[0], columns=columns, example=numbers, ids=ids, too_long=sum(part.too_long for part in parts))


def _joined(lists: Sequence[Ragged]) -> Ragged:
    starts = np.concatenate([[0], np.cumsum(np.concatenate([each.lengths for each in lists]))])
    return Ragged(np.concatenate([each.values for each in lists]), starts.astype(np.int64))


@dataclass(frozen=True)
class MixedRows:
    """The rows of several tasks as batches of a mixture: what `ExampleRows` is for one task.

    `features`: the rows of all tasks, one task after the other; `sizes`: how many each has; `rates`: how often each is drawn;
    `epoch`: the number of draws that count as an epoch. The task of each place in the order is drawn anew, and each task goes
    through its own rows in an order that differs in every pass; both follow from the seed and the place alone.
    """

    features: Features
    sizes: tuple[int, ...]
    rates: NDArray[np.float64]
    epoch: int
    carries: ClassVar[bool] = False
    _before: dict[int, list[NDArray[np.int64]]] = field(default_factory=dict, repr=False)  # seed: draws before each block

    def __post_init__(self) -> None:
        if sum(self.sizes) != len(self.features) or not all(self.sizes):
            raise ValueError(f"{len(self.features)} rows, but tasks of {' and '.join(map(str, self.sizes))}: each needs a row")

    def __len__(self) -> int:
        return self.epoch

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of a row."""
        return self.features.streams

    def step(self, step: int, batch: int, seed: int, first: int = 0, count: int | None = None) -> Arrays:
        """Rows `first` to `first + count` of global training batch `step` (from 0), which has `batch` of them."""
        rows = self.rows(step * batch, batch, seed)
        return self.features.batch(rows[first : batch if count is None else first + count])

    def ids(self, step: int, batch: int, seed: int) -> list[str]:
        """The ids of the examples in global training batch `step`, for messages."""
        rows = self.rows(step * batch, batch, seed)
        return sorted({self.features.ids[number] for number in self.features.example[rows]})

    def rows(self, place: int, count: int, seed: int) -> NDArray[np.int64]:
        """The rows at places `place` to `place + count` of the order."""
        starts = np.cumsum([0, *self.sizes])
        found = []
        for block in range(place // BLOCK, (place + count - 1) // BLOCK + 1):
            tasks, before = self._tasks(block, seed), self._drawn_before(block, seed)
            low, high = max(0, place - block * BLOCK), min(BLOCK, place + count - block * BLOCK)
            rows = np.empty(high - low, np.int64)
            for task, size in enumerate(self.sizes):
                here = np.flatnonzero(tasks == task)
                turns = np.flatnonzero((here >= low) & (here < high))
                rows[here[turns] - low] = starts[task] + self._passes(before[task] + turns, size, seed + ((task + 1) << 32))
            found.append(rows)
        return np.concatenate(found)

    @staticmethod
    def _passes(turns: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
        """Which of a task's rows are read at its turns: a permutation of all in each pass."""
        passes, index = np.divmod(turns, size)
        rows = np.empty(len(turns), np.int64)
        for number in np.unique(passes):
            rows[passes == number] = permuted(index[passes == number], size, seed, int(number))
        return rows

    def _tasks(self, block: int, seed: int) -> NDArray[np.int64]:
        """The task of each place of a block."""
        draws = np.random.default_rng([seed, DRAWS, block]).random(BLOCK)
        return np.minimum(np.searchsorted(np.cumsum(self.rates), draws, side="right"), len(self.sizes) - 1)

    def _drawn_before(self, block: int, seed: int) -> NDArray[np.int64]:
        """How often each task was drawn before a block."""
        known = self._before.setdefault(seed, [np.zeros(len(self.sizes), np.int64)])
        while len(known) <= block:
            counts = np.bincount(self._tasks(len(known) - 1, seed), minlength=len(self.sizes))
            known.append(known[-1] + counts)
        return known[block]
