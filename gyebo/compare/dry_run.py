"""What a comparison would be: parameters, tokens and minutes of each candidate, before anything is trained or written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gyebo.compare.recipe import Recipe, load_with_lines
from gyebo.compare.run import decide, real_jobs
from gyebo.compare.session import Jobs, Session
from gyebo.compare.table_rows import short
from gyebo.compare.tasks import TEST_TEXTS, keep_test_texts, read_tasks
from gyebo.config import toml
from gyebo.config.run import RunOptions
from gyebo.jobs.results import ExampleCounts, Number, RunPlan, Stored

Measure = Callable[[Sequence[RunOptions], Path, Console | None], list[RunPlan]]


@dataclass(frozen=True, kw_only=True)
class PlannedCandidate(Stored):
    """One run of a candidate: its parameters, and what its budget pays for on this machine; minutes: of its steps alone."""

    name: str
    family: str
    size: str
    parameters: int
    parameters_without_embeddings: int
    steps: int
    tokens: Number
    epochs: float
    minutes: float
    precision: str


@dataclass(frozen=True, kw_only=True)
class ComparisonPlan(Stored):
    """A comparison that is not begun. runs: pretrainings of a candidate, one for each seed; minutes: of all pretrainings and
    searches together, without evaluations and fine-tunings; tasks: the examples of each."""

    candidates: list[PlannedCandidate]
    runs: int
    minutes: float
    tasks: dict[str, ExampleCounts]


def dry_run(recipe: Recipe, console: Console, *, jobs: Jobs | None = None, measure: Measure | None = None) -> ComparisonPlan:
    """Read the tasks, prepare the text, and time a few steps of each candidate. Raises what a comparison raises before it
    trains. `jobs` and `measure` take the place of the functions of `gyebo.jobs` in tests."""
    recipe.check_search()
    with tempfile.TemporaryDirectory() as folder:  # a tokenizer may be trained on the way
        out = Path(folder)
        session = Session(recipe=recipe.leaving_out(out / TEST_TEXTS), out=out, console=console, jobs=jobs or real_jobs())
        read_tasks(session)
        keep_test_texts(session)
        decide(session)
        recipe = session.recipe
        session.jobs.prepare(recipe.options(recipe.candidates[0], recipe.seeds[0], recipe.tokenizer.path), out, console)
        asked = [
            recipe.options(candidate, recipe.seeds[0], session.tokenizer, evaluate_context=recipe.evaluate_context)
            for candidate in recipe.candidates
        ]
        plans = (measure or _measured)(asked, out, console)
    found = [
        PlannedCandidate(
            name=candidate.name,
            family=candidate.family,
            size=candidate.size,
            parameters=plan.parameters,
            parameters_without_embeddings=plan.parameters_without_embeddings,
            steps=plan.steps,
            tokens=plan.steps * plan.tokens_per_step,
            epochs=plan.epochs,
            minutes=plan.steps * (plan.seconds_per_step or 0.0) / 60,
            precision=plan.precision,
        )
        for candidate, plan in zip(recipe.candidates, plans, strict=True)
    ]
    sweep = recipe.sweep
    beside = sweep.trial_share * len(sweep.lr) if sweep and not sweep.counted else 0.0
    minutes = sum(one.minutes for one in found) * (len(recipe.seeds) + beside)
    tasks = {name: task.examples for name, task in session.state.tasks.items()}
    return ComparisonPlan(candidates=found, runs=len(recipe.seeds), minutes=minutes, tasks=tasks)


def plan_files(
    recipe: Path | Mapping[str, Any],
    *,
    corpus: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    settings: toml.Settings = (),
    console: Console | None = None,
) -> ComparisonPlan:
    """As `gyebo.compare.run.compare_files`, but only plan, and print the plan."""
    console = console or Console()
    asked, source = load_with_lines(recipe, corpus=corpus or (), tasks=tasks or (), settings=settings)
    with source.named():
        asked.check_search()
    plan = dry_run(asked, console)
    show(plan, console)
    return plan


def _measured(options: Sequence[RunOptions], out: Path, console: Console | None) -> list[RunPlan]:
    from gyebo.jobs.pretraining.planning import measured_plans

    return measured_plans(options, out, console)


def show(plan: ComparisonPlan, console: Console) -> None:
    """Print the plan: a line for each candidate, and the time of all."""
    table = Table()
    for name in ("", "parameters", "steps", "tokens", "epochs", "minutes"):
        table.add_column(name, justify="right" if name else "left")
    for one in plan.candidates:
        figures = (f"{one.parameters:,}", f"{one.steps:,}", short(one.tokens), f"{one.epochs:.2f}", f"{one.minutes:,.1f}")
        table.add_row(one.name, *figures)
    console.print(table)
    tasks = f", and fine-tuning on {len(plan.tasks)} task{'s' * (len(plan.tasks) > 1)} beside it" if plan.tasks else ""
    console.print(
        f"{plan.runs} run{'s' * (plan.runs > 1)} of each: about {plan.minutes:,.0f} minutes of pretraining in all{tasks}",
        highlight=False,
    )
