"""How well a model writes the targets of held-out text, of all objectives with a source and a target.

The corruption of a text is a function of its row, so it is the same for every model and every evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.data.batches import Rows
from gyebo.evaluation.likelihood import some_rows
from gyebo.evaluation.measures import Evaluation
from gyebo.nn.cross_entropy import chunks
from gyebo.objectives.source_target import before_output


@torch.no_grad()
def evaluate_targets(
    model: Any,
    rows: Rows,
    *,
    name: str,
    tokens: int | None = None,
    autocast: Callable[[], Any] | None = None,
) -> Evaluation:
    """{name}_loss (nats per token of the target, given the source and the target before it), {name}_accuracy (share of these
    tokens that are the most probable ones), {name}_tokens (their number). Parts: nats and tokens of each batch of rows.

    `tokens`: evaluate about this number of positions. Not a likelihood of the text: the source is given.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, 8192 // rows.plan.context)
    device = next(model.parameters()).device
    scores = []  # of each batch: nats, right tokens, tokens
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        batch = {field: torch.from_numpy(a).to(device) for field, a in rows.batch(part, [[0]] * len(part)).items()}
        with autocast() if autocast else torch.autocast("cpu", enabled=False):
            scores.append(_scores(model, batch))
    table = np.array(scores, np.float64)
    nats, right, count = table.sum(0)
    metrics = {f"{name}_loss": nats / count, f"{name}_accuracy": right / count, f"{name}_tokens": int(count)}
    return Evaluation(metrics=metrics, parts=table[:, [0, 2]])


evaluate_denoising = partial(evaluate_targets, name="denoising")
evaluate_spans = partial(evaluate_targets, name="target")
evaluate_continuations = partial(evaluate_targets, name="prefix")


def _scores(model: Any, batch: dict[str, Tensor]) -> tuple[float, int, int]:
    hidden, weight, bias, labels = before_output(model, batch)
    nats, right = 0.0, 0
    for a, b in chunks(len(hidden), weight):
        logits = F.linear(hidden[a:b], weight, bias).float()
        nats += float(F.cross_entropy(logits, labels[a:b], reduction="sum"))
        right += int((logits.argmax(1) == labels[a:b]).sum())
    return nats, right, len(labels)
