"""In which precision a model reads texts that are not trained on: for embed, predict and the evaluation of a task."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.nn.int8 import has_int8, quantize
from gyebo.tasks.heads.task_model import body_of
from gyebo.training.device import DTYPES, make_ready

PRECISIONS = (*DTYPES, "int8")


def check_precision(precision: str, place: torch.device) -> None:
    """ValueError for one that there is not, or not here."""
    if precision not in PRECISIONS:
        raise OptionError(f"‹precision› must be one of {', '.join(PRECISIONS)}, but is {precision!r} instead")
    if precision == "int8" and place.type != "cpu":
        raise OptionError(f"‹precision›=int8 is for a CPU, but the device is {place.type}: use bfloat16, or ‹device›=cpu")
    if precision == "int8" and not has_int8():
        raise OptionError("‹precision›=int8: this processor multiplies no int8 (VNNI): use bfloat16 or float32")


def ready(model: Any, place: torch.device, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    """Bring a model to its device and precision, in place; gives the context in which it is to run.

    int8 rounds the linear layers of its blocks and a translator's output layer, and lets the rest run as bfloat16 does. Raises
    ValueError where there are none.
    """
    check_precision(precision, place)
    model.to(place)
    make_ready(place)
    if precision == "int8" and not quantize(body_of(model)):
        raise OptionError(
            f"‹precision›=int8 has no effect on {model.family}, which has no linear layers to round: leave it out"
        )
    half = DTYPES.get(precision, torch.bfloat16)
    return partial(torch.autocast, place.type, half, enabled=half != torch.float32)
