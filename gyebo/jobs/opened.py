"""A model in the place of its name: what a job is given is either, and is opened alike."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.config.errors import OptionError
from gyebo.interchange import load
from gyebo.interchange.loading import family_of as family_of_directory
from gyebo.jobs.inference import check_precision, ready
from gyebo.models.family import find
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import pick_device


@dataclass(frozen=True)
class Loaded:
    """A model that is open already, and its tokenizer. It stays on its device and in its precision."""

    model: Any
    tokenizer: Tokenizer | None

    def __str__(self) -> str:
        return f"this {find(self.model.family).title}"


Given = str | Loaded


def open_given(name: Given) -> tuple[Any, Tokenizer | None]:
    """The model and its tokenizer."""
    return (name.model, name.tokenizer) if isinstance(name, Loaded) else load(name)


def family_of(name: Given) -> str:
    """The family of a model; of a name from its `config.json` alone."""
    return name.model.family if isinstance(name, Loaded) else family_of_directory(name)


def directory_of(name: Given) -> Path | None:
    """Where a run may have its record; None for a model that is open already."""
    return None if isinstance(name, Loaded) else Path(name)


def made_ready(name: Given, model: Any, device: str, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    """`ready` for a model by its name; one that is open already stays as it is, and OptionError where it is to be moved."""
    if not isinstance(name, Loaded):
        return ready(model, pick_device(device), precision)
    refuse_moving(name, device, precision)
    return nullcontext


def check_place(name: Given, device: str, precision: str) -> None:
    """OptionError, before anything is opened, for a device or a precision that there is not."""
    if isinstance(name, Loaded):
        refuse_moving(name, device, precision)
    else:
        check_precision(precision, pick_device(device))


def refuse_moving(name: Loaded, device: str, precision: str | None) -> None:
    """OptionError where a model that is open already is to be on another device, or in another precision."""
    for option, value, usual in (("device", device, "auto"), ("precision", precision, "float32")):
        if value not in (None, usual):
            raise OptionError(
                f"‹{option}›={value} has no effect on a model that is loaded: move it yourself with .to(), or give its name"
            )
