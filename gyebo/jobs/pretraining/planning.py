"""What the budgets of runs pay for: precision and steps, measured where that is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from gyebo.config.run import RunOptions
from gyebo.jobs.pretraining import budget
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.by_budget import decided
from gyebo.jobs.pretraining.recipe import choices, with_recipe
from gyebo.jobs.pretraining.setup import Setup
from gyebo.jobs.results import DryRun, RunPlan
from gyebo.training.device import peak_memory, reset_peak_memory
from gyebo.training.trainer import Trainer

MEASURE_SECONDS = 2.5  # of each precision; a budget in steps needs less, only to choose one
MEASURED_SHARE = 0.05  # of a budget in minutes, within these seconds, is measured before it
SHORTEST_MEASURE, LONGEST_MEASURE = 6.0, 60.0


def plan_runs(setups: Sequence[Setup], precision: str | None = None) -> list[RunPlan]:
    """Precision and steps of runs, with what they were computed from. What must be measured is timed in turn, all together.

    precision: as it was chosen before.
    """
    minutes = max((setup.options.budget.minutes or 0.0 for setup in setups), default=0.0)
    patience = MEASURE_SECONDS if minutes else MEASURE_SECONDS / 5
    chosen = [
        budget.choose_precision(partial(_trainer, setup), setup.device, precision or setup.options.train.precision, patience)
        for setup in setups
    ]
    timed: list[float | None] = [None] * len(setups)
    if minutes:
        longer = min(LONGEST_MEASURE, max(SHORTEST_MEASURE, 60 * minutes * MEASURED_SHARE))
        makers = [partial(_trainer, setup, found) for setup, found in zip(setups, chosen)]
        timed = [*budget.seconds_per_step(makers, longer)]
    return [_plan_of(setup, found, seconds) for setup, found, seconds in zip(setups, chosen, timed)]


def plan_run(setup: Setup, precision: str | None = None) -> RunPlan:
    """`plan_runs` for one."""
    return plan_runs([setup], precision)[0]


def _trainer(setup: Setup, precision: str) -> Trainer:
    """What is timed."""
    return setup.trainer(precision, 1000, compile=setup.options.train.compile)


def _plan_of(setup: Setup, precision: str, seconds: float | None) -> RunPlan:
    options = setup.options
    model = setup.outline()
    flops = setup.flops_per_step(model)
    steps = budget.steps_for(
        options.budget,
        tokens_per_step=setup.tokens_per_step,
        flops_per_step=flops,
        steps_per_epoch=len(setup.rows.plan) / setup.batch_rows,
        step_seconds=seconds,
        parameters=model.count_parameters(),
        held_out_tokens=setup.valid.plan.positions,
        evaluate_tokens=options.train.evaluate_tokens,
    )
    return RunPlan(
        steps=steps,
        precision=precision,
        tokens_per_step=setup.tokens_per_step,
        flops_per_step=flops,
        seconds_per_step=seconds,
        epochs=steps * setup.batch_rows / len(setup.rows.plan),
        parameters=model.count_parameters(),
        parameters_without_embeddings=model.count_parameters(embeddings=False),
        device=setup.device.type,
        evaluate_context=setup.valid.plan.context,
    )


def plan_steps(options: Sequence[RunOptions], out: Path, console: Console | None = None) -> list[RunPlan]:
    """`plan_runs` for options alone: turns budgets into steps and chooses the precisions, measuring where needed."""
    setups = [set_up(one, out, console) for one in options]
    if console and any(setup.options.budget.minutes for setup in setups):
        console.print("measuring the speed of this machine, all in turn", highlight=False)
    return plan_runs(setups)


def measured_plans(options: Sequence[RunOptions], out: Path, console: Console | None = None) -> list[RunPlan]:
    """As `plan_steps`, with the seconds of a step of each, timed in turn, whatever the budgets are."""
    setups = [set_up(one, out, console) for one in options]
    if console:
        console.print("measuring the speed of this machine, all in turn", highlight=False)
    plans = plan_runs(setups)
    makers = [partial(_trainer, setup, plan.precision) for setup, plan in zip(setups, plans)]
    seconds = budget.seconds_per_step(makers, MEASURE_SECONDS)
    return [dataclasses.replace(plan, seconds_per_step=took) for plan, took in zip(plans, seconds)]


def dry_run(options: RunOptions, out: Path, console: Console) -> DryRun:
    """What a run would be: parameters, tokens, epochs, memory and time, measured on a few steps; nothing is trained."""
    options = decided(with_recipe(options), out, console)
    setup = set_up(options, out, console)
    plan = plan_run(setup)
    reset_peak_memory(setup.device)
    [seconds] = budget.seconds_per_step([partial(_trainer, setup, plan.precision)], MEASURE_SECONDS)
    found = DryRun(**plan.as_dict() | {"seconds_per_step": seconds, "memory_bytes": peak_memory(setup.device)})
    why: dict[str, list[str]] = {}
    for choice in choices(options.recipe, setup.family):
        why.setdefault(choice.reason, []).append(f"{choice.option}={choice.value}")
    recipe = [options.recipe, *(f"{', '.join(chosen)} ({reason})" for reason, chosen in why.items())]
    lines = [f"optimiser       {setup.described_optimizer()}", f"recipe          {': '.join(recipe)}"]
    for line in [*budget.describe(found, seconds), *lines]:
        console.print(line, highlight=False)
    return found
