"""Loss of a forward and a backward language model on held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from gyebo.data.batches import Rows
from gyebo.evaluation.likelihood import some_rows
from gyebo.evaluation.measures import Evaluation


@torch.no_grad()
def evaluate_bidirectional(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """bidirectional_loss (nats per token, the mean of the two directions), forward_perplexity, backward_perplexity, and tokens,
    the number predicted from the left. On all rows, of documents with a start and an end, also forward_bits_per_byte: that of
    the direction which reads from the left, alone a likelihood, charged as in `gyebo/evaluation/likelihood.py`.

    `tokens`: evaluate about this number of positions. The two directions together are no likelihood: each token is predicted
    twice. Parts: nats and tokens of both directions in each batch of rows.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, 8192 // rows.plan.context)
    device = next(model.parameters()).device
    nats: dict[str, float] = {}
    counts: dict[str, int] = {}
    parts: list[tuple[float, int]] = []
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        batch = {name: torch.from_numpy(a).to(device) for name, a in rows.batch(part, [[0]] * len(part)).items()}
        with autocast() if autocast else torch.autocast("cpu", enabled=False):
            found = {term: float(total) for term, (total, _) in rows.objective.loss(model, batch).items()}
        for term, count in rows.objective.counts(batch).items():
            nats[term] = nats.get(term, 0.0) + found[term]
            counts[term] = counts.get(term, 0) + count
        parts.append((sum(found.values()), sum(rows.objective.counts(batch).values())))
    means = {term: nats[term] / counts[term] for term in nats}
    perplexities = {f"{term}_perplexity": math.exp(min(700.0, mean)) for term, mean in means.items()}
    figures = {"bidirectional_loss": sum(means.values()) / len(means), **perplexities, "tokens": counts["forward"]}
    framed = rows.objective.start is not None and rows.objective.end is not None
    if tokens is None and framed:
        table = rows.split.documents
        bits = nats["forward"] / math.log(2) + 8 * int(table["unknown"].sum())
        figures["forward_bits_per_byte"] = bits / int(table["bytes"].sum())
    return Evaluation(metrics=figures, parts=np.array(parts, np.float64))
