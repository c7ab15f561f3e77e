"""The lines of a comparison's table: heading, meaning in plain words, and the cell of every column."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from gyebo.compare.results import BASELINE_TITLE, FAILED, Comparison, Row
from gyebo.compare.spending import UNITS, budgeted, spent
from gyebo.compare.statistics import Summary
from gyebo.jobs.results import FinetuneResult, PretrainResult
from gyebo.objectives.facts import Line, ObjectiveFacts
from gyebo.tasks.metrics.metrics import meaning_of


@dataclass(frozen=True)
class Measure:
    """A line of the table: its heading, what it means in plain words, the cell of a row, and that of the linear baseline.

    `first`: shown at once in the report; the others unfold. `verdict`: its cells are verdicts.
    """

    heading: str
    explanation: str
    cell: Callable[[Row], str]
    first: bool = False
    baseline: str = "-"
    verdict: bool = False


def columns(comparison: Comparison) -> list[str]:
    """The names of the table's columns: the candidates, and the linear baseline where a task has one."""
    with_baseline = any(task.linear for task in comparison.tasks.values())
    return [row.name for row in comparison.rows] + ([BASELINE_TITLE] if with_baseline else [])


def cells(comparison: Comparison) -> list[tuple[Measure, list[str]]]:
    """Each line with the cells of all columns."""
    beside = len(columns(comparison)) > len(comparison.rows)
    return [
        (measure, [measure.cell(row) for row in comparison.rows] + ([measure.baseline] if beside else []))
        for measure in measures(comparison)
    ]


def measures(comparison: Comparison) -> list[Measure]:
    """The lines that a comparison has a use for, the metric that ranks first."""
    lines = [line for task in comparison.tasks for line in _task_lines(comparison, task)]
    found = {row.candidate.objective_facts.metric: row.candidate.objective_facts for row in comparison.rows}
    for facts in sorted(found.values(), key=lambda facts: not facts.likelihood):
        lines += _text_lines(comparison, facts, ranks=comparison.ranked_by == facts.unit)
    return lines + _budget_lines(comparison) + _cost_lines(comparison)


# ---- cells


