"""Fields of `config.json` that a user says do not change a model (`--trust-config`), while something is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class PassedOver(UserWarning):
    """A file has what gyebo does not know and what, by its name, changes nothing."""


_NAMES: ContextVar[frozenset[str]] = ContextVar("trusted", default=frozenset())


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Whatever is opened meanwhile passes over unknown fields of these names."""
    token = _NAMES.set(_NAMES.get() | frozenset(names))
    try:
        yield
    finally:
        _NAMES.reset(token)


def trusted() -> frozenset[str]:
    """The names of now."""
    return _NAMES.get()
