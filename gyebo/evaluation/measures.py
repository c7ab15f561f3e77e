"""Metrics and samples of a model on held-out rows: the record of the objective names the functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gyebo.data.batches import Rows
from gyebo.objectives.facts import ObjectiveFacts, resolve
from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`metrics`: name -> value. `parts` [n, 2]: of each document, or batch of rows, its part of the numerator and of the
    denominator of the reported metric, which is the ratio of their sums."""

    metrics: dict[str, float]
    parts: np.ndarray[Any, np.dtype[np.float64]]


def evaluate(
    facts: ObjectiveFacts,
    model: Any,
    rows: Rows,
    *,
    tokens: int | None = None,
    autocast: Callable[[], Any] | None = None,
    memory: int | None = None,
) -> Evaluation:
    """The metrics of held-out rows, the reported one among them; `tokens`: about this number of positions; `memory`: its length
    in tokens, of a model with a memory that is not read with its own.

    `autocast`: gives the context of the forward passes.
    """
    given = {} if memory is None else {"memory": memory}
    found: Evaluation = resolve(facts.evaluate)(model, rows, tokens=tokens, autocast=autocast, **given)
    return found


def sample(facts: ObjectiveFacts, model: Any, tokenizer: Tokenizer | None, rows: Rows, *, count: int) -> list[str]:
    """At most `count` samples; none where the objective has none."""
    return resolve(facts.samples.function)(model, tokenizer, rows, count) if facts.samples else []
