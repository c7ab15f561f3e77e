"""Predictions as JSON: a line for each example, for people and programs to read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gyebo.tasks.task import Example

PREDICTIONS = "predictions.jsonl"


def as_rows(examples: Sequence[Example], predictions: Sequence[Any], shares: str = "probabilities") -> list[dict[str, Any]]:
    """{"id", "label" where it is known, "prediction"} of each example; what a prediction is says `gyebo/tasks/task.py`.

    Beside it stand a class's `shares` (what the numbers by name are called), the entities of tags as "spans", [start, end,
    type] in characters, and a chosen option's text as "option".
    """
    return [_row(example, prediction, shares) for example, prediction in zip(examples, predictions, strict=True)]


def _row(example: Example, prediction: Any, shares: str) -> dict[str, Any]:
    row: dict[str, Any] = {"id": example.id}
    if example.label is not None:
        row["label"] = example.label
    if isinstance(prediction, dict):
        numbers = {name: round(share, 6) for name, share in prediction.items()}
        return row | {"prediction": max(prediction, key=prediction.__getitem__), shares: numbers}
    row["prediction"] = prediction
    if example.options:
        row["option"] = example.options[prediction]
    elif isinstance(prediction, list):
        row["spans"] = entities(prediction)
    return row


def entities(tags: Iterable[str]) -> list[tuple[int, int, str]]:
    """(start, end, type) of the entities in BIO tags: a B and the I's of its type right after it, as strict scoring has it."""
    found: list[tuple[int, int, str]] = []
    for place, tag in enumerate(tags):
        begin, _, kind = tag.partition("-")
        if begin == "B":
            found.append((place, place + 1, kind))
        elif begin == "I" and found and found[-1][1:] == (place, kind):
            found[-1] = (found[-1][0], place + 1, kind)
    return found


def write_predictions(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line; the file is whole or as it was before."""
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    aside.replace(path)
