"""A row of a file as values by name: columns are found in any Unicode form and within mappings, and missing is missing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

MOST_NAMES = 30  # of columns that an error names
IN_MEMORY = re.compile(r"[^\s'\"]*\bspool[\\/]memory-[0-9a-f]{16}\.jsonl")  # a file of `gyebo/api/memory.py`
ABSENT = object()
"""What `find` gives where a row has no such column."""


def plain(name: str) -> str:
    """A name, of a column or a class, in one Unicode form (NFC) and without spaces around it."""
    return (
        name if name.isascii() and name == name.strip() else unicodedata.normalize("NFC", name.strip(" \t\r\n\u3000\xa0\ufeff"))
    )


def find(values: Mapping[str, Any], name: str) -> Any:
    """The value of a column, None where it is missing (see `missing`), `ABSENT` where there is no such column.

    "doc.body" is a column of that name, or the key `body` of the mapping `doc`.
    """
    found = _get(values, name)
    if found is ABSENT and "." in name:
        outer, _, rest = name.partition(".")
        within = _get(values, outer)
        found = find(within, rest) if isinstance(within, Mapping) else None if within is None else ABSENT
    return None if missing(found) else found


def _get(values: Mapping[str, Any], name: str) -> Any:
    if name in values:
        return values[name]
    wanted = plain(name)
    return next((value for key, value in values.items() if isinstance(key, str) and plain(key) == wanted), ABSENT)


def missing(value: Any) -> bool:
    """Whether a value says that there is none: None, or a number that is none (NaN), as pandas writes it."""
    return value is None or (isinstance(value, float) and value != value)


def written(value: Any) -> str:
    """A value as text: whole numbers without a point, as where none is missing beside them; bytes are UTF-8.
    ValueError for bytes that are not."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"byte {error.start} (0x{value[error.start]:02x}) of it is not UTF-8") from None
    return str(value)


def available(names: Sequence[str] | Mapping[str, Any]) -> str:
    """The names of columns, for an error; the first ones where there are many."""
    shown = [shortened(str(name), 60) for name in list(names)[:MOST_NAMES]]
    return ", ".join([*shown, *(["..."] if len(names) > MOST_NAMES else [])]) or "nothing"


def shortened(text: str, most: int = 500) -> str:
    """A text that is quoted in an error, of a line and at most so many characters."""
    text = " ".join(text.split("\n"))
    return text if len(text) <= most else f"{text[:most]}..."


def unspooled(text: str) -> str:
    """A message in which data that was given in memory is called so, and not by the file that holds it."""
    return IN_MEMORY.sub("data in memory", text)
