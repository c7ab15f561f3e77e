"""Metrics that many tasks share: (predictions, examples) -> {name: value}, all as fractions of 1.

What a prediction is: see `gyebo.tasks.task`. Every metric takes `labels`, the task's class names in order, and uses them
where the definition needs them. Built on scikit-learn, scipy and seqeval (extra `metrics`).
"""

from __future__ import annotations

import importlib
import math
import re
import statistics
import string
import warnings as python_warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gyebo.tasks.task import Example

Labels = Sequence[str] | None
Values = dict[str, float]


def library(name: str) -> Any:
    """A module of the extra `metrics`; ValueError, one line, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        top = {"sklearn": "scikit-learn"}.get(name.partition(".")[0], name.partition(".")[0])
        raise ValueError(f'this metric needs {top}, of the extra "metrics": pip install "gyebo[metrics]"') from None


def check(predictions: Sequence[Any], examples: Sequence[Example]) -> None:
    """ValueError unless there is a prediction for each example, and at least one."""
    if len(predictions) != len(examples):
        raise ValueError(f"{len(predictions):,} predictions for {len(examples):,} examples: give one for each, in order")
    if not examples:
        raise ValueError("no examples to score")


def classes(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[Any], list[Any]]:
    """(predicted, right) classes; of probabilities by name the largest. ValueError for an example without a label."""
    check(predictions, examples)
    if missing := next((example for example in examples if example.label is None), None):
        raise ValueError(f"{missing.id} has no label: these data can be predicted, but not scored")
    predicted = [max(found, key=found.__getitem__) if isinstance(found, Mapping) else found for found in predictions]
    return predicted, [example.label for example in examples]


def scores(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[float], list[float]]:
    """(predicted, right) numbers; ValueError for one that is not finite, or an example without a score."""
    found, right = classes(predictions, examples)
    numbers = [float(value) for value in found]
    for value, example in zip(numbers, examples):
        if not math.isfinite(value):
            raise ValueError(f"the prediction for {example.id} is {value}, not a number to score")
    return numbers, [float(value) for value in right]


# classes --------------------------------------------------------------------------------------------------------------


def accuracy(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Share of examples with the right class (or the right option)."""
    predicted, right = classes(predictions, examples)
    return {"accuracy": sum(p == r for p, r in zip(predicted, right)) / len(right)}


def macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Mean of the F1 of each class that occurs, predicted or right, as scikit-learn's default has it."""
    predicted, right = classes(predictions, examples)
    return {"macro_f1": float(library("sklearn.metrics").f1_score(right, predicted, average="macro", zero_division=0.0))}


def micro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """F1 of all decisions together; with one class per example it is the accuracy."""
    predicted, right = classes(predictions, examples)
    return {"micro_f1": float(library("sklearn.metrics").f1_score(right, predicted, average="micro", zero_division=0.0))}


def positive_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """F1 of the second of two `labels` (MRPC, QQP: those that are paraphrases). ValueError unless there are two."""
    if labels is None or len(labels) != 2:
        raise ValueError(f"positive_f1 needs two labels, the second one positive, but got {labels}")
    predicted, right = classes(predictions, examples)
    f1 = library("sklearn.metrics").f1_score
    return {"positive_f1": float(f1([r == labels[1] for r in right], [p == labels[1] for p in predicted], zero_division=0.0))}


