"""Objectives that read texts in the templates of a family: which texts share a row, how a text or a pair is framed.

Input formats (`gyebo/data/input_formats.py`): documents or sentences alone, or pairs of segments. In pairs the second segment
is the true next one or one of another document, half of the time each.

What differs from the published scripts: a pair's division and its random segment are drawn anew each epoch, so what a random
segment displaces is read in another epoch instead of in the next row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.plan import DOCUMENT, FIRST, ROOM, SIZE, Plan, stored
from gyebo.data.shards import Split
from gyebo.data.streams import Arrays
from gyebo.objectives.objective import Defaults, Draw, Setting
from gyebo.text.boundaries import Marks
from gyebo.text.roles import split_piece

PAIRS = ("segment-pair", "sentence-pair")
TRUE_NEXT, RANDOM_NEXT = 0, 1
SECOND_SEGMENTS = ("next", "random")  # by label
ATTEMPTS = 100  # to draw another document; a corpus where that fails has hardly more than one


@dataclass(frozen=True)
class Text:
    """A framed text or pair: `ids`, `types` and which positions are `real` text, [m] each; `label`: whether the second segment
    is the true next one, None without a pair."""

    ids: NDArray[np.int64]
    types: NDArray[np.int64]
    real: NDArray[np.bool_]
    label: int | None = None


@dataclass(frozen=True)
class Framed(Defaults):
    """`options` with a `format`; `ids`: role -> id; `single`, `pair`: the family's templates; `marks`: where words and
    sentences begin."""

    options: Any
    ids: dict[str, int]
    single: tuple[str, ...]
    pair: tuple[str, ...]
    marks: Marks

    @property
    def one_document(self) -> bool:
        """Whether attention runs over the whole row."""
        return self.options.format == "full-sentences"

    @property
    def shortens(self) -> bool:
        """Whether rows may have fewer tokens than the plan says: pairs are divided, and joined with parts of other texts."""
        return self.options.format in PAIRS

    def describe(self) -> str:
        """The options, as they were settled."""
        return ", ".join(f"{name} {value}" for name, value in self.options.model_dump(exclude_none=True).items())

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        key = [split.name, self.options.format, len(self.single), len(self.pair), seed]
        return stored(folder, key, context, lambda: self._plan(split, context, seed))

    def held_out(self, split: Split, context: int) -> Plan:
        """Every text once, in the training's format."""
        return self._plan(split, context, 0)

    def _plan(self, split: Split, context: int, seed: int) -> Plan:
        starts = self.marks.sentence_starts
        match self.options.format:
            case "segment-pair":
                return input_formats.segment_pair(split, context, special=len(self.pair) - 2, starts=starts, seed=seed)
            case "sentence-pair":
                return input_formats.sentence_pair(split, context, special=len(self.pair) - 2, starts=starts, seed=seed)
            case "full-sentences":
                return input_formats.full_sentences(split, context, starts)
            case _:
                return input_formats.doc_sentences(split, context, special=len(self.single) - 1, starts=starts, seed=seed)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids` [n] without roles; `document`, `room` and `number` (in its row) [1] each."""
        document, first, size = int(piece[DOCUMENT]), int(piece[FIRST]), int(piece[SIZE])
        ids = split.read(document, first, first + size).astype(np.int64)
        facts = {"document": document, "room": int(piece[ROOM]), "number": number}
        return {"input_ids": ids, **{name: np.array([value]) for name, value in facts.items()}}

    def framed(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Text:
        """An example of `read` in its template; a pair is divided, or joined with another document's."""
        if self.options.format not in PAIRS:
            continued = self.one_document and example["number"][0] > 0
            template = self.single[self.single.index("$A") :] if continued else self.single
            return self._frame(template, example["input_ids"], None)
        first, second, label = self._divide(example, rng, draw)
        first, second = shortened(first, second, int(example["room"][0]) - (len(self.pair) - 2), rng)
        return self._frame(self.pair, first, second, label)

    def _frame(
        self,
        template: tuple[str, ...],
        first: NDArray[np.int64],
        second: NDArray[np.int64] | None,
        label: int | None = None,
    ) -> Text:
        texts = {"$A": first} if second is None else {"$A": first, "$B": second}
        parts = [(name, type) for name, type in map(split_piece, template)]
        ids = [texts[name] if name in texts else np.array([self.ids[name]]) for name, _ in parts]
        sizes = [len(part) for part in ids]
        types = np.repeat([type for _, type in parts], sizes)
        real = np.repeat([name in texts for name, _ in parts], sizes)
        return Text(np.concatenate(ids), types, real, label)

    def _divide(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> tuple[NDArray, NDArray, int]:
        """Two segments and whether the second is the true next one."""
        ids = example["input_ids"]
        borders = np.flatnonzero(self.marks.sentence_starts(ids))[1:]
        border = int(rng.choice(borders)) if len(borders) else len(ids)
        if len(borders) and rng.random() < 0.5:
            return ids[:border], ids[border:], TRUE_NEXT
        for _ in range(ATTEMPTS):
            other = draw(rng)
            if other["document"][0] != example["document"][0] and len(other["input_ids"]):
                break
        else:
            raise ValueError("hardly any other document for random next sentences: use format doc-sentences")
        starts = np.flatnonzero(self.marks.sentence_starts(other["input_ids"]))
        if self.options.format == "sentence-pair":
            number = int(rng.integers(len(starts)))
            end = starts[number + 1] if number + 1 < len(starts) else None
            return ids[:border], other["input_ids"][starts[number] : end], RANDOM_NEXT
        room = int(example["room"][0]) - (len(self.pair) - 2)
        start = int(rng.choice(starts))
        return ids[:border], other["input_ids"][start : start + max(1, room - border)], RANDOM_NEXT


def settled_format(asked: str, setting: Setting, marks: Marks, *, pairs: bool) -> str:
    """The input format where "auto" is asked: segment-pair for a family with `pairs` if most documents have several sentences,
    else doc-sentences. Raises ValueError where pairs are asked of documents of one sentence, or documents are to be read across
    their borders."""
    if setting.across_documents:
        raise OptionError("‹data.across_documents› has no effect here: use ‹objective.format›=full-sentences")
    if asked not in ("auto", *PAIRS):
        return asked
    several = input_formats.share_of_several_sentences(setting.split, marks.sentence_starts)
    if asked == "auto":
        return "segment-pair" if several >= 0.5 and pairs else "doc-sentences"
    if several < 0.1:
        raise OptionError(
            f"‹objective.format›={asked}: only {several:.0%} of the documents have two sentences, so there are hardly any"
            " pairs: use doc-sentences, or another ‹data.documents›"
        )
    return asked


def shortened(first: NDArray, second: NDArray, room: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Cut a pair to `room` pieces, one after the other from the longer side, at its front or its back with equal chance."""
    excess = len(first) + len(second) - room
    if excess <= 0:
        return first, second
    low, high = sorted((len(first), len(second)))
    uneven = min(excess, high - low)
    half = (excess - uneven) // 2
    cuts = [half, half]
    cuts[len(second) > len(first)] += uneven
    cuts[0] += (excess - uneven) % 2

    def cut(ids: NDArray, count: int) -> NDArray:
        front = int(rng.binomial(count, 0.5))
        return ids[front : len(ids) - (count - front)]

    return cut(first, cuts[0]), cut(second, cuts[1])
