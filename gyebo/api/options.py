"""What all verbs share: options from what was given, and errors that name parameters."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gyebo.config import elsewhere, toml
from gyebo.config.errors import NAMED, NamesOptions, OptionError, nearest
from gyebo.config.flags import SET, in_python
from gyebo.config.toml import Settings
from gyebo.data.values import unspooled

P = ParamSpec("P")
R = TypeVar("R")
Kind = TypeVar("Kind")
Named = str | os.PathLike[str]  # a name, a Path, or what a verb gave, which is the name of its directory


def verb(command: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Marks the function of a command: an error that names options names the function's parameters."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        names = set(inspect.signature(function).parameters)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            refuse_unknown(kwargs, names, command, function.__name__)
            try:
                return function(*args, **kwargs)
            except NamesOptions as error:
                error.args = (unspooled(in_python(error.text, command, names)),)
                raise
            except (ValueError, FileNotFoundError) as error:
                if len(error.args) == 1:
                    error.args = (unspooled(str(error)),)
                raise

        return call

    return mark


def refuse_unknown(kwargs: Iterable[str], names: Collection[str], command: str, function: str) -> None:
    """TypeError, as of Python, for a parameter that the function has not, with the one that may have been meant."""
    for name in kwargs:
        if name not in names:
            meant = elsewhere.meant(name, names, command)
            hint = f"; did you mean {in_python(f'‹{meant}›', command, names)}?" if meant else nearest(name, names)
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None, paths and results as the names of what they are."""
    return {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in values.items()
        if value is not None
    }


def named(model: Any, parameter: str) -> str:
    """The name of a model; OptionError for a model itself."""
    if isinstance(model, str | os.PathLike):
        return os.fspath(model)
    raise OptionError(
        f"‹{parameter}› must be the name of a model (a run, a directory, a hub id), but is a {type(model).__name__}: "
        "write one that is open with gyebo.save first"
    )


def checked(kind: type[Any], values: Mapping[str, Any], settings: Settings | None) -> Any:
    """The options of that kind from a verb's values and its settings; OptionError names what is wrong as it was given."""
    chosen = toml.parsed(settings or {})
    try:
        return toml.check(kind, toml.override(values, chosen))
    except OptionError as error:
        text = NAMED.sub(lambda match: f"‹{SET}{match[1]}›{match[2]}" if match[1] in chosen else match[0], error.text)
        raise OptionError(text, error.place) from None


def directory_of(tokenizer: Any) -> str | None:
    """The name of a tokenizer's directory; OptionError for a tokenizer itself."""
    if tokenizer is None or isinstance(tokenizer, str | os.PathLike):
        return None if tokenizer is None else os.fspath(tokenizer)
    raise OptionError(
        f"‹tokenizer› must be the name of its directory, but is a {type(tokenizer).__name__}: write one that is open with its "
        "method save first"
    )


def refuse(options: Mapping[str, Any], what: str) -> None:
    """OptionError for the first of the options that were given, which have no effect on `what`."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise OptionError(f"‹{name}› has no effect on {what}: leave it out")


def folder(out: str | Path | None) -> Path | None:
    """The directory or file to write; OptionError for what is no name."""
    if out is None or isinstance(out, Path):
        return out
    if not isinstance(out, str) or not out:
        raise OptionError(f"‹out› must be the name of what to write, but is {out!r} instead")
    return Path(out)
