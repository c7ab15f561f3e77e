"""Errors that name options: plainly for Python and recipes, as flags on the command line.

A message writes an option as ‹section.field›, or with its value as ‹section.field›=3. `str` shows section.field=3, and
`gyebo.config.flags.typed` what a command calls it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

NAMED = re.compile(r"‹([\w.]+)›(=?)")


class NamesOptions(Exception):
    """An error whose `text` has the names of options marked; `str` shows them plainly."""

    def __init__(self, text: str):
        super().__init__(plain(text))
        self.text = text


class OptionError(NamesOptions, ValueError):
    """Options that don't fit together, or to what they are for. `place`: where the one that is wrong stands in nested values,
    from the outside in (`gyebo/config/toml_lines.py`)."""

    def __init__(self, text: str, place: Sequence[str | int] = ()):
        super().__init__(text)
        self.place = tuple(place)


@contextmanager
def placed(*place: str | int) -> Iterator[None]:
    """Errors of options inside are about values at this place, which stands before their own."""
    try:
        yield
    except ValueError as error:
        raise OptionError(marked(error), (*place, *place_of(error))) from None


def place_of(error: Exception) -> tuple[str | int, ...]:
    """The place of an error, () where it has none."""
    return error.place if isinstance(error, OptionError) else ()


def nearest(name: str, known: Iterable[str]) -> str:
    """What might have been meant by a name that is not known, as the middle of an error's line; "" where nothing is close."""
    spelled = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), spelled, n=2, cutoff=0.5)
    return f"; did you mean {' or '.join(spelled[each] for each in close)}?" if close else ""


def plain(text: str) -> str:
    """The text with the names of options as they are: dotted."""
    return NAMED.sub(r"\1\2", text)


def within(section: str, text: str) -> str:
    """The text of a section's own check, its options named from outside of the section."""
    return NAMED.sub(rf"‹{section}.\1›\2", text) if section else text


def marked(error: Exception) -> str:
    """The text of an error with its marks, where it has any."""
    return error.text if isinstance(error, NamesOptions) else str(error)
