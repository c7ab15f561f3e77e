"""Metrics and samples of a model on held-out rows: the record of the objective names the functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gyebo.data.batches import Rows
from gyebo.objectives.table import ObjectiveFacts, resolve
from gyebo.text.tokenizer import Tokenizer


def evaluate(
    facts: ObjectiveFacts,
    model: Any,
    rows: Rows,
    *,
    tokens: int | None = None,
    autocast: Callable[[], Any] | None = None,
) -> dict[str, float]:
    """The metrics of held-out rows, the reported one among them; `tokens`: about this number of positions.

    `autocast`: gives the context of the forward passes.
    """
    return resolve(facts.evaluate)(model, rows, tokens=tokens, autocast=autocast)


def sample(facts: ObjectiveFacts, model: Any, tokenizer: Tokenizer, rows: Rows, *, count: int) -> list[str]:
    """At most `count` samples; none where the objective has none."""
    return resolve(facts.samples.function)(model, tokenizer, rows, count) if facts.samples else []
