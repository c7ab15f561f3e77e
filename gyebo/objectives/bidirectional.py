"""A pair of language models: each token is predicted from those before it, and from those after it (Peters et al. 2018, 3.1).

    start  a  b  c  end        a position predicts the token after it ("forward") from all up to it,
                               and the one before it ("backward") from all from it on

The two likelihoods are averaged. Start and end are read and predicted too, so all but the outermost tokens of a document are
predicted twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.batches import IGNORE
from gyebo.data.plan import FIRST, SIZE, Plan, stored
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Defaults, Draw, Setting

LABELS = {"forward": "labels", "backward": "previous"}  # term of the loss and head of the model -> field of a batch


class Options(BaseModel):
    """Nothing to choose."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Bidirectional(Defaults):
    """`start`, `end`: the ids around a document, None where a model has none; `overlapping`: the windows of a long document
    share half of their positions, which one of them scores in each direction."""

    start: int | None
    end: int | None
    overlapping: bool = False
    fields: ClassVar[tuple[BatchField, ...]] = (
        BatchField("input_ids"),
        BatchField("labels", TOKENS, IGNORE, scored_once=True),
        BatchField("previous", TOKENS, IGNORE),  # `read` knows which window scores it
    )

    @property
    def extra(self) -> int:
        """Positions that a document fills beyond its tokens: start and end."""
        return (self.start is not None) + (self.end is not None)

    def describe(self) -> str:
        """Each token from either side."""
        return "the next token, and the previous one from the other side"

    def for_evaluation(self) -> Bidirectional:
        """The same; what overlaps is scored once."""
        return replace(self, overlapping=True)

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        key = [split.name, "continuous", self.extra, seed]
        return stored(folder, key, context, lambda: input_formats.continuous(split, context, self.extra, seed))

    def held_out(self, split: Split, context: int) -> Plan:
        """Rows that score every position once in each direction."""
        return input_formats.overlapping(split, context, self.extra)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids` [n] of [start] + tokens + [end]; `labels` and `previous` [n], the ids after and before each, IGNORE where
        the document ends, and where the next window scores them with more to their right."""
        document, first, size = int(piece[0]), int(piece[FIRST]), int(piece[SIZE])
        count, lead = int(split.documents["tokens"][document]), int(self.start is not None)
        whole = count + self.extra
        ids = np.full(size + 2, IGNORE)  # the piece between its neighbours: place i of the document stands at i + 1 - first
        low, high = max(first - 1 - lead, 0), min(first + size + 1 - lead, count)
        ids[low + lead + 1 - first : high + lead + 1 - first] = split.read(document, low, high)
        for place, id in ((0, self.start), (whole - 1, self.end)):
            if id is not None and first - 1 <= place <= first + size:
                ids[place + 1 - first] = id
        previous = ids[:-2].copy()
        if self.overlapping and first + size < whole:
            previous[size // 2 :] = IGNORE
        return {"input_ids": ids[1:-1].copy(), "labels": ids[2:].copy(), "previous": previous}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """The example as it is: nothing is hidden, nothing is drawn."""
        return dict(example)

    def counts(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"forward": tokens predicted from the left, "backward": from the right}."""
        return {term: int((batch[labels] != IGNORE).sum()) for term, labels in LABELS.items()}

    def projected(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """The same: each term has a head of its name."""
        return self.counts(batch)

    def loss(self, model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, float]]:
        """{"forward": (sum of -ln p of the next tokens, 1/2), "backward": (of the previous ones, 1/2)}; only labelled positions
        are projected on the vocabulary."""
        hidden = model.encode(batch["input_ids"], document_ids=batch["document_ids"]).hidden
        return {
            term: (cross_entropy_sum(*labelled(model, hidden, batch[labels], term)), 0.5) for term, labels in LABELS.items()
        }


def build(options: Options, setting: Setting) -> Bidirectional:
    """The objective for a tokenizer; documents are framed by its bos and eos. Raises ValueError to read across borders."""
    if setting.across_documents:
        raise OptionError(
            "‹data.across_documents› has no effect here: each document is read alone, in both directions; leave it out"
        )
    ids = setting.tokenizer.role_ids
    return Bidirectional(ids.get("bos"), ids.get("eos"))
