"""What a fine-tuned model says of examples, in the form that `gyebo/tasks/task.py` fixes for each kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.tasks import dependency, spans, tagging
from gyebo.tasks.arcs import Arcs
from gyebo.tasks.learning import INPUTS, forward
from gyebo.tasks.store import ExampleRows, Features, in_order
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
