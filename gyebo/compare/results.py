"""The results of a comparison as data: a row a candidate, measured and ranked by its metrics."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gyebo.compare.plan import CandidatePlan, KnownTask, Sweep
from gyebo.compare.recipe import Recipe
from gyebo.compare.sections import Candidate
from gyebo.compare.statistics import (
    Array,
    Difference,
    Sample,
    Summary,
    against_fixed,
    against_leader,
    includes_examples,
    summarise,
    verdicts,
)
from gyebo.jobs.results import CorpusFacts, FinetuneResult, PretrainResult
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.table import LIKELIHOOD, of_unit
from gyebo.tasks.metrics.metrics import lowest_of

BITS = LIKELIHOOD.unit  # what is measured by is a task, or a metric of held-out text by its words; no task can be called so
FAILED = "failed"
BASELINE_TITLE = "linear baseline"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One candidate: what each seed gave, or why it gave nothing.

    `results`: by seed, in the recipe's order. `tasks`: task -> seed -> result, a seed of the recipe's `tuning_seeds` where it
    has any. `failures`: "seed N", "TASK, seed N" or "sweep" -> reason. `ranked_by`: the metric of the table, a task or a metric
    of held-out text by its words. `resampled`: metric -> seed -> the score on resamples of the examples, or of the documents
    of the held-out text, where what each one contributes is known. `cooldowns`: share of a run's steps -> what the branches
    that cooled down there gave, with the recipe's first task alone.

    `verdicts`: metric -> "best", "no difference shown", "behind", "failed" (a run that it needs failed: not ranked, as its
    luckier seeds would flatter it), "nothing to compare with", or "-" where the metric can't measure the family.
    """

    candidate: Candidate
    results: dict[int, PretrainResult] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    sweep: Sweep | None = None
    tasks: dict[str, dict[int, FinetuneResult]] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)
    ranked_by: str = BITS
    resampled: dict[str, dict[int, Array]] = field(default_factory=dict)
    cooldowns: dict[float, Row] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.candidate.name

    @property
    def verdict(self) -> str:
        """That of the metric which ranks."""
        return self.verdicts.get(self.ranked_by, "")

    def scores_by(self, metric: str) -> dict[int, float]:
        """Finished seed -> figure of held-out text, or the score on the task's test examples; empty where there is none."""
        if facts := of_unit(metric):
            found = {seed: result.valid.get(facts.metric) for seed, result in self.results.items()}
            return {seed: value for seed, value in found.items() if value is not None}
        return {seed: result.test[result.score] for seed, result in self.tasks.get(metric, {}).items()}

    def sample_by(self, metric: str) -> Sample | None:
        """The scores with what is known of chance; None where no seed has a score."""
        scores, drawn = self.scores_by(metric), self.resampled.get(metric, {})
        if not scores:
            return None
        known = np.stack([drawn[seed] for seed in scores]) if set(scores) <= set(drawn) else None
        return Sample(values=list(scores.values()), resampled=known, block=_block(self.candidate))

    def summary_by(self, metric: str) -> Summary | None:
        """Mean and standard deviation over seeds; None where no seed has a score."""
        sample = self.sample_by(metric)
        return summarise(sample) if sample else None

    def interval_by(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of the mean, within what a task's score can be; None where it is unknown."""
        summary = self.summary_by(metric)
        if summary is None or summary.low is None or summary.high is None:
            return None
        if of_unit(metric):
            return summary.low, summary.high
        score = next(iter(self.tasks[metric].values())).score
        return max(summary.low, lowest_of(score)), min(summary.high, 1.0)

    def failures_by(self, metric: str) -> dict[str, str]:
        """The failures that keep the row out of a metric's ranking: of its pretraining, and of that task."""
        return {at: why for at, why in self.failures.items() if ", " not in at or at.startswith(f"{metric}, ")}

    @property
    def scores(self) -> list[float]:
        """By the metric that ranks, one a finished seed."""
        return list(self.scores_by(self.ranked_by).values())

    @property
    def summary(self) -> Summary | None:
        """Of the metric that ranks."""
        return self.summary_by(self.ranked_by)

    @property
    def best_seed(self) -> int | None:
        """The seed with the best metric of held-out text, or the best score on validation, never on the test examples."""
        if of_unit(self.ranked_by):
            found = self.scores_by(self.ranked_by)
        else:
            found = {seed: result.valid[result.score] for seed, result in self.tasks.get(self.ranked_by, {}).items()}
        best = max if higher_is_better(self.ranked_by) else min
        return best(found, key=found.__getitem__) if found else None

    @property
    def samples(self) -> list[str]:
        """What the model of the best seed shows of itself; of the first one where no task is finished, or where all
        fine-tunings started from it."""
        seed = self.best_seed if self.best_seed in self.results else next(iter(self.results), None)
        return [] if seed is None else self.results[seed].samples

    def mean(self, figure: Callable[[PretrainResult], float | None]) -> float | None:
        """Mean over seeds of a figure of the pretrainings; None where a seed lacks it."""
        return _mean([figure(result) for result in self.results.values()])

    def task_mean(self, task: str, figure: Callable[[FinetuneResult], float | None]) -> float | None:
        """Mean over seeds of a figure of the fine-tunings on a task; None where a seed lacks it."""
        return _mean([figure(result) for result in self.tasks.get(task, {}).values()])


def _block(candidate: Candidate) -> Hashable:
    """What candidates have in common whose runs with the same seed start from the same weights: the family and the shape."""
    return candidate.family, candidate.size, json.dumps(candidate.model, sort_keys=True)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    """The model that all models of a task taught (`gyebo/compare/handing_over.py`): the candidate that it began as, how many
    taught it, and its result; else why there is none. `alone`: the mean score of that candidate's own fine-tunings. `seconds`:
    what it took, beside the budget."""

    task: str
    candidate: str = ""
    teachers: int = 0
    alone: float | None = None
    result: FinetuneResult | None = None
    seconds: float = 0.0
    reason: str = ""

    @property
    def score(self) -> float | None:
        """Its score on the test examples."""
        return None if self.result is None else self.result.test[self.result.score]


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison:
    """A finished comparison, which shows its verdict and its table.

    `rows`: best mean first, failed ones last. `plan`: by candidate. `tasks`: by name. `baselines`: by task, the linear
    baseline's score on resamples of the test examples, where known. `handed_over`: what was trained beside the table.
    """

    recipe: Recipe
    out: Path
    rows: list[Row]
    prepared: CorpusFacts
    plan: dict[str, CandidatePlan]
    environment: dict[str, Any]
    tasks: dict[str, KnownTask] = field(default_factory=dict)
    baselines: dict[str, Array] = field(default_factory=dict)
    handed_over: list[HandedOver] = field(default_factory=list)

    def __repr__(self) -> str:
        from gyebo.compare.rendering import plain

        return plain(self)

    def _repr_html_(self) -> str:
        from gyebo.compare.rendering import html

        return html(self)

    @property
    def ok(self) -> bool:
        """Whether every run of every candidate finished, and every baseline."""
        baselines = [task.baseline_failed for task in self.tasks.values()]
        branches = [branch.failures for row in self.rows for branch in row.cooldowns.values()]
        failed = [*baselines, *branches, *(each.reason for each in self.handed_over)]
        return not any(row.failures for row in self.rows) and not any(failed)

    @property
    def ranked_by(self) -> str:
        """The metric that ranks: the first task, or that of the held-out text."""
        return next(iter(self.tasks), self.on_text)

    @property
    def on_text(self) -> str:
        """The metric of the held-out text, by its words."""
        return self.recipe.measured_by.unit

    @property
    def metrics_by_budget(self) -> list[str]:
        """The metrics of the branches: the one that ranks, and that of the held-out text."""
        return list(dict.fromkeys([self.ranked_by, self.on_text])) if self.recipe.cooldowns else []

    @property
    def floor(self) -> float | None:
        """The known entropy of the held-out text, bits per byte, if there is one and a model that it bounds."""
        return self.prepared.floor_bits_per_byte if any(row.candidate.likelihood for row in self.rows) else None

    @property
    def leader(self) -> Row | None:
        """The ranked row with the best mean; None where nothing finished."""
        return next((row for row in self.rows if row.verdict != FAILED), None)

    def run(self, row: Row, seed: int) -> Path:
        """The directory of the pretrained model that a seed began with: gyebo and transformers open it."""
        return run_directory(self.out, row.name, self.recipe.seeds[0] if self.recipe.tuning_seeds else seed)

    def task_run(self, row: Row, task: str, seed: int) -> Path:
        """The directory of a fine-tuned model."""
        return task_directory(self.out, row.name, task=task, seed=seed)

    def baseline(self, task: str) -> float | None:
        """The score of the linear baseline; None where there is none."""
        known = self.tasks[task]
        return known.linear.test[known.score].mean if known.linear else None

    def resolution(self, metric: str) -> float:
        """In which steps a metric counts: one example of a task."""
        return 0.0 if of_unit(metric) else 1 / self.tasks[metric].examples.test

    def samples(self, metric: str) -> dict[str, Sample]:
        """Those of the candidates that a metric ranks, by name."""
        return samples_by(self.rows, metric)

    def against_leader(self, metric: str) -> tuple[str, dict[str, Difference]]:
        """The leader by a metric, and every other candidate's difference to it, as the verdicts take it."""
        return against_leader(self.samples(metric), higher=higher_is_better(metric), resolution=self.resolution(metric))

    def includes_examples(self, metric: str) -> bool:
        """Whether the verdicts by a metric include chance between test examples, or documents of the held-out text."""
        return includes_examples(self.samples(metric))

    def against_baseline(self, row: Row, task: str) -> Difference | None:
        """A row's score minus the baseline's, with an interval for all rows of the table together; None without either."""
        fixed, sample, ranked = self.baseline(task), row.sample_by(task), self.samples(task)
        if fixed is None or sample is None:
            return None
        drawn = self.baselines.get(task)
        return against_fixed(
            ranked if row.name in ranked else {row.name: sample},
            row.name,
            Sample(values=[fixed], resampled=None if drawn is None else drawn[None]),
            comparisons=len(self.rows),
            resolution=self.resolution(task),
        )


def run_directory(out: Path, name: str, seed: int) -> Path:
    """Where a candidate's run with that seed lies."""
    return out / "runs" / name / f"seed-{seed}"


def task_directory(out: Path, name: str, *, task: str, seed: int) -> Path:
    """Where that run lies once it is fine-tuned on a task."""
    return out / "tasks" / name / task / f"seed-{seed}"


def higher_is_better(metric: str) -> bool:
    """Of every task, and where its objective says so of held-out text."""
    facts = of_unit(metric)
    return facts is None or not facts.lower_is_better


def rank(rows: Sequence[Row], tasks: Mapping[str, KnownTask] | None = None, on_text: ObjectiveFacts = LIKELIHOOD) -> list[Row]:
    """The rows with their verdicts by every metric, best mean by the first one first, those with a failure last.

    tasks: as in `Comparison`; the first one ranks, where there is none the metric of held-out text that `on_text` reports.
    """
    tasks = tasks or {}
    said = {name: _judge(rows, name, 1 / task.examples.test) for name, task in tasks.items()}
    said[on_text.unit] = _judge(rows, on_text.unit, 0.0)
    first = next(iter(said))
    judged = [replace(row, verdicts={name: found[row.name] for name, found in said.items()}, ranked_by=first) for row in rows]
    sign = -1 if higher_is_better(first) else 1
    return sorted(judged, key=lambda row: (row.verdict == FAILED, sign * row.summary.mean if row.summary else math.inf))


def samples_by(rows: Sequence[Row], metric: str) -> dict[str, Sample]:
    """Those of the rows that the metric measures and that no failure keeps from its ranking."""
    found = {row.name: row.sample_by(metric) for row in rows if not row.failures_by(metric)}
    return {name: sample for name, sample in found.items() if sample is not None}


def _judge(rows: Sequence[Row], metric: str, resolution: float) -> dict[str, str]:
    others = {row.name: FAILED if row.failures_by(metric) else "-" for row in rows}
    return others | verdicts(samples_by(rows, metric), higher=higher_is_better(metric), resolution=resolution)