def matthews(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Matthews' correlation coefficient (CoLA); 0 where all predictions are one class."""
    predicted, right = classes(predictions, examples)
    return {"matthews": float(library("sklearn.metrics").matthews_corrcoef(right, predicted))}


def confusion(predictions: Sequence[Any], examples: Sequence[Example], labels: Sequence[str]) -> list[list[int]]:
    """Counts: a row for each right class, a column for each predicted one, both in the order of `labels`.

    Raises ValueError for a class that is not among them.
    """
    predicted, right = classes(predictions, examples)
    numbers = {name: number for number, name in enumerate(labels)}
    counts = [[0] * len(numbers) for _ in numbers]
    for p, r in zip(predicted, right):
        if p not in numbers or r not in numbers:
            raise ValueError(f"the class {(r if p in numbers else p)!r} is none of {', '.join(labels)}")
        counts[numbers[r]][numbers[p]] += 1
    return counts


# scores ---------------------------------------------------------------------------------------------------------------


def pearson(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Pearson's correlation with the scores; 0 where either side is constant."""
    return {"pearson": _correlation("pearsonr", *scores(predictions, examples))}


def spearman(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Spearman's rank correlation with the scores, equal scores sharing their mean rank; 0 where either side is constant."""
    return {"spearman": _correlation("spearmanr", *scores(predictions, examples))}


def _correlation(function: str, predicted: list[float], right: list[float]) -> float:
    stats = library("scipy.stats")
    if len(right) < 2:
        raise ValueError("a correlation needs at least two examples")
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # constant input: undefined, 0 here
        value = float(getattr(stats, function)(predicted, right)[0])
    return 0.0 if math.isnan(value) else value


# tags -----------------------------------------------------------------------------------------------------------------


def tag_lists(predictions: Sequence[Any], examples: Sequence[Example]) -> tuple[list[list[str]], list[list[str]]]:
    """(predicted, right) tags of each text; ValueError where their numbers differ, or an example has none."""
    check(predictions, examples)
    for found, example in zip(predictions, examples):
        if example.text and not example.tags:
            raise ValueError(f"{example.id} has no tags: these data can be predicted, but not scored")
        if len(found) != len(example.tags):
            raise ValueError(f"{example.id} has {len(example.tags)} characters, but {len(found)} predicted tags")
    return [list(found) for found in predictions], [list(example.tags) for example in examples]


def seqeval_f1(predicted: list[list[str]], right: list[list[str]], average: str) -> float:
    """seqeval's F1 of entities in strict mode with IOB2: an entity counts where type and both ends are right."""
    metrics, scheme = library("seqeval.metrics"), library("seqeval.scheme")
    if not any(tag != "O" for tags in (*predicted, *right) for tag in tags):
        return 0.0  # no entity anywhere, which seqeval cannot average
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")  # a type without predictions has F1 0
        return float(metrics.f1_score(right, predicted, average=average, mode="strict", scheme=scheme.IOB2))


def entity_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """F1 over all entities (CoNLL's): strict, IOB2, by seqeval; types count by how often they occur."""
    return {"entity_f1": seqeval_f1(*tag_lists(predictions, examples), "micro")}


def entity_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Mean of the entity F1 of each type that occurs, predicted or right: strict, IOB2, by seqeval."""
    return {"entity_macro_f1": seqeval_f1(*tag_lists(predictions, examples), "macro")}


# answers --------------------------------------------------------------------------------------------------------------

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise_answer(text: str) -> str:
    """As SQuAD compares answers: lower case, without ASCII punctuation and English articles, white space squeezed."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """SQuAD's exact match (Rajpurkar et al. 2016, 2018): the best over the answers; no answer is the empty one."""
    check(predictions, examples)
    found = [
        max(float(normalise_answer(prediction) == answer) for answer in _answers(example))
        for prediction, example in zip(predictions, examples)
    ]
    return {"exact_match": statistics.fmean(found)}


def answer_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """SQuAD's F1 of words (Rajpurkar et al. 2016, 2018): the best over the answers; no answer is right or wrong."""
    check(predictions, examples)
    found = [
        max(_word_f1(normalise_answer(prediction).split(), answer.split()) for answer in _answers(example))
        for prediction, example in zip(predictions, examples)
    ]
    return {"answer_f1": statistics.fmean(found)}


def _answers(example: Example) -> list[str]:
    """The normalised answers; those that normalisation empties ("the") count only where there is no other."""
    return [text for _, answer in example.answers if (text := normalise_answer(answer))] or [""]


def _word_f1(predicted: list[str], right: list[str]) -> float:
    if not predicted or not right:
        return float(predicted == right)
    shared = (Counter(predicted) & Counter(right)).total()
    return 2 * shared / (len(predicted) + len(right))


# several seeds --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spread:
    """A value over seeds. `deviation`: the sample standard deviation (divisor n - 1), None for one seed."""

    count: int
    mean: float
    deviation: float | None
    median: float
    lowest: float
    highest: float


def mean_and_spread(values: Sequence[float]) -> Spread:
    """Mean, spread and median over seeds (GLUE is reported as the median of 5); ValueError for none or one not finite."""
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values must be finite numbers, at least one, but are {list(values)}")
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(len(values), statistics.fmean(values), deviation, statistics.median(values), min(values), max(values))
