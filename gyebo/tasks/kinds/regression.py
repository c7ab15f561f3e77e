"""Regression: a score for a text or a pair. In `transformers` it is a classification with one output and problem_type
"regression".

As text a score is rounded to a step, of which 25 cover the scores of the training set: 0.2 for similarities from 0 to 5, as in
Raffel et al. 2020, section 2.4."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.features import Features, all_labelled
from gyebo.tasks.kinds import classification
from gyebo.tasks.kinds.kind import Encoding, Kind, Outputs, OwnFile, TextForm, has_label, in_columns
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

STEPS = 25  # of a score as text, from the lowest to the highest


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

    scores = output.precise.squeeze(-1)
    return F.mse_loss(scores, batch["labels"].to(scores.dtype), reduction="sum")


def decode(features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]) -> list[float]:
    """The score of every example."""
    return [float(row[0]) for row in outputs[0]]


def step_of(examples: Sequence[Example]) -> float:
    """What scores are rounded to in text: 1, 2 or 5 times a power of ten, the smallest of which `STEPS` cover their range."""
    scores = [_score(example) for example in examples if has_label(example)]
    least = (max(scores) - min(scores)) / STEPS if scores else 0.0
    if least <= 0:
        return 0.2
    power = 10.0 ** math.floor(math.log10(least))
    return float(f"{next(times * power for times in (1, 2, 5, 10) if times * power >= least * (1 - 1e-9)):.0e}")


def written(score: float, step: float | None) -> str:
    """A score as text: rounded to the step, with as many decimals as the step has."""
    if step is None:
        return f"{score:g}"
    steps = round(score * round(1 / step)) if step < 1 else round(score / step)
    return f"{steps * step + 0.0:.{max(0, -math.floor(math.log10(step)))}f}"  # + 0.0: no "-0.0"


def read(text: str) -> float | None:
    """The number that a text is; None for any other text."""
    return float(text) if re.fullmatch(r"\s*[-+]?\d+(\.\d+)?\s*", text, re.ASCII) else None


def one_score(examples: Sequence[Example]) -> str | None:
    """The reason why examples with a single score cannot be used for training."""
    seen = {example.label for example in examples}
    return f"all {len(examples):,} examples have one score, {next(iter(seen))!r}" if len(seen) < 2 else None


assert classification.KIND.head is not None
KIND = Kind(
    name="regression",
    pipeline_tag="text-classification",
    head=replace(classification.KIND.head, encode=encode, loss=loss, decode=decode, default_labels=1, problems=("regression",)),
    text=TextForm(
        source=in_columns(classification.parts),
        target=lambda example, task: None if example.label is None else written(_score(example), task.step),
        answer=lambda text, example, task: read(text),
        columns=(("text", "sentence"), ("pair", "sentence2")),
        step=step_of,
        cut="end",
    ),
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
