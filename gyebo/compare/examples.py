"""What the runs of a comparison stored of each test example, and of each document of the held-out text, for the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gyebo.compare.plan import KnownTask
from gyebo.compare.recipe import BASELINE, Recipe
from gyebo.compare.results import Row, run_directory, task_directory
from gyebo.compare.statistics import Array
from gyebo.tasks.metrics import bootstrap
from gyebo.tasks.metrics.metrics import METRICS

HELD_OUT = bootstrap.Parts(of_sums=bootstrap.ratio)  # the evaluation of a run makes the rows


def with_examples(
    rows: Sequence[Row], out: Path, *, recipe: Recipe, tasks: Mapping[str, KnownTask]
) -> tuple[list[Row], dict[str, Array]]:
    """The rows with their scores on resamples of the examples, and those of the linear baselines by task.

    Only where all runs stored what each example contributes, and on equally many: otherwise nothing of that metric.
    """
    parts = {task: METRICS[known.score].parts for task, known in tasks.items() if known.score in METRICS}
    metrics = {**parts, recipe.measured_by.unit: HELD_OUT}
    folders = {metric: _folders(rows, out, metric) for metric in metrics}
    baselines = {task: out / "tasks" / BASELINE / task for task, known in tasks.items() if known.linear}
    found: list[Row] = list(rows)
    linear = {}
    for metric, how in metrics.items():
        places = [*folders[metric].values(), *([baselines[metric]] if metric in baselines else [])]
        stored = {place: bootstrap.read(place) for place in places}
        kept = {place: table for place, table in stored.items() if table is not None}
        if how is None or len(kept) < len(stored) or len({len(table) for table in kept.values()}) != 1:
            continue
        drawn = {place: bootstrap.resample(how, table) for place, table in kept.items()}
        found = [_with(row, metric, folders[metric], drawn) for row in found]
        if metric in baselines:
            linear[metric] = drawn[baselines[metric]]
    return found, linear


def _folders(rows: Sequence[Row], out: Path, metric: str) -> dict[tuple[str, int], Path]:
    """(candidate, seed) -> where the run lies that the metric measures."""
    return {
        (row.name, seed): task_directory(out, row.name, task=metric, seed=seed)
        if metric in row.tasks
        else run_directory(out, row.name, seed)
        for row in rows
        for seed in row.scores_by(metric)
    }


def _with(row: Row, metric: str, folders: Mapping[tuple[str, int], Path], drawn: Mapping[Path, Array]) -> Row:
    own = {seed: drawn[place] for (name, seed), place in folders.items() if name == row.name}
    return replace(row, resampled={**row.resampled, metric: own}) if own else row
