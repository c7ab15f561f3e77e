"""Options and settings that are numbers: their ranges as tables, and one check of a value."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Range(NamedTuple):
    """What a number may be: a whole one (int) or any (float), from `low` to `high`, in `words`; `optional`: or None."""

    kind: type[int] | type[float]
    low: float
    high: float
    words: str
    optional: bool = False

    def holds(self, value: object) -> bool:
        """Whether the value is one of these numbers; infinity and NaN are none."""
        accepted = (int,) if self.kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, accepted):
            return value is None and self.optional
        return self.low <= value <= self.high and value not in (math.inf, -math.inf)


def check_ranges(options: object, ranges: Mapping[str, Range]) -> None:
    """ValueError for the first field that is out of its range."""
    for name, allowed in ranges.items():
        if not allowed.holds(value := getattr(options, name)):
            raise ValueError(f"{name} must be {allowed.words}, but is {value!r} instead")


def check_known(given: Iterable[str], known: Mapping[str, Any], what: str) -> None:
    """ValueError for a name that is none of the known ones, with the nearest."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3) or list(known)
            raise ValueError(f"unknown {what} {name!r}; did you mean {' or '.join(near)}?")
