"""The search for a candidate's learning rate, before its measured runs.

Trials are short runs with a seed that is not measured. With the schedule of a search (`wsd`) each is the beginning of the
measured run at its rate, up to its own cool-down: all have the same number of warm-up steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gyebo.compare.plan import CandidatePlan, Sweep, Trial
from gyebo.compare.pretraining import pretrain
from gyebo.compare.recipe import PREFIXED
from gyebo.compare.sections import Candidate
from gyebo.compare.session import Session, held_out
from gyebo.jobs.results import PretrainResult
from gyebo.training import log
from gyebo.training.schedule import warmup_steps

COSTS = ("tokens", "flops", "seconds")


def search(session: Session, candidate: Candidate) -> str:
    """Choose the learning rate of a candidate; "" or why there is none.

    The reported metric of the candidate's own objective chooses. While the lowest or the highest rate is the best one, the
    next one beyond is tried too, a few times. A trial that fails costs what it trained, and its rate is out. The choice is
    kept, so that no later event changes it.
    """
    asked, plan = session.recipe.sweep, session.plan(candidate)
    if asked is None or plan.sweep is not None:
        return ""
    steps = max(1, round(asked.trial_share * plan.steps))
    warmup = _warmup(session, candidate, steps)
    if warmup is not None and warmup >= steps:
        short = f"the trials of the sweep have {steps:,} steps, but a warm-up of {warmup:,}"
        return f"{short}: raise the budget or sweep.share, or lower optim.warmup"
    trials = [_try(session, candidate, rate=rate, steps=steps, warmup=warmup) for rate in asked.lr]
    sign = 1 if candidate.objective_facts.lower_is_better else -1
    for _ in range(asked.extend):
        if (further := beyond(trials, sign)) is None:
            break
        trials.append(_try(session, candidate, rate=further, steps=steps, warmup=warmup))
    if (best := _best(trials, sign)) is None:
        return f"every trial of the sweep failed: {trials[-1].reason}"
    total = {key: sum(getattr(trial, key) for trial in trials) for key in COSTS}
    sweep = Sweep(lr=best, steps=steps, trials=trials, warmup=warmup, counted=asked.counted, **total)
    session.state.candidates[candidate.name] = replace(plan, sweep=sweep)
    session.keep()
    edge = ", the edge of what was tried" if sweep.edge else ""
    session.console.print(f"{candidate.name}: learning rate {best:g}{edge}", highlight=False)
    return ""


def beyond(trials: Sequence[Trial], sign: int) -> float | None:
    """The next rate beyond the best one, as far from it as its neighbour; None where the best one has neighbours on both sides.

    sign: 1 where a lower score is better, else -1.
    """
    best, rates = _best(trials, sign), sorted(trial.lr for trial in trials)
    if best not in (rates[0], rates[-1]):
        return None
    neighbour = rates[1] if best == rates[0] else rates[-2]
    return float(f"{best * best / neighbour:.3g}")


def _best(trials: Sequence[Trial], sign: int) -> float | None:
    done = [(sign * trial.score, trial.lr) for trial in trials if trial.score is not None]
    return min(done)[1] if done else None


def _warmup(session: Session, candidate: Candidate, steps: int) -> int | None:
    """The warm-up steps that all runs of a candidate share; None where each has its own share of them."""
    asked, plan, recipe = session.recipe.sweep, session.plan(candidate), session.recipe
    optim = recipe.options(candidate, recipe.seeds[0], session.tokenizer).optim
    if asked is None or optim.schedule != PREFIXED:
        return None
    left = plan.steps - (steps * len(asked.lr) if asked.counted else 0)
    return warmup_steps(optim.warmup, left)


def _try(session: Session, candidate: Candidate, *, rate: float, steps: int, warmup: int | None) -> Trial:
    recipe, plan = session.recipe, session.plan(candidate)
    fixed = {"steps": steps, "precision": plan.precision, "evaluate_context": plan.evaluate_context}
    options = recipe.options(candidate, max(recipe.seeds) + 1, session.tokenizer, lr=rate, warmup=warmup, **fixed)
    directory = session.out / "sweeps" / candidate.name / f"lr-{rate!r}"
    session.console.print(f"{candidate.name}: trying learning rate {rate:g} for {steps:,} steps", highlight=False)
    result, reason = pretrain(session, options, directory)
    cost = _cost(result) if result is not None else _spent(directory, plan)
    name, score = (None, None) if result is None else held_out(result)
    return Trial(lr=rate, figure=name, score=score, reason=reason, **cost)


def _cost(result: PretrainResult) -> dict[str, float]:
    return {key: getattr(result, key) for key in COSTS}


def _spent(directory: Path, plan: CandidatePlan) -> dict[str, float]:
    """What a failed run had used up, from its log."""
    steps = [line for line in log.read(directory) if "loss" in line]
    last = steps[-1] if steps else {"step": 0, "tokens": 0, "seconds": 0.0}
    return {"tokens": last["tokens"], "flops": last["step"] * plan.flops_per_step, "seconds": last["seconds"]}
