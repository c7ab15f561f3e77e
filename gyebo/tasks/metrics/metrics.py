"""Metrics shared by many tasks, all metrics by name, the metrics of a task, GLUE's score, and statistics over seeds.

A metric is a function (predictions, examples) -> {name: value}, as a fraction of 1. `gyebo.tasks.task` defines predictions.
Every metric takes `labels`, the task's class names in order, and uses them if its definition needs them. Computed with
scikit-learn, scipy, seqeval, sacrebleu and rouge-score (extra `metrics`).
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
from pathlib import Path
from typing import Any

from gyebo.tasks.metrics import bleu, bootstrap, klue, multi_label, responses, rouge
from gyebo.tasks.metrics.bootstrap import Parts, mean_of, of_classes, of_entities
from gyebo.tasks.metrics.inputs import Labels, Values, check, classes, library, readable, scores, seqeval_f1, tag_lists
from gyebo.tasks.task import INVALID, Example, Task
from gyebo.text.normalize import nfc

# classes --------------------------------------------------------------------------------------------------------------


def accuracy(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Share of examples with the correct class (or option)."""
    predicted, right = classes(predictions, examples)
    return {"accuracy": sum(p == r for p, r in zip(predicted, right)) / len(right)}


def macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Mean of the F1 of each class that occurs in predictions or labels, as scikit-learn's default, and is one of `labels`."""
    predicted, right = classes(predictions, examples, labels)
    names = sorted({*predicted, *right} - {INVALID}, key=str)
    f1 = library("sklearn.metrics").f1_score(right, predicted, labels=names, average="macro", zero_division=0.0)
    return {"macro_f1": float(f1)}


def micro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """F1 over all decisions; with one class per example it equals accuracy."""
    predicted, right = classes(predictions, examples, labels)
    return {"micro_f1": float(library("sklearn.metrics").f1_score(right, predicted, average="micro", zero_division=0.0))}


def positive_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """F1 of the second of two `labels` (MRPC, QQP: paraphrases). ValueError unless there are two."""
    if labels is None or len(labels) != 2:
        raise ValueError(f"positive_f1 needs two labels, the second one positive, but got {labels}")
    predicted, right = classes(predictions, examples)
    f1 = library("sklearn.metrics").f1_score
    return {"positive_f1": float(f1([r == labels[1] for r in right], [p == labels[1] for p in predicted], zero_division=0.0))}


