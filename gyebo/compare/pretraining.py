"""One pretraining of a comparison, and its branches; under a budget in minutes, the first one measures its speed once more.

The steps were fixed by a timing before the runs. Where the first tenth of the first run shows that it was more than a
twentieth off, the run starts again, once, with the steps that the budget pays for at the speed it really has; so do all other
seeds. The decision is in plan.json before anything follows from it, so that a kill at any instant leads to the same steps.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from gyebo.compare import cooldowns
from gyebo.compare.plan import Pace
from gyebo.compare.results import run_directory
from gyebo.compare.sections import Candidate
from gyebo.compare.session import Session, Watch, attempt, held_out
from gyebo.config import durable, toml
from gyebo.config.run import RunOptions
from gyebo.jobs.results import PretrainResult
from gyebo.training.schedule import warmup_steps

FIRST_PART = 0.1  # of a run's steps
TOLERANCE = 0.05  # of the planned time


class OffPace(Exception):
    """The run was ended, since its steps take another time than was planned."""


def pretrain(
    session: Session, options: RunOptions, directory: Path, watch: Watch | None = None, out: Path | None = None
) -> tuple[PretrainResult | None, str]:
    """Train one run, or take the stored result of a finished one; None and the reason where it failed.

    out: where the note of a failure goes, by default the comparison's directory. Raises OffPace where `watch` does.
    """
    note = (out or session.out) / "failures" / f"{directory.parent.name}-{directory.name}.txt"

    def train() -> PretrainResult:
        result = session.jobs.pretrain(options, directory, resume=True, console=session.console, watch=watch)
        assert result is not None, "a comparison is the only process"
        return result

    return attempt(train, held_out, note, but=OffPace)


def pretrain_measured(session: Session, candidate: Candidate, seed: int) -> tuple[PretrainResult | None, str]:
    """Train a seed of a candidate with the steps and the rate of its plan; the first one may correct the steps."""
    directory = run_directory(session.out, candidate.name, seed)
    paced = session.recipe.budget.minutes is not None and session.plan(candidate).seconds_per_step is not None
    if paced and session.plan(candidate).pace is None:
        options = _options(session, candidate, seed)
        both = _both(_watch(session, candidate), cooldowns.watch(session, candidate, seed, options))
        try:
            found = pretrain(session, options, directory, both)
        except OffPace as off:
            session.console.print(f"{candidate.name}: {off}", highlight=False)
        else:
            if session.plan(candidate).pace is None:  # failed before the tenth, or finished by an older version
                _keep(session, candidate, None, session.plan(candidate).planned_steps)
            return found
    options = _options(session, candidate, seed)
    if paced:
        _drop_other(directory, options)
    return pretrain(session, options, directory, cooldowns.watch(session, candidate, seed, options))


def pretrain_branch(session: Session, candidate: Candidate, seed: int, share: float) -> tuple[PretrainResult | None, str]:
    """Train the branch of a finished run at a share of its steps; None and the reason where it failed."""
    (branch,) = cooldowns.planned(_options(session, candidate, seed), [share])
    if branch.warmup >= branch.steps:
        return None, f"a run of {branch.steps:,} steps would not get beyond the warm-up of {branch.warmup:,}: raise the budget"
    session.remember_branch(candidate, branch)
    out = cooldowns.folder(session.out, share)
    session.console.print(f"{candidate.name}, seed {seed}: cool-down after {branch.steps:,} steps", highlight=False)
    options = _options(session, candidate, seed, steps=branch.steps)
    return pretrain(session, options, run_directory(out, candidate.name, seed), out=out)


def _options(session: Session, candidate: Candidate, seed: int, **changes: int) -> RunOptions:
    plan, recipe = session.plan(candidate), session.recipe
    fixed: dict[str, Any] = {"steps": plan.run_steps, "precision": plan.precision, "evaluate_context": plan.evaluate_context}
    if plan.sweep:
        fixed |= {"lr": plan.sweep.lr, "warmup": plan.sweep.warmup}
    elif recipe.cooldowns:  # a number, as the branches have the same warm-up
        own = recipe.options(candidate, seed, session.tokenizer)
        fixed["warmup"] = warmup_steps(own.optim.warmup, plan.run_steps)
    return recipe.options(candidate, seed, session.tokenizer, **fixed | changes)


def _both(first: Watch, second: Watch | None) -> Watch:
    def watch(step: int, seconds: float) -> None:
        first(step, seconds)
        if second:
            second(step, seconds)

    return watch


def _watch(session: Session, candidate: Candidate) -> Watch:
    """What looks at the time of the first tenth, keeps what follows from it, and ends the run where that is other steps."""
    plan = session.plan(candidate)
    planned, expected = plan.planned_steps, plan.seconds_per_step
    assert expected is not None
    part = max(1, math.ceil(FIRST_PART * planned))

    def watch(step: int, seconds: float) -> None:
        if step != part or session.plan(candidate).pace:
            return
        took = seconds / step
        off = abs(took / expected - 1) > TOLERANCE
        steps = max(1, math.floor(plan.steps * expected / took) - (plan.steps - planned)) if off else planned
        _keep(session, candidate, took, steps)
        if steps != planned:
            raise OffPace(
                f"a step takes {took:.3g} s instead of {expected:.3g} s, so it starts again with {steps:,} steps (planned:"
                f" {planned:,}), and so do all its seeds"
            )

    return watch


def _keep(session: Session, candidate: Candidate, seconds_per_step: float | None, steps: int) -> None:
    plan = session.plan(candidate)
    session.state.candidates[candidate.name] = replace(plan, pace=Pace(seconds_per_step=seconds_per_step, steps=steps))
    session.keep()


def _drop_other(directory: Path, options: RunOptions) -> None:
    """Delete a run that was begun with the steps of before the correction, also after a kill between the two."""
    durable.clean(directory.parent)  # where a kill came before it was deleted
    stored = directory / "run.toml"
    if stored.is_file() and toml.read(stored)["options"]["budget"] != options.budget.model_dump(exclude_none=True):
        durable.remove(directory)