def short(value: float | None, unit: str = "") -> str:
    """A number with three digits and a letter: 1234567 -> "1.23 M"."""
    if value is None:
        return "-"
    letters = ("", " k", " M", " G", " T", " P", " E", " Z", " Y")
    index, value = 0, float(f"{value:.3g}")  # rounded first: 999.7 is 1.00 k, and 99.97 is 100
    while index < len(letters) - 1 and abs(value) >= 1000:
        value, index = float(f"{value / 1000:.3g}"), index + 1
    whole = index == 0 and value == int(value)
    digits = 0 if whole or value == 0 else max(0, 2 - max(0, math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}{letters[index] or (' ' if unit else '')}{unit}"


def digits(value: float | None) -> str:
    """A score with four digits."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def words(metric: str) -> str:
    """The name of a metric in a sentence: macro_f1 -> "macro F1"."""
    return " ".join("F1" if part == "f1" else part for part in metric.split("_"))


def with_deviation(summary: Summary | None) -> str:
    """Mean ± standard deviation."""
    if summary is None:
        return "-"
    if summary.deviation is None:
        return f"{digits(summary.mean)} (one seed)"
    return f"{digits(summary.mean)} ± {digits(summary.deviation)}"


def _score(metric: str) -> Callable[[Row], str]:
    return lambda row: with_deviation(row.summary_by(metric))


def _verdict(metric: str) -> Callable[[Row], str]:
    return lambda row: row.verdicts.get(metric, "-")


def _interval(metric: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        bounds = row.interval_by(metric)
        return "-" if bounds is None else f"{digits(bounds[0])} to {digits(bounds[1])}"

    return cell


def _seeds(metric: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        done = [f"{seed}: {digits(score)}" for seed, score in row.scores_by(metric).items()]
        failed = [f"{where.rpartition('seed ')[2]}: failed" for where in row.failures_by(metric)]
        return ", ".join(done + failed) or "-"

    return cell


def _each(show: Callable[[PretrainResult], str]) -> Callable[[Row], str]:
    """The distinct values over seeds of the pretraining, usually one."""
    return lambda row: _distinct(show(result) for result in row.results.values())


def _task_each(task: str, show: Callable[[FinetuneResult], str]) -> Callable[[Row], str]:
    """The same of the fine-tunings on a task."""
    return lambda row: _distinct(show(result) for result in row.tasks.get(task, {}).values())


def _distinct(shown: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(shown)) or "-"


def _mean(figure: Callable[[PretrainResult], float | None], form: Callable[[float], str]) -> Callable[[Row], str]:
    """The mean over seeds of the pretraining."""
    return lambda row: "-" if (value := row.mean(figure)) is None else form(value)


def _task_mean(
    task: str, figure: Callable[[FinetuneResult], float | None], form: Callable[[float], str]
) -> Callable[[Row], str]:
    """The same of the fine-tunings on a task."""
    return lambda row: "-" if (value := row.task_mean(task, figure)) is None else form(value)


def _test_score(name: str, result: FinetuneResult) -> float | None:
    return result.test.get(name)


def _bytes(count: float) -> str:
    return short(count, "B")


def _minutes(seconds: float) -> str:
    return short(seconds / 60)


def _sweep(row: Row) -> str:
    if row.sweep is None:
        return "none"
    cost = row.sweep
    spent = f"{len(cost.trials)} trials: {short(cost.tokens)} tokens, {short(cost.flops, 'FLOP')}, {cost.seconds / 60:.1f} min"
    return spent + ("; the best learning rate is at the edge of the sweep" if cost.edge else "")


# ---- lines

INTERVAL = "Confidence interval of the mean. Few seeds make it wide."
EACH_SEED = "The score of each random seed."


def _verdict_meaning(comparison: Comparison, metric: str) -> str:
    known = comparison.includes_examples(metric)
    examples = "test examples" if metric in comparison.tasks else "documents of the held-out text"
    beside = f" and between {examples}" if known else f" explains (chance between {examples} is left out)"
    return f"Whether the difference to the best model is larger than chance between seeds{beside}{' explains' * known}."


def _task_lines(comparison: Comparison, task: str) -> list[Measure]:
    known = comparison.tasks[task]
    baseline, score = known.linear, known.score
    measured = {name: digits(value.mean) for name, value in baseline.test.items()} if baseline else {}
    counts = known.examples
    explanation = (
        f"{'The score; h' if task == comparison.ranked_by else 'H'}igher is better. {meaning_of(score, 'At most 1.')} On"
        f" {counts.test:,} test examples, after fine-tuning on {counts.train:,} training examples. Mean over the seeds ±"
        " standard deviation."
    )
    if comparison.recipe.tuning_seeds:
        explanation += (
            " Each model was pretrained once: the deviation is that of fine-tuning alone, and the verdict is of these"
            " checkpoints."
        )
    lines = [
        Measure(f"{task}: {words(score)}", explanation, _score(task), first=True, baseline=measured.get(score, "-")),
        Measure(f"{task}: verdict", _verdict_meaning(comparison, task), _verdict(task), first=True, verdict=True),
    ]
    if baseline:
        lines.append(
            Measure(
                f"{task}: against the linear baseline",
                "Whether the model beats a linear classifier of character n-grams, and by how much.",
                lambda row: beats(comparison, row, task),
                first=True,
            )
        )
    if seen := known.seen:
        shown = f"{seen.total:,} of {counts.test:,}" + (", left out" if seen.left_out and seen.total else "")
        heading, meaning = f"{task}: test examples in the pretraining text", f"Models may remember these: {seen.ways}."
        lines.append(Measure(heading, meaning, lambda row: shown, first=seen.total > 0))
    lines += [
        Measure(f"{task}: 95 % interval of the mean", INTERVAL, _interval(task)),
        Measure(f"{task}: each seed", EACH_SEED, _seeds(task)),
    ]
    results = [result for row in comparison.rows for result in row.tasks.get(task, {}).values()]
    for name in dict.fromkeys(name for result in results for name in result.test if name != score):
        meaning, cell = (
            meaning_of(name, "Another metric of the same predictions."),
            _task_mean(task, partial(_test_score, name), digits),
        )
        lines.append(Measure(f"{task}: {words(name)}", meaning, cell, baseline=measured.get(name, "-")))
    spent = _minutes(baseline.seconds) if baseline else "-"
    return [
        *lines,
        Measure(
            f"{task}: minutes of fine-tuning",
            "Wall time of one fine-tuning, in addition to the pretraining.",
            _task_mean(task, lambda run: run.seconds, _minutes),
            first=True,
            baseline=spent,
        ),
        Measure(
            f"{task}: learning rate",
            "Peak learning rate of fine-tuning.",
            _task_each(task, lambda run: f"{run.lr:.3g}"),
        ),
        Measure(
            f"{task}: steps",
            "Number of optimiser steps of fine-tuning.",
            _task_each(task, lambda run: f"{run.steps:,}"),
        ),
    ]


def beats(comparison: Comparison, row: Row, task: str) -> str:
    """ "above", "below" or "no difference shown", with the mean difference; "-" where there is nothing to compare."""
    gap = comparison.against_baseline(row, task)
    if gap is None:
        return "-"
    if row.failures_by(task):
        return FAILED
    return f"{('above' if gap.mean > 0 else 'below') if gap.shown else 'no difference shown'} ({gap.mean:+.4f})"


def _text_lines(comparison: Comparison, facts: ObjectiveFacts, ranks: bool) -> list[Measure]:
    """The held-out metrics of candidates with this objective: the metric with its verdict where it ranks or is a likelihood;
    then further ones."""
    own = [_line(line) for line in facts.lines]
    if not (ranks or facts.likelihood):
        return own + [_line(line) for line in facts.lines_beside]
    name = f"{facts.unit[0].upper()}{facts.unit[1:]}"
    better = f"{'lower' if facts.lower_is_better else 'higher'} is better."
    opening = f"The score; {better}" if ranks else better.capitalize()
    meaning = f"{opening} {facts.meaning} Mean over the seeds ± standard deviation."
    if not ranks:
        meaning += " Bidirectional models have no such metric."

    def named(heading: str) -> str:
        return heading if ranks else f"{name}: {heading[0].lower()}{heading[1:]}"

    return [
        Measure(f"{name}, held out", meaning, _score(facts.unit), first=True),
        Measure(named("Verdict"), _verdict_meaning(comparison, facts.unit), _verdict(facts.unit), first=ranks, verdict=True),
        Measure(named("95 % interval of the mean"), INTERVAL, _interval(facts.unit)),
        Measure(named("Each seed"), EACH_SEED, _text_seeds(facts)),
        *own,
    ]


def _line(line: Line) -> Measure:
    return Measure(line.heading, line.meaning, _mean(lambda run: run.valid.get(line.metric), line.form.format))


def _text_seeds(facts: ObjectiveFacts) -> Callable[[Row], str]:
    """Each seed, of the rows that have the metric."""
    return lambda row: _seeds(facts.unit)(row) if row.candidate.objective_facts.metric == facts.metric else "-"


def _budget_lines(comparison: Comparison) -> list[Measure]:
    """The score of the branches that cooled down early, and what they cost."""
    lines = []
    for share in sorted(comparison.recipe.cooldowns):
        for metric in comparison.metrics_by_budget:

            def cell(row: Row, metric: str = metric, share: float = share) -> str:
                return with_deviation(row.cooldowns[share].summary_by(metric)) if share in row.cooldowns else "-"

            name = comparison.tasks[metric].score if metric in comparison.tasks else ""
            shown = f"{metric}: {words(name)}" if name else f"{metric[0].upper()}{metric[1:]}, held out"
            meaning = f"The score of a run of {share:.0%} of the steps, cooled down at its end."
            lines.append(Measure(f"{shown}, at {share:.0%} of the steps", meaning, cell))
    if lines:
        meaning = "What the branches that cooled down early cost for each seed, beside the budget."
        lines.append(Measure("Cool-down branches", meaning, partial(_branches, comparison)))
    return lines


def _branches(comparison: Comparison, row: Row) -> str:
    plan = comparison.plan.get(row.name)
    if plan is None or not plan.branches:
        return "-"
    steps = plan.branch_steps
    return f"{len(plan.branches)}: {short(steps * plan.tokens_per_step)} tokens, {short(steps * plan.flops_per_step, 'FLOP')}"


def _cost_lines(comparison: Comparison) -> list[Measure]:
    found = [task.linear.parameters for task in comparison.tasks.values() if task.linear]
    return [
        Measure(
            "Parameters",
            "Number of trainable parameters.",
            _mean(lambda run: run.parameters, short),
            first=True,
            baseline=", ".join(dict.fromkeys(map(short, found))) or "-",
        ),
        _spending_line(comparison),
        *COST_LINES,
    ]


def _spending_line(comparison: Comparison) -> Measure:
    kind, given = budgeted(comparison)

    def cell(row: Row) -> str:
        used = spent(comparison, row)
        return "-" if used is None else f"{short(given)} / {short(used)} ({used / given - 1:+.0%})"

    meaning = f"The budget of a pretraining in {UNITS[kind]}, and what one cost"
    counted = comparison.recipe.sweep is not None and comparison.recipe.sweep.counted
    return Measure(
        f"Budgeted / spent {UNITS[kind]}", f"{meaning}, its search included." if counted else f"{meaning}.", cell, True
    )


COST_LINES = [
    Measure(
        "... without embeddings",
        "The same without token and position embeddings.",
        _mean(lambda run: run.parameters_without_embeddings, short),
    ),
    Measure("Learning rate", "Peak learning rate.", _each(lambda run: f"{run.lr:.3g}")),
    Measure("Steps", "Number of optimiser steps.", _each(lambda run: f"{run.steps:,}")),
    Measure("Context of held-out text", "Tokens that a model sees at once.", _each(lambda run: short(run.evaluate_context))),
    Measure(
        "Tokens seen",
        "Training tokens, repeated epochs included.",
        _mean(lambda run: run.tokens, short),
        first=True,
    ),
    Measure("Bytes seen", "The text of these tokens, in bytes.", _mean(lambda run: run.bytes, _bytes)),
    Measure("Epochs", "Passes over the training text.", _mean(lambda run: run.epochs, "{:.2f}".format)),
    Measure(
        "Training FLOPs",
        "Floating-point operations of one training run (T: 10¹², P: 10¹⁵).",
        _mean(lambda run: run.flops, lambda value: short(value, "FLOP")),
        first=True,
    ),
    Measure(
        "Minutes",
        "Wall time of one pretraining.",
        _mean(lambda run: run.seconds, _minutes),
        first=True,
    ),
    Measure("Tokens per second", "Training throughput on this machine.", _mean(lambda run: run.tokens_per_second, short)),
    Measure("Memory", "Peak memory of training.", _mean(lambda run: run.memory_bytes, _bytes), first=True),
    Measure("Precision", "Number format of the matrix products.", _each(lambda run: run.precision)),
    Measure(
        "Learning-rate sweep",
        "Cost of the trials that chose this candidate's learning rate.",
        _sweep,
    ),
]
