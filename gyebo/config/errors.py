"""Errors that name options: plainly for Python and recipes, as flags on the command line.

A message writes an option as ‹section.field›, or with its value as ‹section.field›=3. `str` shows section.field=3, and
`gyebo.config.flags.typed` what a command calls it.
"""

from __future__ import annotations

import re

NAMED = re.compile(r"‹([\w.]+)›(=?)")


class NamesOptions(Exception):
    """An error whose `text` has the names of options marked; `str` shows them plainly."""

    def __init__(self, text: str):
        super().__init__(plain(text))
        self.text = text


class OptionError(NamesOptions, ValueError):
    """Options that don't fit together, or to what they are for."""


def plain(text: str) -> str:
    """The text with the names of options as they are: dotted."""
    return NAMED.sub(r"\1\2", text)


def within(section: str, text: str) -> str:
    """The text of a section's own check, its options named from outside of the section."""
    return NAMED.sub(rf"‹{section}.\1›\2", text) if section else text


def marked(error: Exception) -> str:
    """The text of an error with its marks, where it has any."""
    return error.text if isinstance(error, NamesOptions) else str(error)
