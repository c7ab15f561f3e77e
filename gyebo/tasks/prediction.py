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
from gyebo.tasks.heads.biaffine import Arcs
from gyebo.tasks.kinds import dependency, spans, tagging
from gyebo.tasks.objective import INPUTS, forward
from gyebo.tasks.task import Example

TOKENS = 8192  # of a batch, padding included

Outputs = list[NDArray[Any]]


@torch.no_grad()
def outputs_of(
    model: Any, features: Features, *, autocast: Callable[[], Any] = nullcontext, tokens: int = TOKENS
) -> list[Outputs]:
    """What the model gives for every row, in the order of the rows: one list for each of its outputs (a parser has two).

    Scores of tokens and words come without padding. A batch has at most so many `tokens`, padding included. The model is put
    into evaluation mode.
    """
    model.eval()
    device = next(model.parameters()).device
    parts: list[tuple[NDArray[np.int64], tuple[NDArray[Any], ...]]] = []
    for rows, arrays in ExampleRows(features).by_length(tokens):
        batch = {name: torch.from_numpy(values).to(device) for name, values in arrays.items() if name in INPUTS}
        with autocast():
            found = forward(model, batch)
        tensors = (found.arcs, found.relations) if isinstance(found, Arcs) else (found,)
        parts.append((rows, tuple(tensor.float().cpu().numpy() for tensor in tensors)))
    lengths = _lengths(model.kind, features)
    return [in_order([(rows, outputs[i]) for rows, outputs in parts], lengths) for i in range(len(parts[0][1]))]


def _lengths(kind: str, features: Features) -> NDArray[np.int64] | None:
    """How many places of a row's output are real; None where a row has one output."""
    if kind == "dependency":
        return features.columns["word_first"].lengths
    return features.lengths if kind in ("tagging", "spans") else None


def predict(
    model: Any, features: Features, examples: Sequence[Example], *, autocast: Callable[[], Any] = nullcontext
) -> list[Any]:
    """A prediction for every example: of classes, a mapping name -> probability."""
    outputs = outputs_of(model, features, autocast=autocast)
    return DECODERS["regression" if model.problem == "regression" else model.kind](model, features, examples, outputs)


def _classes(model: Any, features: Features, examples: Sequence[Example], outputs: list[Outputs]) -> list[dict[str, float]]:
    shares = torch.from_numpy(np.stack(outputs[0])).softmax(-1).tolist()
    return [dict(zip(model.labels, row)) for row in shares]


def _scores(model: Any, features: Features, examples: Sequence[Example], outputs: list[Outputs]) -> list[float]:
    return [float(row[0]) for row in outputs[0]]


def _tags(model: Any, features: Features, examples: Sequence[Example], outputs: list[Outputs]) -> list[list[str]]:
    return tagging.decode(features, outputs[0], examples, model.labels)


def _answers(model: Any, features: Features, examples: Sequence[Example], outputs: list[Outputs]) -> list[str]:
    starts, ends = ([row[:, i] for row in outputs[0]] for i in (0, 1))
    return spans.decode(features, starts, ends, examples)


def _options(model: Any, features: Features, examples: Sequence[Example], outputs: list[Outputs]) -> list[int]:
    return [int(row.argmax()) for row in outputs[0]]


def _parses(model: Any, features: Features, examples: Sequence[Example], outputs: list[Outputs]) -> list[Any]:
    # A sentence's scores come cut to its words; its heads are those words and the root.
    parses = [dependency.parse(arcs[:, : len(arcs) + 1], names[:, : len(arcs) + 1]) for arcs, names in zip(*outputs)]
    return dependency.decode(features, parses, examples, model.labels)


DECODERS: dict[str, Callable[[Any, Features, Sequence[Example], list[Outputs]], list[Any]]] = {
    "classification": _classes,
    "regression": _scores,
    "tagging": _tags,
    "spans": _answers,
    "choice": _options,
    "dependency": _parses,
}


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
