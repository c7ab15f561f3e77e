"""A full disk, or a full quota: one exception, whose message names the place, what is kept and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gyebo.config.errors import NamesOptions

FULL = (errno.ENOSPC, errno.EDQUOT)
_IN_RUST = re.compile(r"\(os error (\d+)\)")  # safetensors and tokenizers give the system's error as text only


class DiskFull(NamesOptions, OSError):
    """Nothing more can be written: the message says where, why, and what is kept and how to continue (`advice`)."""

    def __init__(self, place: str | Path, reason: str, advice: str):
        super().__init__(f"{place}: {reason}; {advice}")
        self.place, self.reason = place, reason


def full(error: BaseException) -> str:
    """What the system says where an error means that a disk or a quota is full; "" for any other error."""
    found = _IN_RUST.search(str(error))
    number = int(found[1]) if found else error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number in FULL else ""


@contextmanager
def disk_full(place: Path, advice: str | Callable[[], str]) -> Iterator[None]:
    """Raise DiskFull instead of an error inside that means a full disk. `advice`: what is kept and what to do, told afterwards.

    A run's advice counts more than that of one of its files, but not for what lies elsewhere, as the cache.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, DiskFull):
            if not _within(error.place, place):
                raise
            where, reason = error.place, error.reason
        else:
            reason = full(error)
            if not reason:
                raise
            named = error.filename if isinstance(error, OSError) and isinstance(error.filename, str) else place
            where = place if _within(named, place) else named
        raise DiskFull(where, reason, advice if isinstance(advice, str) else advice()) from error


def _within(name: str | Path, place: Path) -> bool:
    return Path(name).absolute().is_relative_to(place.absolute())
