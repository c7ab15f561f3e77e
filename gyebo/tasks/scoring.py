"""All metrics by name, a task's figures from predictions, and the score of GLUE."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gyebo.tasks import klue_metrics as klue
from gyebo.tasks import metrics as general
from gyebo.tasks.metrics import Labels, Values
from gyebo.tasks.task import Example, Task

METRICS: dict[str, Callable[[Sequence[Any], Sequence[Example], Labels], Values]] = {
    metric.__name__: metric
    for metric in (
        general.accuracy,
        general.macro_f1,
        general.micro_f1,
        general.positive_f1,
        general.matthews,
        general.pearson,
        general.spearman,
        general.entity_f1,
        general.entity_macro_f1,
        general.exact_match,
        general.answer_f1,
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
