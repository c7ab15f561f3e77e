"""Verbs of a model: given by its name, or as `gyebo.load` gives it, a model and its tokenizer."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, overload

from gyebo.api.options import Named, verb
from gyebo.config.errors import OptionError
from gyebo.config.flags import in_python

if TYPE_CHECKING:
    from torch import nn

    from gyebo.jobs.opened import Given, Loaded
    from gyebo.text.tokenizer import Tokenizer

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class OfModel(Protocol[P, R_co]):
    """A verb whose model is a name, a pair, or a model followed by its tokenizer."""

    @overload
    def __call__(self, model: Named | tuple[Any, Any], /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __call__(self, model: nn.Module, tokenizer: Tokenizer | None, /, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def __call__(self, model: Any, /, *args: Any, **kwargs: Any) -> R_co:
        """Call it."""


def of_model(command: str) -> Callable[[Callable[Concatenate[Given, P], R]], OfModel[P, R]]:
    """Marks the function of a command whose first parameter is a model, as `verb`. Its callers give a name (a run, a
    `transformers` directory, a hub id), the pair that `gyebo.load` gives, or a model and its tokenizer as two arguments."""

    def mark(function: Callable[Concatenate[Given, P], R]) -> OfModel[P, R]:
        named, parameters = verb(command)(function), set(inspect.signature(function).parameters)

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            try:
                model, rest = _model(args, kwargs)
            except OptionError as error:
                error.args = (in_python(error.text, command, {*parameters, "tokenizer"}),)
                raise
            with _evaluating(model):
                return named(model, *rest, **kwargs)

        return call

    return mark


def _model(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Given, tuple[Any, ...]]:
    if not args and "model" not in kwargs:
        raise OptionError("‹model› is missing: name a run, a directory or a hub id, or give a model and its tokenizer")
    model, rest = (args[0], args[1:]) if args else (kwargs.pop("model"), ())
    if isinstance(model, str | os.PathLike):
        return os.fspath(model), rest
    if isinstance(model, tuple) and len(model) == 2:
        return loaded(*model), rest
    if "tokenizer" in kwargs:
        return loaded(model, kwargs.pop("tokenizer")), rest
    if not rest:
        raise OptionError("‹tokenizer› is missing: give the model's after it, as gyebo.load gives both, or the model's name")
    return loaded(model, rest[0]), rest[1:]


def loaded(model: Any, tokenizer: Any) -> Loaded:
    """A model that is open, with its tokenizer; OptionError for anything else."""
    from torch import nn

    from gyebo.api.processor import PictureProcessor, Processor
    from gyebo.jobs.opened import Loaded
    from gyebo.text.tokenizer import Tokenizer

    if not isinstance(model, nn.Module):
        raise OptionError(f"‹model› must be a model, or the name of one, but is a {type(model).__name__}")
    if isinstance(tokenizer, Processor | PictureProcessor):
        tokenizer = tokenizer.tokenizer
    if tokenizer is not None and not isinstance(tokenizer, Tokenizer):
        raise OptionError(
            f"‹tokenizer› must be the tokenizer that gyebo.load gives beside the model, but is a {type(tokenizer).__name__}"
        )
    return Loaded(model, tokenizer)


@contextmanager
def _evaluating(given: Given) -> Iterator[None]:
    """A model that is being trained is not, meanwhile."""
    if isinstance(given, str) or not given.model.training:
        yield
        return
    given.model.eval()
    try:
        yield
    finally:
        given.model.train()
