"""Lanes: the text as a few streams that are read side by side, for models that hand a state on (truncated back-propagation).

All documents stand one after the other, in an order drawn from the plan seed. This stream is cut into as many lanes of a length
as a batch has rows, and every step reads the next window of each lane: a row goes on where the same row of the step before
ended, and needs the state from there. Each epoch turns the stream by a drawn number of positions, so that borders fall
elsewhere.

    lane 0   | window 0 | window 1 | ... | window T-1 |      step t of an epoch reads window t of all lanes
    lane 1   | window 0 | window 1 | ... | window T-1 |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data.shards import Split


@dataclass(frozen=True)
class Lanes:
    """A plan whose rows have no end: row `step * lanes + lane` is what a lane reads in a step, epochs one after the other.

    `context`: the longest window; `documents`: their numbers in the stream's order, `ends`: the position behind each; `edges`
    [T + 1]: where the windows of a lane begin, and the lane's end. It offers what `Plan` does.
    """

    context: int
    lanes: int
    documents: NDArray[np.int64]
    ends: NDArray[np.int64]
    edges: NDArray[np.int64]
    seed: int  # decides how each epoch is turned

    @property
    def windows(self) -> int:
        """Steps of an epoch."""
        return len(self.edges) - 1

    def __len__(self) -> int:
        return self.windows * self.lanes

    @property
    def positions(self) -> int:
        """Real tokens of one epoch."""
        return int(self.edges[-1]) * self.lanes

    @property
    def mean_tokens(self) -> float:
        """Mean of the real tokens in a row."""
        return self.positions / len(self)

    def order(self, step: int, batch: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and epochs of global batch `step` (from 0), which has a row for each lane, no more and no fewer.

        Raises ValueError for another number of rows, or another seed than that of the lanes.
        """
        if (batch, seed) != (self.lanes, self.seed):
            raise ValueError(
                f"a batch of these lanes has {self.lanes} rows and the seed {self.seed}, but {batch} and {seed} were asked for"
            )
        rows = np.arange(step * batch, (step + 1) * batch)
        return rows, np.full(batch, step // self.windows)

    def row(self, index: int) -> NDArray[np.int64]:
        """The pieces of a row, as `Plan.pieces` has them."""
        first, last = self._span(index)
        return np.concatenate([self._pieces(start, stop) for start, stop in self._unturned(first, last)])

    def continues(self, index: int) -> bool:
        """Whether a row goes on with the lane's row before it, in the middle of the same epoch."""
        return index // self.lanes % self.windows > 0

    def _span(self, index: int) -> tuple[int, int]:
        """Where a row begins and ends in the turned stream, which goes round."""
        step, lane = divmod(index, self.lanes)
        epoch, window = divmod(step, self.windows)
        turn = int(np.random.default_rng([self.seed, 3, epoch]).integers(self.ends[-1]))
        start = turn + lane * int(self.edges[-1])
        return start + int(self.edges[window]), start + int(self.edges[window + 1])

    def _unturned(self, first: int, last: int) -> list[tuple[int, int]]:
        """The stretches of the stream: one, or two where it begins again."""
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


def lanes(split: Split, context: int, extra: int, count: int, plan_seed: int, seed: int) -> Lanes:
    """So many lanes with windows of `context` positions, the last one of a lane shorter; `extra`: positions that a document has
    beyond its tokens; `plan_seed` decides the order of the documents, `seed` how each epoch is turned.

    Raises ValueError where the text is too short for a window a lane.
    """
    lengths = np.maximum(split.documents["tokens"].astype(np.int64) + extra, 0)
    documents = np.random.default_rng([plan_seed, 2]).permutation(np.flatnonzero(lengths))
    ends = np.cumsum(lengths[documents])
    length = int(ends[-1]) // count if len(ends) else 0
    if length < context:
        raise OptionError(
            f"{int(ends[-1]) if len(ends) else 0:,} tokens are too few for {count} lanes of at least {context}: lower "
            "‹train.batch_tokens› or ‹context›, or bring more text"
        )
    return Lanes(context, count, documents, ends, np.array([*range(0, length, context), length]), seed)
