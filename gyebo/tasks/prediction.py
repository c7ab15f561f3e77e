"""Predictions of a fine-tuned model for examples, in the form that `gyebo/tasks/task.py` defines for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.config.disk import disk_full
from gyebo.config.durable import replacing
from gyebo.tasks.features import ExampleRows, Features, in_order
from gyebo.tasks.kinds.kind import HeadForm, Kind, Outputs
from gyebo.tasks.objective import forward
from gyebo.tasks.task import Example

PREDICTIONS = "predictions.jsonl"
TOKENS = 8192  # tokens of a batch, padding included


@torch.no_grad()
def outputs_of(
    model: Any,
    form: HeadForm,
    features: Features,
    *,
    autocast: Callable[[], Any] = nullcontext,
    tokens: int = TOKENS,
    of: Callable[[Any], tuple[torch.Tensor, ...]] = lambda output: output.scores,
) -> list[Outputs]:
    """The model's outputs for all rows, in their order: one list for each output tensor (spans have two).

    Outputs per token or word come without padding. A batch has at most `tokens` tokens, padding included. `of`: the output of
    the model -> which of its tensors are wanted. The model is put into evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    parts: list[tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]] = []
    for rows, arrays in ExampleRows(features).by_length(tokens):
        batch = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
        with autocast():
            found = forward(model, form, batch)
        parts.append((rows, tuple(scores.float().cpu().numpy() for scores in of(found))))
    lengths = None if form.places is None else features.columns[form.places].lengths
    return [in_order([(rows, outputs[i]) for rows, outputs in parts], lengths) for i in range(len(parts[0][1]))]


def predict(
    model: Any, form: HeadForm, features: Features, examples: Sequence[Example], *, autocast: Callable[[], Any] = nullcontext
) -> list[Any]:
    """One prediction per example; for classification a mapping name -> probability."""
    return form.decode(features, examples, outputs_of(model, form, features, autocast=autocast), model.labels)


def as_rows(
    kind: Kind, examples: Sequence[Example], predictions: Sequence[Any], *, probability_key: str = "probabilities"
) -> list[dict[str, Any]]:
    """{"id", "label" if it is known, "prediction"} of each example; `gyebo/tasks/task.py` defines the predictions.

    Kinds add further keys: classification the probabilities (or margins) by class name, if a head gives them, as
    `probability_key`;
    tagging the entities as "spans", [start, end, type] in characters; choice the text of the chosen option as "option".
    """
    return [
        {"id": example.id}
        | ({} if example.label is None else {"label": example.label})
        | kind.row(example, prediction, probability_key)
        for example, prediction in zip(examples, predictions, strict=True)
    ]


def write_predictions(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """One JSON object per line; the file is written atomically."""
    with (
        disk_full(path, "free some space and start again"),
        replacing(path) as aside,
        aside.open("w", encoding="utf-8") as lines,
    ):
        lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
