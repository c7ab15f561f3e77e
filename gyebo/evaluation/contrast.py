"""How well a model finds the picture of a held-out text among others, and the text of a picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from gyebo.data.batches import Rows
from gyebo.data.plan import DOCUMENT
from gyebo.evaluation.measures import Evaluation
from gyebo.objectives.contrastive import compared

AMONG = 100  # pictures


@torch.no_grad()
def evaluate_contrast(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """contrast_loss (nats per pair, the mean of both directions), picture_found (share of texts whose own picture is the most
    similar one), text_found (share of pictures likewise), among: each among so many pairs, mostly 100. Parts: nats and pairs of
    each group of them.

    A group holds one text of each of its pictures; groups are the same at every call. `tokens`: evaluate about this number of
    positions, but one group at least.
    """
    numbers = _one_each(rows)
    most = len(numbers) if tokens is None else max(AMONG, round(tokens / rows.plan.mean_tokens))
    numbers = numbers[: min(len(numbers), most)]
    count = max(1, len(numbers) // AMONG)
    groups = [numbers[len(numbers) * i // count : len(numbers) * (i + 1) // count] for i in range(count)]
    device = next(model.parameters()).device
    scores = []  # of each group: nats, pairs, pictures found, texts found
    for group in groups:
        batch = {name: torch.from_numpy(a).to(device) for name, a in rows.batch(group, [[0]] * len(group)).items()}
        with autocast() if autocast else torch.autocast("cpu", enabled=False):
            logits = compared(model, batch)
        right = torch.arange(len(logits), device=device)
        nats = (F.cross_entropy(logits, right, reduction="sum") + F.cross_entropy(logits.T, right, reduction="sum")) / 2
        found = [int((side.argmax(1) == right).sum()) for side in (logits, logits.T)]
        scores.append([float(nats), len(group), *found])
    table = np.array(scores, np.float64)
    sums = table.sum(0)
    metrics = {
        "contrast_loss": float(sums[0] / sums[1]),
        "picture_found": float(sums[2] / sums[1]),
        "text_found": float(sums[3] / sums[1]),
        "among": len(numbers) // count,
    }
    return Evaluation(metrics=metrics, parts=table[:, :2])


def _one_each(rows: Rows) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The rows of one text of each picture, in a random order that is always the same."""
    assert rows.split.pictures is not None
    pictures = rows.split.pictures.of[rows.plan.pieces[:, DOCUMENT]]  # type: ignore[union-attr]
    order = np.random.default_rng(0).permutation(len(pictures))
    _, first = np.unique(pictures[order], return_index=True)
    return order[np.sort(first)]
