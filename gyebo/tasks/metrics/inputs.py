"""Inputs of metrics: predictions and correct answers, checked; and the libraries that compute metrics."""

from __future__ import annotations

import importlib
import math
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from typing import Any

from gyebo.tasks.task import INVALID, Example

Labels = Sequence[str] | None
Values = dict[str, float]


def library(name: str) -> Any:
    """A module of the extra `metrics`; ValueError, one line, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        top = {"sklearn": "scikit-learn", "rouge_score": "rouge-score"}.get(name.partition(".")[0], name.partition(".")[0])
        raise ValueError(f'this metric needs {top}, of the extra "metrics": pip install "gyebo[metrics]"') from None


def check(predictions: Sequence[Any], examples: Sequence[Example]) -> None:
    """ValueError unless there is one prediction for each example, and at least one example."""
    if len(predictions) != len(examples):
        raise ValueError(f"{len(predictions):,} predictions for {len(examples):,} examples: give one for each, in order")
    if not examples:
        raise ValueError("no examples to score")


def classes(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> tuple[list[Any], list[Any]]:
    """(predicted, right) classes; of probabilities by name the class with the largest; what is none of `labels`, if they are
    given, is `INVALID`. ValueError for a missing label."""
    check(predictions, examples)
    if missing := next((example for example in examples if example.label is None), None):
        raise ValueError(f"{missing.id} has no label: predictions are possible, scores are not")
    predicted = [max(found, key=found.__getitem__) if isinstance(found, Mapping) else found for found in predictions]
    if labels:
        predicted = [found if found in labels else INVALID for found in predicted]
    return predicted, [example.label for example in examples]


def scores(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[float], list[float]]:
    """(predicted, right) numbers; a prediction that is none (None) counts as the lowest or highest right one, as is farther.
    ValueError for one that is not finite, or a missing score."""
    found, wanted = classes(predictions, examples)
    right = [float(value) for value in wanted]
    low, high = min(right), max(right)
    worst = (low if score - low > high - score else high for score in right)
    numbers = [far if value is None else float(value) for value, far in zip(found, worst)]
    for value, example in zip(numbers, examples):
        if not math.isfinite(value):
            raise ValueError(f"the prediction for {example.id} is {value}, not a number to score")
    return numbers, right


def tag_lists(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[list[str]], list[list[str]]]:
    """(predicted, right) tags of each text; ValueError where their numbers differ, or an example has no tags."""
    check(predictions, examples)
    for found, example in zip(predictions, examples):
        if example.text and not example.tags:
            raise ValueError(f"{example.id} has no tags: predictions are possible, scores are not")
        if len(found) != len(example.tags):
            raise ValueError(f"{example.id} has {len(example.tags)} characters, but {len(found)} predicted tags")
    return [list(found) for found in predictions], [list(example.tags) for example in examples]


def readable(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[list[str]], list[list[str]]]:
    """As `tag_lists`, without entities of the type `INVALID`, which have no part in a mean over the types."""
    predicted, right = tag_lists(predictions, examples)
    return [["O" if tag == f"B-{INVALID}" else tag for tag in tags] for tags in predicted], right


def seqeval_f1(predicted: list[list[str]], right: list[list[str]], average: str) -> float:
    """seqeval's F1 of entities in strict mode with IOB2: an entity is correct if its type and both ends are."""
    metrics, scheme = library("seqeval.metrics"), library("seqeval.scheme")
    if not any(tag != "O" for tags in (*predicted, *right) for tag in tags):
        return 0.0  # no entity anywhere, which seqeval cannot average
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # a type without predictions has F1 0
        return float(metrics.f1_score(right, predicted, average=average, mode="strict", scheme=scheme.IOB2))
