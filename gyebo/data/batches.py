"""Batches of arrays from the rows of a plan, each a function of (prepared corpus, seed, step)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.lanes import Lanes
from gyebo.data.plan import DOCUMENT, SEEN, Plan
from gyebo.data.shards import Split
from gyebo.data.streams import Arrays, Stream, laid_out, packed, streams_of

IGNORE = -100  # a label that losses ignore


@dataclass(frozen=True)
class Rows:
    """The rows of a split, its plan, and the objective that reads and corrupts them (`gyebo/objectives`).

    `pad`: id of the padding at the end of a row.
    """

    split: Split
    plan: Plan | Lanes
    objective: Any
    pad: int = 0

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of a row."""
        return streams_of(self.objective.fields)

    @property
    def carries(self) -> bool:
        """Whether each row continues the same row of the batch before, and carries its state."""
        return isinstance(self.plan, Lanes)

    def batch(self, rows: NDArray[np.int64], seeds: list[list[int]]) -> Arrays:
        """The rows as arrays: the objective's fields, and the `document_ids` of their streams (0 at padding).

        `seeds[i]` seeds the corruption of row i. Labels of context-only positions are ignored. For lanes also `continues`
        [rows]: whether a row starts with the state after the row before it in its lane, because a document spans both; where
        some lanes are read from their end, `backwards` [rows]: which. Raises ValueError where a piece has context-only
        positions, but no field of the objective is `scored_once`.
        """
        objective, fields = self.objective, self.objective.fields
        examples = [self._examples(int(row), seed) for row, seed in zip(rows, seeds)]
        pieces = packed(examples, fields, one_document=objective.one_document)
        out = laid_out(pieces, fields, pad=self.pad, lengths=objective.lengths(self.plan.context))
        if isinstance(self.plan, Lanes):
            inside = [objective.one_document or self.plan.begins_inside(int(row)) for row in rows]
            out["continues"] = np.array([self.plan.continues(int(row)) for row in rows]) & np.array(inside, bool)
            if self.plan.backwards:
                out["backwards"] = np.array([self.plan.is_backwards(int(row)) for row in rows], bool)
        return out

    def _examples(self, row: int, seed: list[int]) -> list[Arrays]:
        """The pieces of a row as examples, corrupted by the objective."""
        rng = np.random.default_rng([*seed, row])
        labels = [field.name for field in self.objective.fields if field.scored_once]
        examples = []
        for number, piece in enumerate(self.plan.row(row)):
            example = self.objective.corrupt(self.objective.read(self.split, piece, number), rng, self._draw)
            if piece[SEEN] and not labels:
                raise ValueError(
                    f"row {row} has positions that are context only, but the objective declares no field as scored_once"
                )
            for name in labels if piece[SEEN] else ():
                example[name][: piece[SEEN]] = IGNORE
            examples.append(example)
        if isinstance(self.plan, Lanes) and self.plan.is_backwards(row):
            return [{name: values[::-1] for name, values in example.items()} for example in examples]
        return examples

    def _draw(self, rng: np.random.Generator) -> Arrays:
        assert isinstance(self.plan, Plan)  # objectives that sample other examples do not read lanes
        return self.objective.read(self.split, self.plan.pieces[int(rng.integers(len(self.plan.pieces)))], 0)

    def step(self, step: int, batch: int, seed: int, first: int = 0, count: int | None = None) -> Arrays:
        """Rows `first` to `first + count` of global training batch `step` (from 0), which has `batch` rows.

        The corruptions of an objective repeat after `repeats` epochs, if that is not 0.
        """
        rows, epochs = self.plan.order(step, batch, seed)
        if self.objective.repeats:
            epochs = epochs % self.objective.repeats
        part = slice(first, batch if count is None else first + count)
        return self.batch(rows[part], [[seed, int(epoch)] for epoch in epochs[part]])

    def ids(self, step: int, batch: int, seed: int) -> list[int]:
        """The numbers of the documents in global training batch `step`, for messages."""
        rows, _ = self.plan.order(step, batch, seed)
        return sorted({int(piece[DOCUMENT]) for row in rows for piece in self.plan.row(int(row))})
