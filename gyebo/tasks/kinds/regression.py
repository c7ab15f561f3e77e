"""Regression: a score for a text or a pair. In `transformers` it is a classification with one output and problem_type
"regression"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.features import Features, all_labelled
from gyebo.tasks.kinds import classification
from gyebo.tasks.kinds.kind import Encoding, Kind, Outputs, OwnFile, has_label
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Texts or pairs as rows, with their scores as "labels" [N], float32, if all are known."""
    features = classification.encode_texts(examples, tokenizer, encoding.max_length)
    if all_labelled(examples, has_label):
        features.fixed["labels"] = np.array([_score(example) for example in examples], np.float32)
    return features


def _score(example: Example) -> float:
    try:
        score = float(example.label)  # type: ignore[arg-type]
    except ValueError:
        score = float("nan")
    if not np.isfinite(score):
        raise ValueError(f"example {example.id}: label {example.label!r} is not a number, which regression needs")
    return score


def loss(output: TaskOutput, batch: dict[str, Tensor]) -> Tensor:
    """Squared error, summed over the rows."""
    import torch.nn.functional as F

    return F.mse_loss(output.logits.float().squeeze(-1), batch["labels"].float(), reduction="sum")


def decode(features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]) -> list[float]:
    """The score of every example."""
    return [float(row[0]) for row in outputs[0]]


def one_score(examples: Sequence[Example]) -> str | None:
    """The reason why examples with a single score cannot be used for training."""
    seen = {example.label for example in examples}
    return f"all {len(examples):,} examples have one score, {next(iter(seen))!r}" if len(seen) < 2 else None


assert classification.KIND.head is not None
KIND = Kind(
    name="regression",
    pipeline_tag="text-classification",
    head=replace(classification.KIND.head, encode=encode, loss=loss, decode=decode, default_labels=1, problems=("regression",)),
    own_files=(
        OwnFile(
            name="regression",
            task=column_task("regression", label="label", metrics=("pearson", "spearman"), number=True),
        ),
    ),
    lines=True,
    bpe_dropout=True,
    linear=True,
    nothing_to_learn=one_score,
)
