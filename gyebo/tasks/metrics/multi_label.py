"""Metrics of multi-label classification, with scikit-learn's names and definitions.

`labels`, the task's class names, are what macro F1 is a mean over, if they occur; a class that was written and is none of them
is wrong. Without `labels`, all classes that occur are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.tasks.metrics.bootstrap import Array
from gyebo.tasks.metrics.inputs import Labels, Values, check, library
from gyebo.tasks.task import Example, likely_classes

Table = NDArray[np.int64]


def multi_label_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Mean of the F1 of each class that occurs in predictions or labels."""
    predicted, right, known = _decisions(predictions, examples, labels)
    there = [place for place in range(known) if predicted[:, place].any() or right[:, place].any()]
    return {"multi_label_macro_f1": _f1(right[:, there], predicted[:, there], "macro")}


def multi_label_micro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """F1 over the classes of all examples together."""
    predicted, right, _ = _decisions(predictions, examples, labels)
    return {"multi_label_micro_f1": _f1(right, predicted, "micro")}


def subset_accuracy(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Share of examples with all the right classes and no other."""
    predicted, right, _ = _decisions(predictions, examples, labels)
    return {"subset_accuracy": float((predicted == right).all(1).mean())}


def known_counts(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
    """[m, 3C]: correct, predicted and true ones of each class of the task, for each example."""
    predicted, right, known = _decisions(predictions, examples, labels)
    return _counts(predicted[:, :known], right[:, :known])


def all_counts(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> Array:
    """So, with the classes that the task has not."""
    predicted, right, _ = _decisions(predictions, examples, labels)
    return _counts(predicted, right)


def _counts(predicted: Table, right: Table) -> Array:
    return np.stack([predicted & right, predicted, right], 1).reshape(len(right), -1).astype(np.float64)


def _f1(right: Table, predicted: Table, average: str) -> float:
    if not right.any() and not predicted.any():
        return 0.0  # no class anywhere
    return float(library("sklearn.metrics").f1_score(right, predicted, average=average, zero_division=0.0))


def _decisions(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels) -> tuple[Table, Table, int]:
    """([m, C] of predictions, [m, C] of what is right, number of classes of the task, which come first)."""
    check(predictions, examples)
    if missing := next((example for example in examples if example.classes is None), None):
        raise ValueError(f"{missing.id} has no classes: predictions are possible, scores are not")
    sides = [[likely_classes(found) for found in predictions], [example.classes or () for example in examples]]
    found = {name for side in sides for classes in side for name in classes}
    names = [*labels, *sorted(found - set(labels))] if labels else sorted(found)
    number = {name: place for place, name in enumerate(names)}
    tables = []
    for side in sides:
        table = np.zeros((len(examples), max(1, len(names))), np.int64)
        for row, classes in zip(table, side):
            row[[number[name] for name in classes]] = 1
        tables.append(table)
    return tables[0], tables[1], len(labels or names)