def matthews(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Matthews' correlation coefficient (CoLA); 0 if all predictions are the same class."""
    predicted, right = classes(predictions, examples, labels)
    return {"matthews": float(library("sklearn.metrics").matthews_corrcoef(right, predicted))}


def confusion(predictions: Sequence[Any], examples: Sequence[Example], labels: Sequence[str]) -> list[list[int]]:
    """Counts: a row for each true class, a column for each predicted one, both in the order of `labels`.

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
    """Pearson's correlation with the scores; 0 if either is constant."""
    return {"pearson": _correlation("pearsonr", *scores(predictions, examples))}


def spearman(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Spearman's rank correlation with the scores, where equal scores have their mean rank; 0 if either is constant."""
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
    """Micro F1 over all entities (CoNLL): strict, IOB2, by seqeval."""
    return {"entity_f1": seqeval_f1(*tag_lists(predictions, examples), "micro")}


def entity_macro_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Mean of the entity F1 of each type that occurs in predictions or labels: strict, IOB2, by seqeval."""
    return {"entity_macro_f1": seqeval_f1(*readable(predictions, examples), "macro")}


# answers --------------------------------------------------------------------------------------------------------------

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalise_answer(text: str) -> str:
    """Normalisation of answers in SQuAD: lower case, no ASCII punctuation, no English articles, single spaces; in NFC."""
    kept = "".join(c for c in nfc(text).lower() if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """SQuAD's exact match (Rajpurkar et al. 2016, 2018): the best over the answers; no answer is the empty string."""
    check(predictions, examples)
    found = [
        max(float(normalise_answer(prediction) == answer) for answer in _answers(example))
        for prediction, example in zip(predictions, examples)
    ]
    return {"exact_match": statistics.fmean(found)}


def answer_f1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """SQuAD's F1 of words (Rajpurkar et al. 2016, 2018): the best over the answers; an empty answer has F1 1 or 0."""
    check(predictions, examples)
    found = [
        max(_word_f1(normalise_answer(prediction).split(), answer.split()) for answer in _answers(example))
        for prediction, example in zip(predictions, examples)
    ]
    return {"answer_f1": statistics.fmean(found)}


def _answers(example: Example) -> list[str]:
    """The normalised answers without empty ones ("the" becomes empty), or [""] where no other is left."""
    return [text for _, answer in example.answers if (text := normalise_answer(answer))] or [""]


def _word_f1(predicted: list[str], right: list[str]) -> float:
    if not predicted or not right:
        return float(predicted == right)
    shared = (Counter(predicted) & Counter(right)).total()
    return 2 * shared / (len(predicted) + len(right))


# by name ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric, whose name is that of its `function`. `meaning`: in plain words, for reports ("": none). `lowest`: the worst
    value; the best is 1. `least`: the fewest examples for which it is defined. `parts`: how it follows from its examples;
    None of metrics that never rank."""

    function: Callable[[Sequence[Any], Sequence[Example], Labels], Values]
    meaning: str = ""
    lowest: float = 0.0
    least: int = 1
    parts: Parts | None = None


METRICS: dict[str, Metric] = {
    metric.function.__name__: metric
    for metric in (
        Metric(function=accuracy, meaning="Share of correct predictions.", parts=mean_of(accuracy)),
        Metric(
            function=macro_f1,
            meaning="Mean F1 of the classes, from 0 to 1: rare classes count as much as frequent ones.",
            parts=Parts(rows=of_classes(lambda labels: labels), of_sums=bootstrap.macro),
        ),
        Metric(
            function=micro_f1,
            meaning="F1 over all predictions together, from 0 to 1: each counts alike.",
            parts=mean_of(accuracy),
        ),
        Metric(
            function=positive_f1,
            meaning="F1 of the second class, from 0 to 1.",
            parts=Parts(rows=of_classes(lambda labels: (labels or ())[1:]), of_sums=bootstrap.micro),
        ),
        Metric(
            function=matthews,
            meaning="Correlation of predicted and true classes: 0 is chance, 1 is perfect.",
            lowest=-1.0,
            parts=Parts(rows=of_classes(), of_sums=bootstrap.matthews),
        ),
        Metric(
            function=multi_label.multi_label_macro_f1,
            meaning="Mean F1 of the classes, from 0 to 1: rare classes count as much as frequent ones.",
            parts=Parts(rows=multi_label.known_counts, of_sums=bootstrap.macro),
        ),
        Metric(
            function=multi_label.multi_label_micro_f1,
            meaning="F1 over the classes of all examples together, from 0 to 1.",
            parts=Parts(rows=multi_label.all_counts, of_sums=bootstrap.micro),
        ),
        Metric(
            function=multi_label.subset_accuracy,
            meaning="Share of examples with all the right classes and no other.",
            parts=mean_of(multi_label.subset_accuracy),
        ),
        Metric(
            function=pearson,
            meaning="Linear correlation of predictions and labels: 0 is none, 1 is perfect.",
            lowest=-1.0,
            least=2,
            parts=Parts(rows=bootstrap.moments, of_sums=bootstrap.correlation),
        ),
        Metric(
            function=spearman,
            meaning="Rank correlation of predictions and labels: 0 is none, 1 is perfect.",
            lowest=-1.0,
            least=2,
            parts=Parts(rows=bootstrap.numbers, of_rows=bootstrap.rank_correlation),
        ),
        Metric(
            function=entity_f1,
            meaning="F1 of entities, from 0 to 1; one counts only where both ends and the type are right.",
            parts=Parts(rows=of_entities(), of_sums=bootstrap.micro),
        ),
        Metric(function=entity_macro_f1, parts=Parts(rows=of_entities(readable), of_sums=bootstrap.macro)),
        Metric(function=exact_match, meaning="Share of answers that equal a reference exactly.", parts=mean_of(exact_match)),
        Metric(
            function=answer_f1, meaning="Overlap of the answers with the references, from 0 to 1.", parts=mean_of(answer_f1)
        ),
        Metric(function=klue.similar_f1, parts=Parts(rows=klue.similar_counts, of_sums=bootstrap.micro)),
        Metric(function=klue.klue_entity_macro_f1, parts=Parts(rows=of_entities(klue.without_spaces), of_sums=bootstrap.macro)),
        Metric(function=klue.klue_character_macro_f1),
        Metric(function=klue.relation_micro_f1, parts=Parts(rows=of_classes(klue.without_none), of_sums=bootstrap.micro)),
        Metric(function=klue.relation_auprc),
        Metric(function=klue.uas_macro_f1, parts=Parts(rows=klue.head_counts, of_sums=bootstrap.macro)),
        Metric(function=klue.las_macro_f1, parts=Parts(rows=klue.relation_counts, of_sums=bootstrap.macro)),
        Metric(function=klue.klue_exact_match, parts=mean_of(klue.klue_exact_match)),
        Metric(function=klue.klue_rouge_w, parts=mean_of(klue.klue_rouge_w)),
        Metric(function=klue.joint_goal_accuracy, parts=mean_of(klue.joint_goal_accuracy)),
        Metric(function=klue.slot_f1, parts=mean_of(klue.slot_f1)),
        Metric(function=bleu.bleu, parts=bleu.parts("bleu")),
        Metric(function=bleu.bleu_tokenized, parts=bleu.parts("bleu_tokenized")),
        Metric(function=bleu.chrf),
        Metric(
            function=rouge.rouge_1,
            meaning="Overlap of summaries and references in single tokens (words; in Korean syllables), from 0 to 1.",
            parts=mean_of(rouge.rouge_1),
        ),
        Metric(
            function=rouge.rouge_2,
            meaning="Overlap of summaries and references in pairs of tokens (words; in Korean syllables), from 0 to 1.",
            parts=mean_of(rouge.rouge_2),
        ),
        Metric(
            function=rouge.rouge_l,
            meaning=(
                "Overlap of summaries and references in their longest common sequence of tokens (words; in Korean syllables), "
                "from 0 to 1."
            ),
            parts=mean_of(rouge.rouge_l),
        ),
        Metric(
            function=responses.response_probability,
            meaning="Mean probability of a token of the right response, from 0 to 1: 1 / perplexity, so higher is better.",
            parts=responses.PROBABILITY,
        ),
        Metric(function=responses.response_perplexity, parts=responses.PERPLEXITY),
        Metric(function=responses.bits_per_character),
        Metric(function=responses.distinct_1),
        Metric(function=responses.distinct_2),
        Metric(function=responses.words_per_response),
        Metric(function=responses.repeated_turns),
    )
}


def meaning_of(name: str, otherwise: str) -> str:
    """What a metric means in plain words; `otherwise` where nothing is said of it, or an older result names it."""
    return METRICS[name].meaning or otherwise if name in METRICS else otherwise


def lowest_of(name: str) -> float:
    """The worst value of a metric; 0 where an older result names it."""
    return METRICS[name].lowest if name in METRICS else 0.0


def measure(task: Task, predictions: Sequence[Any], examples: Sequence[Example]) -> Values:
    """The metrics of a task, as fractions of 1, in its order; `task.score` names the one that ranks models.

    Raises ValueError where the numbers of predictions and examples differ, examples have no labels, or the extra `metrics`
    is missing.
    """
    values: Values = {}
    for name in task.metrics:
        values |= METRICS[name].function(predictions, examples, task.labels)
    return values


def signatures(names: Sequence[str], predictions: Sequence[Any], examples: Sequence[Example]) -> dict[str, str]:
    """How the library computed each of these metrics, of those that have a signature. Errors as in `measure`."""
    return bleu.signatures(names, predictions, examples) | rouge.signatures(names)


def by_length(
    name: str, predictions: Sequence[str], references: Sequence[str], step: int = 5, least: int = 10
) -> list[tuple[float, int, float]]:
    """A metric of texts of similar length: (mean words of a reference, texts, value), shortest first.

    Groups have references of up to `step`, `2 * step`, ... words; those with fewer than `least` texts are skipped.
    """
    groups: dict[int, list[int]] = {}
    for number, reference in enumerate(references):
        groups.setdefault(-(-len(reference.split()) // step), []).append(number)
    found = []
    for _, members in sorted(groups.items()):
        if len(members) >= least:
            examples = [Example(str(number), label=references[number]) for number in members]
            score = METRICS[name].function([predictions[number] for number in members], examples, None)[name]
            found.append((statistics.fmean(len(references[n].split()) for n in members), len(members), score))
    return found


def write_parts(folder: Path, task: Task, predictions: Sequence[Any], examples: Sequence[Example]) -> None:
    """Store what each example contributes to the task's score, from which comparisons learn how far chance between examples
    goes. Errors as in `measure`."""
    if (parts := METRICS[task.score].parts) and parts.rows:
        bootstrap.write(folder, parts.rows(predictions, examples, task.labels))


# The metrics in GLUE's score: one for each task, or several that are averaged first.
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
    """GLUE's score: the mean over its nine tasks, two metrics of a task averaged first (Wang et al. 2019), as a fraction.

    `results`: task -> its metrics; glue-mnli has `accuracy` (matched) and `accuracy_mismatched`. `without`: excluded tasks,
    which have to be reported with the score, e.g. ("glue-wnli",) in BERT's paper. Raises ValueError for missing or unknown
    tasks and metrics.
    """
    if unknown := [name for name in without if name not in GLUE]:
        raise ValueError(f"{', '.join(unknown)} is not a task of GLUE; available: {', '.join(GLUE)}")
    means = []
    for task, names in GLUE.items():
        if task in without:
            continue
        if missing := [name for name in names if name not in results.get(task, {})]:
            raise ValueError(f"GLUE's score needs {' and '.join(missing)} of {task}; add it, or exclude the task by name")
        means.append(statistics.fmean(results[task][name] for name in names))
    if not means:
        raise ValueError("GLUE's score needs at least one task")
    return statistics.fmean(means)


# several seeds --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedStatistics:
    """Statistics of a value over seeds. `deviation`: sample standard deviation (divisor n - 1), None for one seed."""

    count: int
    mean: float
    deviation: float | None
    median: float


def seed_statistics(values: Sequence[float]) -> SeedStatistics:
    """Mean, standard deviation and median over seeds (GLUE reports the median of 5); ValueError for no value, or one that is
    not finite."""
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"values must be finite numbers, at least one, but are {list(values)}")
    deviation = statistics.stdev(values) if len(values) > 1 else None
    mean, median = statistics.fmean(values), statistics.median(values)
    return SeedStatistics(len(values), mean, deviation, median)
