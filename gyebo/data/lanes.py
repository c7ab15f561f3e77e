"""Lanes: the text as parallel streams, for models that carry a state (truncated back-propagation through time).

All documents are concatenated in a random order given by the plan seed. This stream is cut into lanes of equal length, one for
each row of a batch, and every step reads the next window of each lane: a row continues the same row of the step before, and
needs its state. Each epoch rotates the stream by a random number of positions, so that window boundaries fall elsewhere.

    lane 0   | window 0 | window 1 | ... | window T-1 |      step t of an epoch reads window t of all lanes
    lane 1   | window 0 | window 1 | ... | window T-1 |

Some of the lanes can be read from their end to their start, token by token, so that what a row goes on from is what follows in
the text (Yang et al. 2019, 3.1: bidirectional data input pipeline).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data.shards import Split


@dataclass(frozen=True)
class Lanes:
    """A plan of one stream with the interface of `Plan`, for any number of steps: row `step * lanes + lane` is what a lane
    reads in a step.

    `context`: the longest window; `documents`: their numbers in the order of the stream, `ends`: the position after each;
    `offsets` [T + 1]: starts of the windows within a lane, and the end of the lane; `backwards`: how many lanes, the last ones,
    are read from their end to their start.
    """

    context: int
    lanes: int
    documents: NDArray[np.int64]
    ends: NDArray[np.int64]
    offsets: NDArray[np.int64]
    seed: int  # determines the rotation of each epoch
    backwards: int = 0

    @property
    def windows(self) -> int:
        """Number of steps of an epoch."""
        return len(self.offsets) - 1

    def __len__(self) -> int:
        return self.windows * self.lanes

    @property
    def positions(self) -> int:
        """Real tokens of one epoch."""
        return int(self.offsets[-1]) * self.lanes

    @property
    def mean_tokens(self) -> float:
        """Mean number of real tokens in a row."""
        return self.positions / len(self)

    def order(self, step: int, batch: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and epochs of global batch `step` (from 0), one row for each lane.

        Raises ValueError for another number of rows, or another seed than that of the lanes.
        """
        if (batch, seed) != (self.lanes, self.seed):
            raise ValueError(
                f"this plan has {self.lanes} lanes and seed {self.seed}, but batch size {batch} and seed {seed} were requested"
            )
        rows = np.arange(step * batch, (step + 1) * batch)
        return rows, np.full(batch, step // self.windows)

    def row(self, index: int) -> NDArray[np.int64]:
        """The pieces of a row in the order in which they are read, in the columns of `Plan.pieces`."""
        first, last = self._span(index)
        pieces = np.concatenate([self._pieces(start, stop) for start, stop in self._unrotated(first, last)])
        return pieces[::-1] if self.is_backwards(index) else pieces

    def is_backwards(self, index: int) -> bool:
        """Whether a row is read from its end to its start."""
        return index % self.lanes >= self.lanes - self.backwards

    def continues(self, index: int) -> bool:
        """Whether a row continues the row before it in its lane, within the same epoch."""
        return index // self.lanes % self.windows > 0

    def begins_inside(self, index: int) -> bool:
        """Whether the first token that is read of a row is not the first of its document to be read."""
        border = self._span(index)[self.is_backwards(index)] % int(self.ends[-1])
        return border > 0 and int(self.ends[np.searchsorted(self.ends, border)]) != border

    def _span(self, index: int) -> tuple[int, int]:
        """Start and end of a row in the stream, rotated; the stream is circular."""
        step, lane = divmod(index, self.lanes)
        epoch, window = divmod(step, self.windows)
        rotation = int(np.random.default_rng([self.seed, 3, epoch]).integers(self.ends[-1]))
        length = int(self.offsets[-1])
        first, last = int(self.offsets[window]), int(self.offsets[window + 1])
        if self.is_backwards(index):
            first, last = length - last, length - first
        start = rotation + lane * length
        return start + first, start + last

    def _unrotated(self, first: int, last: int) -> list[tuple[int, int]]:
        """The spans of the stream: one, or two where it wraps around."""
        total = int(self.ends[-1])
        first, last = first % total, (last - 1) % total + 1
        return [(first, last)] if first < last else [(first, total), (0, last)]

    def _pieces(self, start: int, stop: int) -> NDArray[np.int64]:
        low, high = np.searchsorted(self.ends, start, "right"), np.searchsorted(self.ends, stop, "left") + 1
        ends = self.ends[low:high]
        begins = np.concatenate([[self.ends[low - 1] if low else 0], ends[:-1]])
        first = np.maximum(begins, start)
        sizes = np.minimum(ends, stop) - first
        return np.stack([self.documents[low:high], first - begins, sizes, np.zeros_like(sizes), sizes], 1)


def lanes(split: Split, context: int, *, extra: int, count: int, plan_seed: int, seed: int, backwards: int = 0) -> Lanes:
    """`count` lanes with windows of `context` positions; the last window of a lane may be shorter. `extra`: number of positions
    of a document besides its tokens. `plan_seed` determines the order of the documents, `seed` the rotation of each epoch;
    `backwards`: how many lanes are read from their end.

    Raises ValueError where the text is too short for one window per lane.
    """
    lengths = np.maximum(split.documents["tokens"].astype(np.int64) + extra, 0)
    documents = np.random.default_rng([plan_seed, 2]).permutation(np.flatnonzero(lengths))
    ends = np.cumsum(lengths[documents])
    length = int(ends[-1]) // count if len(ends) else 0
    if length < context:
        raise OptionError(
            f"{int(ends[-1]) if len(ends) else 0:,} tokens are too few for {count} lanes of at least {context}: lower "
            "‹train.batch_tokens› or ‹context›, or use more text"
        )
    return Lanes(context, count, documents, ends, np.array([*range(0, length, context), length]), seed, backwards)
