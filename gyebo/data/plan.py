"""The plan: which pieces of which documents share a row. Made once for (shards, context, input format, plan seed).

A format (`gyebo/data/input_formats.py`) cuts documents into pieces and says how many positions each may fill; pieces are
packed into rows of `context` positions, best fit first, so that few positions stay empty and a document is cut only where it
is longer than a row. A row of several streams (`gyebo/data/streams.py`) has a number of positions in each of them.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.disk import disk_full
from gyebo.config.durable import LEFT_ALONE, clean, replacing
from gyebo.data.order import shuffled
from gyebo.data.streams import TOKENS, Stream

WINDOW = 4096  # pieces packed together: with more, rows are not fuller, but hold pieces of equal length
DOCUMENT, FIRST, SIZE, SEEN, ROOM = range(5)  # the columns of `Plan.pieces`; one more ROOM for each further stream


@dataclass(frozen=True)
class Plan:
    """Rows of pieces. `pieces` [P, 4 + S]: document; start and size of the piece in it (in units of the format); number of its
    first positions that are context only, not scored; and the most positions that it fills in each of the S `streams`. Row r
    holds pieces `rows[r]` to `rows[r + 1]`."""

    context: int
    pieces: NDArray[np.int64]
    rows: NDArray[np.int64]
    streams: tuple[Stream, ...] = (TOKENS,)

    def __len__(self) -> int:
        return len(self.rows) - 1

    @property
    def positions(self) -> int:
        """Filled positions over all rows: the real tokens of one epoch, at most."""
        counted = [ROOM + number for number, stream in enumerate(self.streams) if stream.counted]
        return int(self.pieces[:, counted].sum())

    @property
    def mean_tokens(self) -> float:
        """Mean number of real tokens in a row."""
        return self.positions / len(self)

    def document_lengths(self, *, one_document: bool) -> dict[str, NDArray[np.int64]]:
        """Name of a stream -> the positions that each piece fills in it; each row, where all of it is `one_document`."""
        found = {stream.name: self.pieces[:, ROOM + number] for number, stream in enumerate(self.streams)}
        if not one_document:
            return found
        return {name: np.diff(np.concatenate([[0], lengths.cumsum()])[self.rows]) for name, lengths in found.items()}

    def order(self, step: int, batch: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and epochs of global batch `step` (from 0): reshuffled each epoch."""
        return shuffled(step, batch, len(self), seed)

    def row(self, index: int) -> NDArray[np.int64]:
        """The pieces of a row."""
        return self.pieces[self.rows[index] : self.rows[index + 1]]


def stored(
    folder: Path | None,
    key: list[Any],
    context: int,
    make: Callable[[], Plan],
    *,
    streams: tuple[Stream, ...] = (TOKENS,),
    lengths: Mapping[str, int] | None = None,
) -> Plan:
    """The plan that `make` returns; with a `folder`, it is cached there under `key`, which names everything else it depends on.

    `lengths`: name of a stream -> positions of a row in it; None: `context` in the only one. Raises ValueError where `context`
    is below 2, or several streams have no lengths.
    """
    if context < 2:
        raise ValueError(f"context must be at least 2, but is {context} instead")
    if lengths is None and len(streams) > 1:
        raise ValueError(f"a plan of {len(streams)} streams needs the length of each: pass lengths=")
    if folder is None:
        return make()
    rooms = [] if lengths is None else [[stream.name, lengths[stream.name]] for stream in streams]
    digest = hashlib.sha256(json.dumps([*key, context, *rooms]).encode()).hexdigest()[:16]
    path = folder / f"plan-{digest}.npz"
    if path.is_file():
        try:
            found = np.load(path, allow_pickle=False)
            return Plan(context, found["pieces"], found["rows"], streams)
        except (zipfile.BadZipFile, OSError, ValueError, KeyError, EOFError):
            pass  # damaged, as the checksums in it tell: it is made again
    plan = make()
    clean(folder, older_than=LEFT_ALONE)
    advice = "the prepared text is kept: free some space, or name another folder for the cache in GYEBO_CACHE"
    with disk_full(path, advice), replacing(path, shared=True) as aside, aside.open("wb") as file:
        np.savez(file, pieces=plan.pieces, rows=plan.rows)
    return plan


def pack(
    pieces: NDArray[np.int64],
    context: int,
    rng: np.random.Generator,
    streams: tuple[Stream, ...] = (TOKENS,),
    lengths: Mapping[str, int] | None = None,
) -> Plan:
    """Best fit, decreasing, within windows of shuffled pieces. `lengths`: name of a stream -> positions of a row in it; None:
    `context` in the only one."""
    room = (context,) if lengths is None else tuple(lengths[stream.name] for stream in streams)
    pieces = pieces[rng.permutation(len(pieces))]
    rows: list[list[int]] = []
    for start in range(0, len(pieces), WINDOW):
        rows += list(_pack_window(pieces[start : start + WINDOW, ROOM:], room, start))
    bounds = np.cumsum([0, *map(len, rows)])
    order = np.fromiter((piece for row in rows for piece in row), np.int64, len(pieces))
    return Plan(context, pieces[order], bounds, streams)


def _pack_window(sizes: NDArray[np.int64], room: tuple[int, ...], offset: int) -> Iterator[list[int]]:
    """Rows of pieces of sizes [P, S]: pieces in descending order of the share of a stream that they fill, each into the row
    with the least room left in the first stream, among those with room in all."""
    least = sizes.min(0).tolist()
    open_rows: list[tuple[tuple[int, ...], int]] = []  # (room left, row), sorted
    rows: list[list[int]] = []
    for piece in np.argsort(-(sizes / room).max(1), kind="stable").tolist():
        size = tuple(sizes[piece].tolist())
        at = bisect.bisect_left(open_rows, (size, -1))
        while at < len(open_rows) and not _fits(size, open_rows[at][0]):
            at += 1
        if at == len(open_rows):
            left, row = room, len(rows)
            rows.append([])
        else:
            left, row = open_rows.pop(at)
        rows[row].append(piece + offset)
        left = tuple(a - b for a, b in zip(left, size))
        if any(left) and _fits(least, left):
            bisect.insort(open_rows, (left, row))
    return iter(rows)


def _fits(size: Iterable[int], room: Iterable[int]) -> bool:
    return all(a <= b for a, b in zip(size, room))
