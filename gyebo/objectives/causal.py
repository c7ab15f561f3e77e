"""Causal language modelling: each token is predicted from those before it in its document (Radford et al. 2018, 3.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from gyebo.data.batches import IGNORE, Arrays
from gyebo.nn.cross_entropy import cross_entropy_sum

NAME = "causal"


def max_length(tokens: int) -> int:
    """Positions that a document of so many tokens fills: each token and the end are predicted once."""
    return tokens + 1


def corrupt(example: Arrays, rng: np.random.Generator, draw: Callable[[np.random.Generator], Arrays]) -> Arrays:
    """`input_ids` [n + 1] -> inputs [n] and the labels [n] that follow them; nothing is hidden, nothing is drawn."""
    ids = example["input_ids"]
    return {"input_ids": ids[:-1], "labels": ids[1:].copy()}


def counts(batch: dict[str, Tensor]) -> dict[str, int]:
    """How many tokens each term of the loss counts: {"lm": labels}."""
    return {"lm": int((batch["labels"] != IGNORE).sum())}


def loss(model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, float]]:
    """{"lm": (sum of -ln p over the labels, weight 1)}; only labelled positions are projected on the vocabulary."""
    hidden = model.encode(batch["input_ids"], document_ids=batch["document_ids"]).hidden
    return {"lm": (cross_entropy_sum(*labelled(model, hidden, batch["labels"])), 1.0)}


def labelled(model: Any, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """The flat rows that have a label [N, D], the output matrix [V, D] and bias, and the labels [N]."""
    wanted = labels != IGNORE
    hidden, labels = (hidden.flatten(0, 1), labels.flatten()) if bool(wanted.all()) else (hidden[wanted], labels[wanted])
    rows, weight, bias = model.output_layer(hidden)
    return rows, weight, bias, labels
