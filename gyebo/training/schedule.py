"""The learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable

COOLDOWN = 0.2  # of the steps after warm-up, of the schedule "wsd"


def _cooldown(progress: float) -> float:
    """One until the cool-down begins, then 1 - sqrt(share of the cool-down)."""
    return 1 - math.sqrt(max(0.0, progress - (1 - COOLDOWN)) / COOLDOWN)


# (progress after warm-up, 0 to 1; warm-up steps; step) -> share of the peak. Shapes in FALLING are then mapped onto
# [final_lr, 1].
SHAPES: dict[str, Callable[[float, int, int], float]] = {
    "cosine": lambda progress, warmup, step: 0.5 * (1 + math.cos(math.pi * progress)),
    "linear": lambda progress, warmup, step: 1 - progress,
    "slanted-triangular": lambda progress, warmup, step: 1 - progress,
    "wsd": lambda progress, warmup, step: _cooldown(progress),
    "constant": lambda progress, warmup, step: 1.0,
    "inverse-root": lambda progress, warmup, step: math.sqrt(max(warmup, 1) / max(step, warmup, 1)),
}

FALLING = ("cosine", "linear", "slanted-triangular", "wsd")


def warmup_steps(warmup: float, steps: int) -> int:
    """Number of warm-up steps: `warmup` below 1 is a share of all steps, otherwise a number of steps."""
    return round(warmup * steps) if warmup < 1 else int(warmup)


def stable_steps(warmup: float, steps: int) -> int:
    """How many steps of a run with the schedule "wsd" come before its cool-down: they have the rates of every longer run with
    the same number of warm-up steps."""
    warm = warmup_steps(warmup, steps)
    return min(steps, warm + math.floor(round((1 - COOLDOWN) * max(0, steps - warm), 6)))


def learning_rate(step: int, *, peak: float, steps: int, warmup: float, schedule: str, final: float) -> float:
    """The learning rate of `step` (1 to `steps`).

    Linear warm-up to the peak (reached at the last warm-up step); then cosine or linear decay to `final` x peak at the last
    step, constant, or peak x sqrt(warm-up / step) (Vaswani et al. 2017, section 5.3). The slanted triangle rises linearly from
    `final` x peak and decays linearly to it (Howard & Ruder 2018, equation 3: `warmup` is cut_frac, 1 / `final` is ratio).
    WSD (warm-up, stable, decay) stays at the peak, and falls to `final` x peak with 1 - sqrt in the last fifth (Hägele et al.
    2024, arXiv 2405.18392, section 3): with the same number of warm-up steps, two runs of different length are the same run
    until the shorter one cools down.
    """
    warm = warmup_steps(warmup, steps)
    if step <= warm:
        low = final if schedule == "slanted-triangular" else 0.0
        return peak * (low + (1 - low) * step / warm)
    progress = (step - warm) / max(1, steps - warm)
    share = SHAPES[schedule](progress, warm, step)
    if schedule in FALLING:
        share = final + (1 - final) * share
    return peak * share
