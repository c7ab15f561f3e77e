"""How well a model predicts what is hidden of a text and of its picture, and whether the two belong together.

What is hidden is a function of the row, so it is the same for every model and every evaluation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.data.batches import IGNORE, Rows
from gyebo.data.picture_plans import pictures_of
from gyebo.evaluation.likelihood import some_rows
from gyebo.evaluation.measures import Evaluation
from gyebo.nn.cross_entropy import chunks
from gyebo.nn.ragged import first_tokens
from gyebo.objectives.alignment import fused
from gyebo.objectives.causal import labelled
from gyebo.objectives.text_with_regions import encode

Sums = dict[str, float]


@torch.no_grad()
def evaluate_text_with_regions(
    model: Any, rows: Rows, *, tokens: int | None = None, autocast: Callable[[], Any] | None = None
) -> Evaluation:
    """pictured_loss (nats per masked word, given the picture), pictured_accuracy, pictured_tokens (their number); of masked
    regions label_accuracy, attribute_accuracy and feature_loss (mean smooth L1 distance), answer_accuracy of questions, where
    the model learns them; matching_accuracy: whether text and picture belong together, each text once with its picture and
    once with another. Parts: nats and masked words of each batch of rows.

    `tokens`: evaluate about this number of positions.
    """
    numbers = list(range(len(rows.plan))) if tokens is None else some_rows(rows, tokens)
    context = lambda: autocast() if autocast else torch.autocast("cpu", enabled=False)  # noqa: E731
    total: Sums = defaultdict(float)
    parts = []
    for batch in _batches(model, rows, numbers):
        with context():
            found = _scores(model, batch)
        parts.append((found["nats"], found["words"]))
        _add(total, found)
    exchanged = replace(rows, objective=replace(rows.objective, always=True))
    for batch in _batches(model, exchanged, numbers) if len(pictures_of(rows.split)) > 1 else ():
        with context():
            hidden = encode(model, batch)
            _add(total, _matching(model, hidden.hidden, hidden.region_hidden, batch))
    metrics: dict[str, Any] = {
        "pictured_loss": total["nats"] / total["words"],
        "pictured_accuracy": total["right_words"] / total["words"],
        "pictured_tokens": int(total["words"]),
    }
    for name in ("label", "attribute", "answer", "matching"):
        if total[f"{name}s"]:
            metrics[f"{name}_accuracy"] = total[f"right_{name}s"] / total[f"{name}s"]
    if total["features"]:
        metrics["feature_loss"] = total["distance"] / total["features"]
    return Evaluation(metrics=metrics, parts=np.array(parts, np.float64))


def _batches(model: Any, rows: Rows, numbers: list[int]) -> Iterator[dict[str, Tensor]]:
    size = max(1, 8192 // rows.plan.context)
    device = next(model.parameters()).device
    for start in range(0, len(numbers), size):
        part = np.array(numbers[start : start + size])
        yield {name: torch.from_numpy(a).to(device) for name, a in rows.batch(part, [[0]] * len(part)).items()}


def _scores(model: Any, batch: dict[str, Tensor]) -> Sums:
    found = encode(model, batch)
    assert found.region_hidden is not None
    words, weight, bias, labels = labelled(model, found.hidden, batch["labels"], "mlm")
    sums: Sums = {"words": len(labels), "nats": 0.0, "right_words": 0}
    for a, b in chunks(len(words), weight):
        logits = F.linear(words[a:b], weight, bias).float()
        sums["nats"] += float(F.cross_entropy(logits, labels[a:b], reduction="sum"))
        sums["right_words"] += int((logits.argmax(1) == labels[a:b]).sum())
    masked = batch["region_masked"] > 0
    for name, field, head in (
        ("label", "region_labels", "object" if "object" in model.heads else "region"),
        ("attribute", "region_attributes", "attribute"),
    ):
        if field in batch:
            wanted = masked & (batch[field] != IGNORE)
            guess = model.project(found.region_hidden[wanted], head).argmax(1)
            sums.update({f"{name}s": len(guess), f"right_{name}s": int((guess == batch[field][wanted]).sum())})
    if "region_targets" in batch:
        predicted = model.project(found.region_hidden[masked], "feature").float()
        distance = F.smooth_l1_loss(predicted, batch["region_targets"][masked], reduction="none").mean(1)
        sums.update({"features": len(distance), "distance": float(distance.sum())})
    if "answer" in batch:
        asked = batch["answer"] != IGNORE
        first = first_tokens(found.hidden, batch["document_ids"] != 0)[asked]
        guess = model.project(first, "answer").argmax(1)
        sums.update({"answers": len(guess), "right_answers": int((guess == batch["answer"][asked]).sum())})
    return sums | _matching(model, found.hidden, found.region_hidden, batch)


def _matching(model: Any, words: Tensor, regions: Tensor | None, batch: dict[str, Tensor]) -> Sums:
    """Of the rows of a batch, how many are told right to belong together, or not to."""
    assert regions is not None
    if "match" in batch:
        logits = model.project(first_tokens(words, batch["document_ids"] != 0), "match")
        wanted = batch["match"]
    else:
        logits, wanted = model.project(fused(model, words, regions, batch), "alignment"), batch["alignment"]
    return {"matchings": len(wanted), "right_matchings": int((logits.argmax(1) == wanted).sum())}


def _add(total: Sums, found: Mapping[str, float]) -> None:
    for name, value in found.items():
        total[name] += value
