"""The plan: which pieces of which documents share a row. Made once for (shards, context, frame, plan seed).

A document of n tokens is read as a sequence [start] + tokens + [end]; an objective that predicts every next token has
n + 1 positions to fill (`max_length(n)`). Longer documents are cut into pieces; pieces are packed into rows of `context`
positions, best fit first, so that few positions stay empty and a document is cut only where it is longer than a row.
"""

from __future__ import annotations

import bisect
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.shards import Split

WINDOW = 4096  # pieces that are packed together: more fills rows no better, but gathers equal lengths


@dataclass(frozen=True)
class Plan:
    """Rows of pieces. `pieces` [P, 4]: document, first position, positions, and how many of the first are context only (not
    scored); row r holds pieces `rows[r]` to `rows[r + 1]`."""

    context: int
    pieces: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows) - 1

    @property
    def positions(self) -> int:
        """Filled positions over all rows, that is real tokens of one epoch."""
        return int(self.pieces[:, 2].sum())

    @property
    def mean_tokens(self) -> float:
        """Mean of the real tokens in a row, exact."""
        return self.positions / len(self)

    def row(self, index: int) -> NDArray[np.int64]:
        """The pieces of a row."""
        return self.pieces[self.rows[index] : self.rows[index + 1]]


def training_plan(split: Split, context: int, max_length: Callable[[int], int], seed: int, folder: Path | None = None) -> Plan:
    """The plan of a training split; kept in `folder` where one is given.

    Raises ValueError where `context` is below 2.
    """
    if context < 2:
        raise ValueError(f"context must be at least 2, but is {context} instead")
    extra = max_length(0)
    key = hashlib.sha256(json.dumps([split.name, context, extra, max_length(100), seed]).encode()).hexdigest()[:16]
    path = folder / f"plan-{key}.npz" if folder else None
    if path and path.is_file():
        stored = np.load(path, allow_pickle=False)
        return Plan(context, stored["pieces"], stored["rows"])
    plan = _pack(_cut(split, context, max_length), context, np.random.default_rng([seed, 1]))
    if path:
        aside = path.with_suffix(".part.npz")
        np.savez(aside, pieces=plan.pieces, rows=plan.rows)
        aside.replace(path)
    return plan


def evaluation_plan(split: Split, context: int, max_length: Callable[[int], int]) -> Plan:
    """Every position once: documents longer than the context are read in windows with half overlap, of which only the part
    that no window before has scored counts."""
    return _pack(_cut(split, context, max_length, stride=context // 2), context, np.random.default_rng(0))


def _cut(split: Split, context: int, max_length: Callable[[int], int], stride: int | None = None) -> NDArray[np.int64]:
    """Pieces [P, 4] of all documents in order. With `stride`, pieces overlap and the overlap is context only."""
    lengths = np.array([max_length(0)]) + split.documents["tokens"].astype(np.int64)
    assert max_length(100) == max_length(0) + 100, "an objective's longest result grows token by token"
    lengths = np.maximum(lengths, 0)
    stride = stride or context
    counts = 1 + np.maximum(0, -(-(lengths - context) // stride))  # windows a document
    documents = np.repeat(np.arange(len(lengths)), counts)
    order = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)  # the window's number in its document
    starts = order * stride
    sizes = np.minimum(context, lengths[documents] - starts)
    seen = np.where(order > 0, context - stride, 0)
    return np.stack([documents, starts, sizes, seen], 1)


def _pack(pieces: NDArray[np.int64], context: int, rng: np.random.Generator) -> Plan:
    """Best fit, decreasing, inside windows of shuffled pieces."""
    pieces = pieces[rng.permutation(len(pieces))]
    rows: list[list[int]] = []
    for start in range(0, len(pieces), WINDOW):
        rows += list(_pack_window(pieces[start : start + WINDOW, 2], context, start))
    bounds = np.cumsum([0, *map(len, rows)])
    order = np.fromiter((piece for row in rows for piece in row), np.int64, len(pieces))
    return Plan(context, pieces[order], bounds)


def _pack_window(sizes: NDArray[np.int64], context: int, offset: int) -> Iterator[list[int]]:
    open_rows: list[tuple[int, int]] = []  # (room left, row), sorted
    rows: list[list[int]] = []
    for piece in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[piece])
        at = bisect.bisect_left(open_rows, (size, -1))
        if at == len(open_rows):
            room, row = context, len(rows)
            rows.append([])
        else:
            room, row = open_rows.pop(at)
        rows[row].append(piece + offset)
        if room > size:
            bisect.insort(open_rows, (room - size, row))
    return iter(rows)


def sequence(split: Split, piece: NDArray[Any], start: int | None, end: int | None) -> NDArray[np.int64]:
    """A piece with the token that follows it: positions + 1 ids of [start] + tokens + [end]; either may be None."""
    document, first, size = int(piece[0]), int(piece[1]), int(piece[2])
    count = int(split.documents["tokens"][document])
    lead = int(start is not None)  # token i stands at place i + lead
    ids = np.empty(size + 1, np.int64)
    low, high = max(first - lead, 0), min(first + size + 1 - lead, count)
    ids[low + lead - first : high + lead - first] = split.read(document, low, high)
    if start is not None and first == 0:
        ids[0] = start
    if end is not None and first + size == count + lead:
        ids[-1] = end
    return ids
