"""The settings of PPLM's update, checked on creation, and strengths that change along the answer (no torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gyebo.generation.ranges import Range, check_known, check_ranges

Strength = float | Sequence[float]
"""How strongly an attribute is wanted, below 0: away from it. Several numbers: a course along the answer, from its first token
to the last one that fits, in straight lines between numbers at equal distances; (0, 2) grows from 0 to 2."""

_RANGES = {
    "stepsize": Range(float, 0, math.inf, "a number from 0 on (0: nothing is moved)"),
    "iterations": Range(int, 1, math.inf, "a whole number of at least 1"),
    "gamma": Range(float, 0, math.inf, "a number from 0 on"),
    "kl_scale": Range(float, 0, math.inf, "a number from 0 on (0: off)"),
    "gm_scale": Range(float, 0, 1, "a number from 0 to 1"),
    "window": Range(int, 0, math.inf, "a whole number of at least 0 (0: all of the past)"),
    "horizon": Range(int, 1, math.inf, "a whole number of at least 1"),
    "grad_length": Range(int, 0, math.inf, "a whole number of at least 0, or None: to the end", optional=True),
}


@dataclass(frozen=True)
class Settings:
    """How keys and values of the past are moved (Dathathri et al. 2020, section 3.2 and 3.3; appendix on windows). Raises
    ValueError for a value out of its range."""

    stepsize: float = 0.03
    """Length of a step, the paper's alpha; multiplied by the largest strength."""
    iterations: int = 3
    """Number of steps before each token."""
    gamma: float = 1.5
    """Power of the gradient's norm by which the gradient is divided."""
    kl_scale: float = 0.01
    """Weight of the divergence from the unmodified model's next-token distribution."""
    gm_scale: float = 0.99
    """Power of the moved distribution in the geometric mean with the unmodified one; 1: the moved one alone."""
    window: int = 5
    """Number of recent tokens whose keys and values are moved; 0: all."""
    decay: bool = False
    """Within the window, older tokens are moved less: the newest by all, the oldest by 1/window."""
    horizon: int = 1
    """Number of imagined tokens that a discriminator reads beyond the newest one."""
    grad_length: int | None = None
    """Number of tokens of the answer before which the past is moved; after them it stays as it is. None: all."""
    released: bool = False
    """As in the released code where it differs from the paper: the window covers the first tokens of the text instead of the
    recent ones (all of them, without decay, while there are no more); a discriminator's gradient does not flow through the
    newest token's hidden state; every imagined token is the same distribution."""

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        for name in ("decay", "released"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, but is {getattr(self, name)!r} instead")
        if self.decay and not self.window:
            raise ValueError("decay=true has no effect without a window: set window to 1 or more")


# What differs from the defaults above where a discriminator takes part, as in the released commands.
WITH_DISCRIMINATOR = {"stepsize": 0.04, "iterations": 10, "gamma": 1.0, "gm_scale": 0.95, "window": 0}


def settings_from(given: dict[str, Any], *, imagines: bool) -> Settings:
    """Settings for bags of words, or where `imagines`, with a discriminator, for it; `given` ones replace the defaults.

    Raises ValueError for an unknown name, with the nearest ones, for a value out of its range, and for what has no effect.
    """
    check_known(given, Settings.__dataclass_fields__, "setting of control")
    if "horizon" in given and not imagines:
        raise ValueError(f"horizon={given['horizon']} has no effect on bags of words: leave it out")
    settings = Settings(**{**(WITH_DISCRIMINATOR if imagines else {}), **given})
    if settings.released and not imagines and not settings.window:
        raise ValueError("released=true has no effect on bags of words without a window: leave it out, or set window")
    return settings


def check_strength(strength: Strength, name: str) -> tuple[float, ...]:
    """A strength as its numbers; ValueError where it is none."""
    numbers = tuple(strength) if isinstance(strength, Sequence) and not isinstance(strength, str) else (strength,)
    if not numbers or not all(isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers):
        raise ValueError(f"{name} must be a number, or several along the answer, but is {strength!r} instead")
    return tuple(float(number) for number in numbers)


def strength_from(text: str, name: str) -> tuple[float, ...]:
    """The strength that is written as "1.5", or with its course as "0..2"; ValueError where it is neither."""
    try:
        return check_strength([float(part) for part in text.split("..")], name)
    except ValueError:
        raise ValueError(f"{name} must be a number, or a course as 0..2, but is {text!r} instead") from None


def strength_at(numbers: Sequence[float], progress: float) -> float:
    """The strength after that part of the answer, from 0 (first token) to 1 (last token)."""
    place = progress * (len(numbers) - 1)
    before = min(int(place), len(numbers) - 1)
    after = min(before + 1, len(numbers) - 1)
    return numbers[before] + (place - before) * (numbers[after] - numbers[before])
