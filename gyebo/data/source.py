"""What a source and a chunk are, and bytes as text."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gyebo.config.errors import OptionError
from gyebo.data.records import Record

BYTE_ORDER_MARK = "\ufeff"
BATCH_ROWS = 1024  # of a parquet file that are in memory together
# Kinds of sources whose documents belong to pictures.
PICTURED = frozenset(["world pictures", "picture folder", "COCO captions", "picture parquet", "tar", "NLVR statements"])


@dataclass(frozen=True)
class Source:
    """One file, or the built-in world (`path` None).

    kind: a format without its dot, or "world"; one of `PICTURED` holds pictures with texts. languages, count, settings: of the
    world; `settings` are those of its pictures (`gyebo/data/world_pictures.py`). rows: column and value of the rows of a
    parquet file that count; None: all do.
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
    what the world generates."""

    source: Source
    number: int
    offset: int = 0
    raw: bytes = b""
    texts: tuple[str, ...] | None = None
    records: tuple[Record, ...] = ()
    span: tuple[int, int] = (0, 0)


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The decompressed bytes of a plain, .gz or .zst file; ValueError names a damaged one."""
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                yield file  # type: ignore[misc]
        elif path.suffix == ".zst":
            try:
                import zstandard
            except ImportError:
                raise ValueError(f'{path}: reading .zst needs the extra "data": pip install "gyebo[data]"') from None
            with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as file:
                yield io.BufferedReader(file)
        else:
            with path.open("rb") as file:
                yield file
    except (gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path}: damaged or not a compressed file: {error}") from None
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise ValueError(f"{path}: damaged or not a compressed file: {error}") from None
        raise


def decode(raw: bytes, path: Path | str, offset: int, bad_bytes: str) -> str:
    """Decode UTF-8; an invalid byte is a ValueError with the file and the offset, or is replaced if `bad_bytes` says so."""
    try:
        return raw.decode("utf-8", "replace" if bad_bytes == "replace" else "strict")
    except UnicodeDecodeError as error:
        at = offset + error.start
        raise OptionError(
            f"{path}: byte {at} (0x{raw[error.start]:02x}) is not UTF-8: convert the file, or pass ‹data.bad_bytes›=replace"
        ) from None


def parquet_file(path: Path) -> Any:
    """A parquet file, open; ValueError where it is none, or can't be read here."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f'{path}: reading parquet needs the extra "data": pip install "gyebo[data]"') from None
    try:
        return parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a parquet file: {error}") from None


def parquet_rows(source: Source, columns: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number from 0, values by name) of the rows of a parquet file that count. ValueError where the column that says which is
    not there, or no row has its value."""
    import pyarrow

    assert source.path is not None
    file = parquet_file(source.path)
    name, wanted = source.rows or ("", "")
    if source.rows and name not in file.schema_arrow.names:
        raise ValueError(f"{source.name}: no column {name!r}; available: {', '.join(file.schema_arrow.names)}")
    number, found = 0, not source.rows
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=[*columns, *([name] if name else [])]):
            for row in batch.to_pylist():
                if not name or _written(row[name]) == wanted:
                    found = True
                    yield number, row
                number += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{source.path}: damaged: {error}") from None
    if not found:
        raise ValueError(f"{source.name}: no row has {wanted!r} in the column {name!r}")


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
