"""A task as something to learn: counts and loss, with the promises of `gyebo/objectives`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.tasks.heads.biaffine import Arcs, parsing_loss

INPUTS = ("input_ids", "token_type_ids", "document_ids", "word_first", "word_last", "word_mask")
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class TaskObjective:
    """What fine-tuning minimises for a kind of task: the mean over its labels."""

    kind: str

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"task": labels}."""
        return {"task": LOSSES[self.kind].count(batch)}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"task": (sum over the labels, 1)}."""
        return {"task": (LOSSES[self.kind].total(forward(model, batch), batch), 1.0)}


def forward(model: Any, batch: Batch) -> Any:
    """What a task's model gives for the inputs of a batch."""
    return model(**{name: batch[name] for name in INPUTS if name in batch})


@dataclass(frozen=True)
class Loss:
    """`count`: labels of a batch; `total`: the loss summed over them, from the model's output."""

    count: Callable[[Batch], int]
    total: Callable[[Any, Batch], Tensor]


def _rows(batch: Batch) -> int:
    return len(batch["input_ids"])


def _classes(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits.float(), batch["labels"], reduction="sum")


def _squares(scores: Tensor, batch: Batch) -> Tensor:
    return F.mse_loss(scores.float().squeeze(-1), batch["labels"].float(), reduction="sum")


def _tags(logits: Tensor, batch: Batch) -> Tensor:
    return F.cross_entropy(logits.float().flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE, reduction="sum")


def _ends(logits: Tensor, batch: Batch) -> Tensor:
    """Half the loss of the start and half that of the end; padding is no place for either."""
    scores = logits.float().masked_fill(batch["document_ids"][..., None] == 0, torch.finfo(torch.float32).min)
    places = torch.stack([batch["start_positions"], batch["end_positions"]], 1)
    return F.cross_entropy(scores, places, reduction="sum") / 2


def _parse(scores: Arcs, batch: Batch) -> Tensor:
    terms = parsing_loss(scores, batch["heads"], batch["relations"])
    return terms["arc"][0] + terms["relation"][0]


LOSSES: dict[str, Loss] = {
    "classification": Loss(_rows, _classes),
    "regression": Loss(_rows, _squares),
    "tagging": Loss(lambda batch: int((batch["labels"] != IGNORE).sum()), _tags),
    "spans": Loss(_rows, _ends),
    "choice": Loss(_rows, _classes),
    "dependency": Loss(lambda batch: int((batch["heads"] != IGNORE).sum()), _parse),
}
