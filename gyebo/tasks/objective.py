"""The objective of fine-tuning a model with a head: counts and loss, as `gyebo/objectives` defines them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.kinds.kind import HeadForm
from gyebo.tasks.ngrams import FIELDS

NGRAMS = tuple(field.name for field in FIELDS)
INPUTS = ("input_ids", "token_type_ids", "document_ids", "visual_feats", "visual_pos", "region_document_ids", *NGRAMS)
Batch = dict[str, Tensor]


@dataclass(frozen=True)
class TaskObjective:
    """Minimises the mean loss over the labels of a kind of task."""

    form: HeadForm
    scheduled: ClassVar[bool] = False

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"task": number of labels}."""
        return {"task": self.form.count(batch)}

    def projected(self, batch: Batch) -> dict[str, int]:
        """Nothing: there is no output layer over the vocabulary."""
        return {}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"task": (sum over the labels, weight 1)}."""
        return {"task": (loss(self.form, forward(model, self.form, batch), batch, apart=model.training), 1.0)}


def loss(form: HeadForm, output: Any, batch: Batch, *, apart: bool) -> Tensor:
    """The loss of a kind, summed over the labels; `apart`: of an output with parts that learn apart, the sum of theirs."""
    found = output.apart if apart and isinstance(output, TaskOutput) else ()
    parts = [replace(output, logits=part) for part in found] or [output]
    losses = [form.loss(part, batch) for part in parts]
    return sum(losses[1:], losses[0])


def forward(model: Any, form: HeadForm, batch: Batch) -> Any:
    """The output of a fine-tuned model for the inputs of a batch."""
    return model(**{name: batch[name] for name in (*INPUTS, *form.inputs, *form.optional) if name in batch})
