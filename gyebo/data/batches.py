"""Rows of a plan as batches of arrays, each a function of (prepared corpus, seed, step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.order import shuffled
from gyebo.data.plan import Plan, sequence
from gyebo.data.shards import Split

IGNORE = -100  # a label that no loss counts
Arrays = dict[str, NDArray[Any]]
Corrupt = Callable[[Arrays, np.random.Generator, Callable[[np.random.Generator], Arrays]], Arrays]


@dataclass(frozen=True)
class Rows:
    """The rows of a split under a plan.

    `start`, `end`: the ids that frame a document, if any; `corrupt`: the objective's function;
    `one_document`: let attention cross the borders of documents."""

    split: Split
    plan: Plan
    start: int | None
    end: int | None
    corrupt: Corrupt
    pad: int = 0
    one_document: bool = False

    def example(self, piece: NDArray[Any]) -> Arrays:
        """A piece as the objective gets it: `input_ids` with one id more than the piece has positions."""
        return {"input_ids": sequence(self.split, piece, self.start, self.end)}

    def batch(self, rows: NDArray[np.int64], seeds: list[list[int]]) -> Arrays:
        """The rows as arrays [rows, context]: the objective's, and `document_ids` (0 at padding).

        `seeds[i]` seeds the corruption of row i. Labels of context-only positions are ignored.
        """
        out: Arrays = {"document_ids": np.zeros((len(rows), self.plan.context), np.int64)}
        for r, (row, seed) in enumerate(zip(rows, seeds)):
            at = 0
            for number, piece in enumerate(self.plan.row(int(row))):
                rng = np.random.default_rng([*seed, int(row), number])
                fields = self.corrupt(self.example(piece), rng, self._draw)
                size = len(fields["input_ids"])
                if piece[3]:
                    fields["labels"][: piece[3]] = IGNORE
                for name, values in fields.items():
                    if name not in out:
                        fill = IGNORE if name == "labels" else self.pad
                        out[name] = np.full((len(rows), self.plan.context), fill, np.int64)
                    out[name][r, at : at + size] = values
                out["document_ids"][r, at : at + size] = 1 if self.one_document else number + 1
                at += size
        return out

    def _draw(self, rng: np.random.Generator) -> Arrays:
        return self.example(self.plan.pieces[int(rng.integers(len(self.plan.pieces)))])

    def step(self, step: int, batch: int, seed: int, first: int = 0, count: int | None = None) -> Arrays:
        """Rows `first` to `first + count` of global training batch `step` (from 0), which has `batch` rows."""
        rows, epochs = shuffled(step, batch, len(self.plan), seed)
        part = slice(first, batch if count is None else first + count)
        return self.batch(rows[part], [[seed, int(epoch)] for epoch in epochs[part]])

    def ids(self, step: int, batch: int, seed: int) -> list[int]:
        """The numbers of the documents in global training batch `step`, for messages."""
        rows, _ = shuffled(step, batch, len(self.plan), seed)
        return sorted({int(piece[0]) for row in rows for piece in self.plan.row(int(row))})
