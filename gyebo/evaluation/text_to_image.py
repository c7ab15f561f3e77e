"""How probable held-out pictures are for their texts, as codes of a picture tokenizer."""

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
from gyebo.objectives.codes import rows_and_labels

PLACES = 8192  # of a batch


@torch.no_grad()
def evaluate_codes(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """image_loss (nats per image token, given the text and the image tokens before it), image_accuracy (share of them that are
    the most probable ones), text_loss (nats per token of the text and its end), image_tokens (their number). Parts: nats and
    image tokens of each row.

    `tokens`: evaluate about this number of positions. Comparable between models with the same picture tokenizer alone.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, PLACES // sum(rows.objective.lengths(rows.plan.context).values()))
    device = next(model.parameters()).device
    parts, sums = [], np.zeros(4)  # right image tokens, image tokens, nats of texts, tokens of texts
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        batch = {name: torch.from_numpy(a).to(device) for name, a in rows.batch(part, [[0]] * len(part)).items()}
        with autocast() if autocast else torch.autocast("cpu", enabled=False):
            found = rows_and_labels(model, batch)
            nats, right = scores(model, *found["image"], "image")
            of_text, _ = scores(model, *found["text"], "text")
        count = batch["image_ids"].shape[1]
        parts.append(np.stack([nats.sum(1).cpu().numpy(), np.full(len(part), float(count))], 1))
        texts = int((found["text"][1] != IGNORE).sum())
        sums += [float(right.sum()), right.numel(), float(of_text.sum()), texts]
    table = np.concatenate(parts)
    metrics = {
        "image_loss": float(table[:, 0].sum() / table[:, 1].sum()),
        "image_accuracy": float(sums[0] / sums[1]),
        "image_tokens": int(sums[1]),
    }
    return Evaluation(metrics=metrics | ({"text_loss": float(sums[2] / sums[3])} if sums[3] else {}), parts=table)


def scores(model: Any, hidden: Tensor, labels: Tensor, head: str) -> tuple[Tensor, Tensor]:
    """Nats of each label [R, n], 0 where there is none, and whether it was the most probable one."""
    rows, weight, bias = model.output_layer(hidden.flatten(0, 1), head)
    flat = labels.flatten()
    nats, right = flat.new_zeros(len(flat), dtype=torch.float64), flat.new_zeros(len(flat), dtype=torch.bool)
    for a, b in chunks(len(rows), weight):
        logits = F.linear(rows[a:b], weight, bias).float()
        nats[a:b] = F.cross_entropy(logits, flat[a:b], ignore_index=IGNORE, reduction="none").double()
        right[a:b] = logits.argmax(1) == flat[a:b]
    return nats.view_as(labels), right.view_as(labels)
