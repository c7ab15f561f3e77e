"""Loss and accuracy on masked tokens of held-out text; the masks are the same for every model and every evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.data.batches import IGNORE, Rows
from gyebo.evaluation.likelihood import some_rows
from gyebo.evaluation.measures import Evaluation
from gyebo.nn.cross_entropy import chunks
from gyebo.objectives.causal import labelled
from gyebo.objectives.masked import encode


@torch.no_grad()
def evaluate_masked(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """masked_loss (nats per masked token), masked_accuracy, masked_tokens (their number); with pairs next_sentence_accuracy.
    Parts: nats and masked tokens of each batch of rows.

    `tokens`: evaluate about this number of positions. Not a likelihood: it never ranks models of different objectives.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, 8192 // rows.plan.context)
    device = next(model.parameters()).device
    scores = []  # of each batch: nats, right tokens, tokens, right pairs, pairs
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        batch = {name: torch.from_numpy(a).to(device) for name, a in rows.batch(part, [[0]] * len(part)).items()}
        with autocast() if autocast else torch.autocast("cpu", enabled=False):
            scores.append(_scores(model, batch))
    table = np.stack(scores).astype(np.float64)
    sums = table.sum(0)
    found = {"masked_loss": sums[0] / sums[2], "masked_accuracy": sums[1] / sums[2], "masked_tokens": int(sums[2])}
    if sums[4]:
        found["next_sentence_accuracy"] = sums[3] / sums[4]
    metrics = {name: value if isinstance(value, int) else float(value) for name, value in found.items()}
    return Evaluation(metrics=metrics, parts=table[:, [0, 2]])


def _scores(model: Any, batch: dict[str, Tensor]) -> np.ndarray:
    hidden = encode(model, batch)
    rows, weight, bias, labels = labelled(model, hidden, batch["labels"], "mlm")
    nats, right = 0.0, 0
    for a, b in chunks(len(rows), weight):
        logits = F.linear(rows[a:b], weight, bias).float()
        nats += float(F.cross_entropy(logits, labels[a:b], reduction="sum"))
        right += int((logits.argmax(1) == labels[a:b]).sum())
    pairs = batch["next_sentence"] != IGNORE if "next_sentence" in batch else None
    if pairs is None or not bool(pairs.any()):
        return np.array([nats, right, len(labels), 0, 0])
    guess = model.project(hidden[pairs], "nsp").argmax(1)
    return np.array([nats, right, len(labels), int((guess == batch["next_sentence"][pairs]).sum()), len(guess)])
