"""What a test says of each class alone: how many were right, predicted and true.

A function (predictions, examples, labels) -> {class: (right, predicted, true)}, for the classes of the task in their order, or
the types of entities that occur. Precision, recall and F1 follow as scikit-learn's and seqeval's reports have them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from gyebo.tasks.metrics.bootstrap import Rows, of_classes
from gyebo.tasks.metrics.inputs import library, tag_lists
from gyebo.tasks.metrics.multi_label import known_counts
from gyebo.tasks.task import INVALID, Example

Counts = dict[str, tuple[int, int, int]]
ByClass = Callable[[Sequence[Any], Sequence[Example], Sequence[str]], Counts]


def _from_rows(rows: Rows) -> ByClass:
    def count(predictions: Sequence[Any], examples: Sequence[Example], labels: Sequence[str]) -> Counts:
        sums = rows(predictions, examples, labels).sum(0).reshape(3, -1).astype(int)
        return {name: (int(right), int(found), int(true)) for name, (right, found, true) in zip(labels, sums.T, strict=True)}

    return count


one_class = _from_rows(of_classes(lambda labels: labels))
"""Of the one class of each example."""
several_classes = _from_rows(known_counts)
"""Of any number of classes of each example."""


def entity_types(predictions: Sequence[Any], examples: Sequence[Example], labels: Sequence[str]) -> Counts:
    """Of entities by type: one is right where both ends and the type are, strict and IOB2 by seqeval."""
    scheme = library("seqeval.scheme")
    counts = [Counter[str]() for _ in range(3)]
    sides = (scheme.Entities(side, scheme.IOB2).entities for side in tag_lists(predictions, examples))
    for found, true in zip(*sides, strict=True):
        ours, theirs = ({(entity.tag, entity.start, entity.end) for entity in text} for text in (found, true))
        for counter, entities in zip(counts, (ours & theirs, ours, theirs)):
            counter.update(entity[0] for entity in entities)
    right, predicted, wanted = counts
    return {name: (right[name], predicted[name], wanted[name]) for name in sorted({*predicted, *wanted} - {INVALID})}
