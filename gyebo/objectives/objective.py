"""What an objective promises to data, training and evaluation.

A module of this folder has `Options` (what one may choose, checked by pydantic) and `build(options, setting)`; what else is to
be known of it stands in its row of `gyebo/objectives/table.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gyebo.data.plan import Plan
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.text.roles import Roles

Draw = Callable[[np.random.Generator], Arrays]
# Name of a field -> its tensor; "state", where rows go on from one (`gyebo/nn/state.py`); "progress" of an objective that is
# `scheduled`: which share of the steps of the run is done.
Batch = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What an objective is built for: the family's copy of the tokenizer, its templates and heads, the training text.
    `gives_raw`: its `encode` takes `return_raw`. `encodes_source`: it has an encoder and a decoder, whose first id is
    `start_id`. `carries`: rows go on from each other, in lanes. `factor`: of a model that turns pictures into codes, the pixels
    of a side of what one stands for; where it reads no text, `tokenizer` is None. `teacher`: the model that a student learns
    from; None where it has none, or is only evaluated. `config`: the model's. `codes`: of a model that draws, name of a
    split -> the codes of its pictures [P, N]."""

    tokenizer: Any  # Tokenizer
    roles: Roles
    split: Split
    heads: tuple[str, ...] = ("lm",)
    across_documents: bool = False
    gives_raw: bool = False
    encodes_source: bool = False
    start_id: int = 0
    carries: bool = False
    factor: int = 0
    teacher: Any = None
    config: Any = None
    codes: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Objective(Protocol):
    """What is learned from a corpus.

    `one_document`: attention runs over the whole row. `fields`: what stands in a batch, and in which streams
    (`gyebo/data/streams.py`). `repeats`: after how many epochs corruptions come again. `parts`: flags of a model's config that
    the objective needs on; `shape`: its fields that follow from what there is to learn. `extra`: positions that a document
    fills beyond its tokens. `shortens`: rows may have fewer tokens than the plan says. `both_directions`: half of the lanes
    are read from their end to their start, where there are lanes. `scheduled`: the loss depends on how much of the run is
    done. `whole_batches`: what is learned of a row depends on the others of its batch, which can't be divided.
    `teacher`: the model that a student learns from.
    """

    teacher: Any

    @property
    def one_document(self) -> bool:
        """See above."""

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """See above."""

    @property
    def repeats(self) -> int | None:
        """See above."""

    @property
    def parts(self) -> dict[str, bool]:
        """See above."""

    @property
    def shape(self) -> dict[str, Any]:
        """See above."""

    @property
    def extra(self) -> int:
        """See above."""

    @property
    def shortens(self) -> bool:
        """See above."""

    def lengths(self, context: int) -> dict[str, int]:
        """How many places a row has in each stream, by the stream's name."""

    @property
    def both_directions(self) -> bool:
        """See above."""

    @property
    def whole_batches(self) -> bool:
        """See above."""

    @property
    def scheduled(self) -> bool:
        """See above."""

    def describe(self) -> str:
        """What is learned, in a line."""

    def for_evaluation(self) -> Objective:
        """The objective by which held-out text is measured, the same for all ways of corrupting."""

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch, kept in `folder`."""

    def held_out(self, split: Split, context: int) -> Plan:
        """The rows of an evaluation."""

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """A piece of a plan, the number-th of its row, as an example: `input_ids` are the tokens of its text, the other arrays
        are the objective's own."""

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """An example as the model gets it, with labels: a function of its arguments. `draw` gives another example."""

    def counts(self, batch: Batch) -> dict[str, int]:
        """How much each term of the loss counts, from the batch alone, of arrays or tensors."""

    def projected(self, batch: Batch) -> dict[str, int]:
        """Head of the model -> number of rows at which the loss computes its output layer, likewise."""

    def taught(self, batch: Batch) -> dict[str, int]:
        """The same of the teacher."""

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{term: (sum, weight)}. Where the batch holds a "state" that its rows go on from, the model's new one is put into its
        place, cut off from the gradient."""


class Defaults:
    """What an objective is unless it says otherwise; terms as in `Objective`."""

    teacher: Any = None

    @property
    def one_document(self) -> bool:
        """No: attention stays inside each document."""
        return False

    @property
    def repeats(self) -> int | None:
        """Never."""
        return None

    @property
    def parts(self) -> dict[str, bool]:
        """None."""
        return {}

    @property
    def shape(self) -> dict[str, Any]:
        """None."""
        return {}

    @property
    def extra(self) -> int:
        """None."""
        return 0

    @property
    def shortens(self) -> bool:
        """No: the plan knows how many tokens a row has."""
        return False

    @property
    def both_directions(self) -> bool:
        """No: all lanes are read forwards."""
        return False

    @property
    def whole_batches(self) -> bool:
        """No: a row is learned from by itself."""
        return False

    @property
    def scheduled(self) -> bool:
        """No: it is the same from the first step to the last."""
        return False

    def taught(self, batch: Batch) -> dict[str, int]:
        """Nothing: there is no teacher."""
        return {}

    def lengths(self, context: int) -> dict[str, int]:
        """One stream, of as many tokens as the context."""
        return {TOKENS.name: context}
