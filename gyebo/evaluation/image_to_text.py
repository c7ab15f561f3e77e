"""How probable held-out texts are given their pictures, and how much of that they owe to the pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gyebo.data.batches import IGNORE, Rows
from gyebo.data.picture_plans import pictures_of
from gyebo.data.plan import DOCUMENT
from gyebo.evaluation.likelihood import some_rows
from gyebo.evaluation.measures import Evaluation
from gyebo.evaluation.text_to_image import PLACES, scores
from gyebo.nn.grid_attention import NOTHING
from gyebo.objectives.codes import rows_and_labels


@torch.no_grad()
def evaluate_captions(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """caption_loss (nats per token of a text and its end, given its picture), caption_accuracy (share of them that are the most
    probable ones), caption_tokens (their number); caption_loss_of_another (given another held-out picture, always the same one)
    and, of a model that learned it, caption_loss_without_picture. Parts: nats and tokens of each row.

    `tokens`: evaluate about this number of positions. Comparable between models with the same tokenizer alone.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, PLACES // sum(rows.objective.lengths(rows.plan.context).values()))
    context = lambda: autocast() if autocast else torch.autocast("cpu", enabled=False)  # noqa: E731
    device, pictures = next(model.parameters()).device, pictures_of(rows.split)
    parts, right, without = [], 0, {"caption_loss_of_another": 0.0, "caption_loss_without_picture": 0.0}
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        batch = {name: torch.from_numpy(a).to(device) for name, a in rows.batch(part, [[0]] * len(part)).items()}
        own = pictures.of[rows.plan.pieces[part, DOCUMENT]]  # type: ignore[union-attr]
        others = (own + len(pictures) // 2) % len(pictures)
        codes = torch.from_numpy(rows.objective.codes[rows.split.name][others].astype(np.int64)).to(device)  # type: ignore[attr-defined]
        with context():
            nats, found, labels = _of_texts(model, batch)
            without["caption_loss_of_another"] += float(_of_texts(model, {**batch, "image_ids": codes})[0].sum())
            if model.config.guided:
                nothing = torch.full_like(codes, NOTHING)
                without["caption_loss_without_picture"] += float(_of_texts(model, {**batch, "image_ids": nothing})[0].sum())
        parts.append(np.stack([nats.sum(1).cpu().numpy(), (labels != IGNORE).sum(1).cpu().numpy()], 1))
        right += int((found & (labels != IGNORE)).sum())
    table = np.concatenate(parts).astype(np.float64)
    count = table[:, 1].sum()
    metrics = {
        "caption_loss": float(table[:, 0].sum() / count),
        "caption_accuracy": right / count,
        "caption_tokens": int(count),
    }
    measured = {"caption_loss_of_another": len(pictures) > 1, "caption_loss_without_picture": model.config.guided}
    return Evaluation(
        metrics=metrics | {name: float(without[name] / count) for name, so in measured.items() if so}, parts=table
    )


def _of_texts(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Nats of each label of the texts [R, n], whether it was the most probable one, and the labels."""
    rows, labels = rows_and_labels(model, batch)["text"]
    return (*scores(model, rows, labels, "text"), labels)
