"""A budget of tokens, FLOPs or minutes becomes a number of steps, once, before the run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median

import torch

from gyebo.config.errors import OptionError
from gyebo.config.run import BudgetOptions
from gyebo.jobs.results import DryRun
from gyebo.training import distributed
from gyebo.training.trainer import Trainer

SAVE_SECONDS_PER_PARAMETER = 40e-9  # 16 bytes each, written, digested and flushed at about 400 MB/s
EVALUATIONS = 10
SAVES = 12

ROUNDS = 4

MakeTrainer = Callable[[], Trainer]


def seconds_per_step(makers: Sequence[MakeTrainer], seconds: float) -> list[float]:
    """Time of one optimiser step of each trainer on its run's own batches, all timed in turn, `seconds` for each in total.

    In each of a few rounds every trainer is made, timed and thrown away, so that a slow minute of the machine meets all, only
    one at a time needs memory, and nothing of the measurement stays in a run. Within a round a mean, since a run also
    pays for its slow steps; over the rounds the median, which a disturbed one does not move.
    """
    rounds = [[_round(make, seconds / ROUNDS) for make in makers] for _ in range(ROUNDS)]
    return [median(times) for times in zip(*rounds)]


def _round(make: MakeTrainer, seconds: float) -> float:
    """Mean time of a step: the later half of as many as fit into the time, at least 2, since the first ones meet each shape for
    the first time."""
    trainer = make()
    trainer.advance()  # the first step builds buffers and warms caches
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while len(times) < 2 or distributed.from_first(time.perf_counter() < stop):  # all processes take the same number of steps
        start = time.perf_counter()
        trainer.advance()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    late = times[len(times) // 2 :]
    return sum(late) / len(late)


def choose_precision(make: Callable[[str], Trainer], device: torch.device, wanted: str, seconds: float) -> str:
    """The precision of a run; `auto` takes what is faster here, both timed in turn."""
    if wanted != "auto":
        return wanted
    if device.type == "mps":
        return "float32"
    both = ("float32", "bfloat16")
    times = dict(zip(both, seconds_per_step([partial(make, precision) for precision in both], seconds)))
    return min(both, key=times.__getitem__)


def steps_for(
    budget: BudgetOptions,
    *,
    tokens_per_step: float,
    flops_per_step: float,
    steps_per_epoch: float,
    step_seconds: float | None,
    parameters: int,
    held_out_tokens: int,
    evaluate_tokens: int,
) -> int:
    """Steps that the budget pays for; ValueError where minutes pay for none.

    Minutes keep a share for evaluations (a forward pass is a third of a step's work) and checkpoints.
    """
    if budget.steps:
        return budget.steps
    if budget.tokens:
        return max(1, round(budget.tokens / tokens_per_step))
    if budget.flops:
        return max(1, round(budget.flops / flops_per_step))
    if budget.epochs:
        return max(1, round(budget.epochs * steps_per_epoch))
    assert budget.minutes and step_seconds
    token_seconds = step_seconds / tokens_per_step
    on_the_way = EVALUATIONS * min(evaluate_tokens, held_out_tokens)
    evaluating = (on_the_way + held_out_tokens) * token_seconds / 3 * 1.3
    reserve = evaluating + SAVES * (0.05 + parameters * SAVE_SECONDS_PER_PARAMETER)
    left = budget.minutes * 60 - reserve
    if left < step_seconds:
        raise OptionError(
            f"‹budget.minutes›={budget.minutes:g}: evaluations and checkpoints alone would take {reserve / 60:.1f}: give "
            "more, or hold out less text (‹data.valid_share›)"
        )
    return math.floor(left / step_seconds)


def tenth(steps: int) -> int:
    """Every so many steps, about ten times a run."""
    return max(1, math.ceil(steps / EVALUATIONS))


def describe(plan: DryRun, step_seconds: float) -> list[str]:
    """What a dry run prints, line by line."""
    return [
        f"parameters      {plan.parameters:,} ({plan.parameters_without_embeddings:,} without embeddings)",
        f"steps           {plan.steps:,} of {plan.tokens_per_step:,.0f} tokens on average",
        f"tokens          {plan.steps * plan.tokens_per_step:,.0f}",
        f"epochs          {plan.epochs:.2f}",
        f"compute         {plan.steps * plan.flops_per_step:.3g} FLOPs",
        f"memory          {plan.memory_bytes / 2**20:,.0f} MiB at the most",
        f"expected time   {step_seconds * plan.steps / 60:,.1f} minutes in {plan.precision} on {plan.device}",
    ]
