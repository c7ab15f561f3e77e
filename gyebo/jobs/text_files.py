"""How a file of texts is read that a command names beside a model."""

from __future__ import annotations

from gyebo.config import toml
from gyebo.config.run import DataOptions
from gyebo.data.encoding import Reading


def reading_of(encoding: str | None = None, bad_bytes: str | None = None) -> Reading:
    """How the bytes of files become text, as in `DataOptions`; ValueError for an unknown encoding or way."""
    given = {name: value for name, value in (("encoding", encoding), ("bad_bytes", bad_bytes)) if value is not None}
    options = toml.check(DataOptions, {**given, "corpus": ["FILE"]})
    return Reading(options.encoding, options.bad_bytes)
