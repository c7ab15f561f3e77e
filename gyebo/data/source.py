"""What a source and a chunk are, and the rows of a source that is a parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.data.encoding import UTF8
from gyebo.data.records import Record
from gyebo.data.rows import parquet, parquet_file
from gyebo.data.values import find, written

# Kinds of sources whose documents belong to pictures.
PICTURED = frozenset(["world pictures", "picture folder", "COCO captions", "picture parquet", "tar", "NLVR statements"])


@dataclass(frozen=True)
class Source:
    """One file, or the built-in world (`path` None).

    kind: a format without its dot, or "world"; one of `PICTURED` holds pictures with texts. languages, count: of the world.
    settings: of its pictures (`gyebo/data/world_pictures.py`), or the forms of statements (`gyebo/data/nlvr.py`). rows: column
    and value of the rows of a parquet file that count; None: all do.
    """

    kind: str
    path: Path | None
    languages: tuple[str, ...] = ("ko", "en")
    count: int = 0
    settings: tuple[str, ...] = ()
    rows: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The name in error messages."""
        if self.path is not None:
            return str(self.path) + (f"#{self.rows[0]}={self.rows[1]}" if self.rows else "")
        return f"world:{','.join([*self.settings, *self.languages, str(self.count)])}"

    @property
    def pictured(self) -> bool:
        """Whether its documents are texts of pictures."""
        return self.kind in PICTURED


@dataclass(frozen=True)
class Chunk:
    """A part of a source: raw bytes from `offset`; texts or records of pictures that had to be read in order; or a `span` of
    what the world generates. replaced: number of characters of it that could not be read and became U+FFFD."""

    source: Source
    number: int
    offset: int = 0
    raw: bytes = b""
    texts: tuple[str, ...] | None = None
    records: tuple[Record, ...] = ()
    span: tuple[int, int] = (0, 0)
    replaced: int = 0


def parquet_rows(source: Source, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 0, values by name) of the rows of a parquet file that count. ValueError where the column that says which is
    not there, or no row has its value."""
    assert source.path is not None
    name, wanted = source.rows or ("", "")
    names = parquet_file(source.path).schema_arrow.names if source.rows else []
    if source.rows and name not in names:
        raise ValueError(f"{source.name}: no column {name!r}; available: {', '.join(names)}")
    found = not source.rows
    for number, (where, row) in enumerate(parquet(source.path, UTF8, [*columns, *([name] if name else [])])):
        assert isinstance(row, dict), where
        if not name or _said(find(row, name)) == wanted:
            found = True
            yield number, row
    if not found:
        raise ValueError(f"{source.name}: no row has {wanted!r} in the column {name!r}")


def _said(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else written(value)
