"""A task that a head answers, as something to learn: counts and loss, with the promises of `gyebo/objectives`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gyebo.tasks.kinds.kind import HeadForm

INPUTS = ("input_ids", "token_type_ids", "document_ids")
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class TaskObjective:
    """What fine-tuning minimises for a kind of task: the mean over its labels."""

    form: HeadForm

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"task": labels}."""
        return {"task": self.form.count(batch)}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"task": (sum over the labels, 1)}."""
        return {"task": (self.form.loss(forward(model, self.form, batch), batch), 1.0)}


def forward(model: Any, form: HeadForm, batch: Batch) -> Any:
    """What a task's model gives for the inputs of a batch."""
    return model(**{name: batch[name] for name in (*INPUTS, *form.inputs, *form.optional) if name in batch})
