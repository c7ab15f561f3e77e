"""What a fine-tuned model says of examples, in the form that `gyebo/tasks/task.py` fixes for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.tasks.features import ExampleRows, Features, in_order
from gyebo.tasks.kinds.kind import HeadForm, Kind, Outputs
from gyebo.tasks.objective import forward
from gyebo.tasks.task import Example

PREDICTIONS = "predictions.jsonl"
TOKENS = 8192  # of a batch, padding included


@torch.no_grad()
def outputs_of(
    model: Any, form: HeadForm, features: Features, *, autocast: Callable[[], Any] = nullcontext, tokens: int = TOKENS
) -> list[Outputs]:
    """What the model gives for every row, in the order of the rows: a list for each of its scores (of spans, two).

    Scores of tokens and words come without padding. A batch has at most so many `tokens`, padding included. The model is put
    into evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    parts: list[tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]] = []
    for rows, arrays in ExampleRows(features).by_length(tokens):
        batch = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
        with autocast():
            found = forward(model, form, batch)
        parts.append((rows, tuple(scores.float().cpu().numpy() for scores in found.scores)))
    lengths = None if form.places is None else features.columns[form.places].lengths
    return [in_order([(rows, outputs[i]) for rows, outputs in parts], lengths) for i in range(len(parts[0][1]))]


def predict(
    model: Any, form: HeadForm, features: Features, examples: Sequence[Example], *, autocast: Callable[[], Any] = nullcontext
) -> list[Any]:
    """A prediction for every example: of classes, a mapping name -> probability."""
    return form.decode(features, examples, outputs_of(model, form, features, autocast=autocast), model.labels)


def as_rows(
    kind: Kind, examples: Sequence[Example], predictions: Sequence[Any], *, shares: str = "probabilities"
) -> list[dict[str, Any]]:
    """{"id", "label" where it is known, "prediction"} of each example; what a prediction is says `gyebo/tasks/task.py`.

    Beside it stands what the kind adds: a class's `shares` (what the numbers by name are called), the entities of tags as
    "spans", [start, end, type] in characters, and a chosen option's text as "option".
    """
    return [
        {"id": example.id} | ({} if example.label is None else {"label": example.label}) | kind.row(example, prediction, shares)
        for example, prediction in zip(examples, predictions, strict=True)
    ]


def write_predictions(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object a line; the file is whole or as it was before."""
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    aside.replace(path)
