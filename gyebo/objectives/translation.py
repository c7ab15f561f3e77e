"""Translation: the next token of the target from the source and the target so far.

Learned from sentence pairs, which a task reads (`gyebo/tasks/kinds/translation.py`), not from a corpus of documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.nn.cross_entropy import cross_entropy_sum


@dataclass(frozen=True)
class Translation:
    """The mean over the target's tokens of -ln p(token), with label smoothing (Vaswani et al. 2017, section 5.4)."""

    smoothing: float = 0.0

    def counts(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"task": tokens to be predicted}."""
        return {"task": int((batch["labels"] != IGNORE).sum())}

    def projected(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"lm": tokens to be predicted}."""
        return {"lm": self.counts(batch)["task"]}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, float]]:
        """{"task": (sum over the tokens, 1)}; nothing is projected where nothing is to be predicted."""
        hidden = model.encode(
            batch["input_ids"], batch["document_ids"], batch["decoder_input_ids"], batch["decoder_document_ids"]
        ).hidden.flatten(0, 1)
        labels = batch["labels"].flatten()
        places = (labels != IGNORE).nonzero().squeeze(1)
        rows, matrix, bias = model.output_layer(hidden.index_select(0, places))
        return {"task": (cross_entropy_sum(rows, matrix, bias, labels[places], smoothing=self.smoothing), 1.0)}
