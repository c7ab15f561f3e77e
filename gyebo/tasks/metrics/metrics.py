"""Metrics that many tasks share, all metrics by name, a task's figures, GLUE's score, and the spread over seeds.

A metric is a function (predictions, examples) -> {name: value}, a fraction of 1. What a prediction is: see `gyebo.tasks.task`.
Every metric takes `labels`, the task's class names in order, and uses them where its definition needs them. Built on
scikit-learn, scipy, seqeval and sacrebleu (extra `metrics`).
"""

from __future__ import annotations

import math
import re
import statistics
import string
import warnings as python_warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gyebo.tasks.metrics import bleu, klue
from gyebo.tasks.metrics.inputs import Labels, Values, check, classes, library, scores, seqeval_f1, tag_lists
from gyebo.tasks.task import Example, Task

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


# by name ---------------------------------------------------------------------------------------------------------------

METRICS: dict[str, Callable[[Sequence[Any], Sequence[Example], Labels], Values]] = {
    metric.__name__: metric
    for metric in (
        accuracy,
        macro_f1,
        micro_f1,
        positive_f1,
        matthews,
        pearson,
        spearman,
        entity_f1,
        entity_macro_f1,
        exact_match,
        answer_f1,
        klue.similar_f1,
        klue.klue_entity_macro_f1,
        klue.klue_character_macro_f1,
        klue.relation_micro_f1,
        klue.relation_auprc,
        klue.uas_macro_f1,
        klue.las_macro_f1,
        klue.klue_exact_match,
        klue.klue_rouge_w,
        klue.joint_goal_accuracy,
        klue.slot_f1,
        *bleu.METRICS,
    )
}


def measure(task: Task, predictions: Sequence[Any], examples: Sequence[Example]) -> Values:
    """The task's metrics, as fractions of 1, in its order; `task.score` names the one that ranks.

    Raises ValueError where the numbers of predictions and examples differ, examples have no labels, or the extra `metrics`
    is missing.
    """
    values: Values = {}
    for name in task.metrics:
        values |= METRICS[name](predictions, examples, task.labels)
    return values


# What counts in GLUE's score: one figure for each task, or several that are averaged first.
GLUE: dict[str, tuple[str, ...]] = {
    "glue-cola": ("matthews",),
    "glue-sst2": ("accuracy",),
    "glue-mrpc": ("positive_f1", "accuracy"),
    "glue-stsb": ("pearson", "spearman"),
    "glue-qqp": ("positive_f1", "accuracy"),
    "glue-mnli": ("accuracy", "accuracy_mismatched"),
    "glue-qnli": ("accuracy",),
    "glue-rte": ("accuracy",),
    "glue-wnli": ("accuracy",),
}


def glue_score(results: Mapping[str, Mapping[str, float]], *, without: Sequence[str] = ()) -> float:
    """GLUE's score: the mean over its nine tasks, a task's two figures averaged first (Wang et al. 2019), as a fraction.

    `results`: task -> its metrics; glue-mnli has `accuracy` (matched) and `accuracy_mismatched`. `without`: tasks that are
    left out and have to be named beside the score, as ("glue-wnli",) in BERT's paper. Raises ValueError for anything missing
    or unknown.
    """
    if unknown := [name for name in without if name not in GLUE]:
        raise ValueError(f"{', '.join(unknown)} is no task of GLUE; there is: {', '.join(GLUE)}")
    means = []
    for task, names in GLUE.items():
        if task in without:
            continue
        if missing := [name for name in names if name not in results.get(task, {})]:
            raise ValueError(f"GLUE's score needs {' and '.join(missing)} of {task}; leave the task out by name, or add it")
        means.append(statistics.fmean(results[task][name] for name in names))
    if not means:
        raise ValueError("GLUE's score needs at least one task")
    return statistics.fmean(means)


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
