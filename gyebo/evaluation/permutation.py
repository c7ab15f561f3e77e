"""Loss and accuracy on tokens predicted in a random order; tokens and orders are the same for every model and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.data.batches import Rows
from gyebo.evaluation.likelihood import some_rows
from gyebo.evaluation.measures import Evaluation
from gyebo.nn.cross_entropy import chunks
from gyebo.objectives.causal import labelled
from gyebo.objectives.permutation import encode


@torch.no_grad()
def evaluate_permutation(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """permutation_loss (nats per predicted token), permutation_accuracy, predicted_tokens (their number). Parts: nats and
    predicted tokens of each batch of rows.

    `tokens`: evaluate about this number of positions. Only the last tokens of an order are predicted: no likelihood of a text.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, 8192 // rows.plan.context)
    device = next(model.parameters()).device
    scores = []  # of each batch: nats, right tokens, tokens
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        batch = {name: torch.from_numpy(a).to(device) for name, a in rows.batch(part, [[0]] * len(part)).items()}
        with autocast() if autocast else torch.autocast("cpu", enabled=False):
            scores.append(_scores(model, batch))
    table = np.stack(scores).astype(np.float64)
    nats, right, count = table.sum(0).tolist()
    metrics = {"permutation_loss": nats / count, "permutation_accuracy": right / count, "predicted_tokens": int(count)}
    return Evaluation(metrics=metrics, parts=table[:, [0, 2]])


def _scores(model: Any, batch: dict[str, Tensor]) -> np.ndarray:
    rows, weight, bias, labels = labelled(model, encode(model, batch)[0], batch["labels"], "lm")
    nats, right = 0.0, 0
    for a, b in chunks(len(rows), weight):
        logits = F.linear(rows[a:b], weight, bias).float()
        nats += float(F.cross_entropy(logits, labels[a:b], reduction="sum"))
        right += int((logits.argmax(1) == labels[a:b]).sum())
    return np.array([nats, right, len(labels)])
