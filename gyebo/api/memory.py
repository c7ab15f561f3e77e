"""Texts and rows in memory, wherever a file may stand: written to the cache once, by their content, and read from there.

Lists, generators, pandas' and polars' frames and columns, and data sets of the library `datasets`. None of these libraries is
imported: a value is recognised by the module of its type.
"""

from __future__ import annotations

import datetime
import glob
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gyebo.config.disk import disk_full
from gyebo.config.durable import LEFT_ALONE, clean, flush, make_folder, rename
from gyebo.config.errors import OptionError

Texts = Any  # a name, a Path, a list or generator of strings or of Paths, a frame, a column, a data set
TEXT = "text"  # the column of texts that have no name
LIBRARIES = {
    "pandas": ("DataFrame", "Series", "Index"),
    "polars": ("DataFrame", "Series"),
    "datasets": ("Dataset", "IterableDataset", "Column"),
    "numpy": ("ndarray",),
}
COLUMNS = {"Series", "Index", "Column", "ndarray"}  # hold one value a row
LONGEST_NAME = 4096  # bytes of a path
WANTED = "give texts (a list of strings, a column of a table), a table with a column of texts, or the name of a file"


class Names(tuple[str, ...]):
    """Names of files and other sources, as they are typed on the command line."""


def corpus_names(value: Texts, parameter: str, text_field: str | None = None) -> list[str]:
    """The names of a corpus: as given, or of a file of the cache that holds the texts. `text_field`: the column of a table.

    OptionError, which names the parameter, for anything else.
    """
    if (named := names_in(value, parameter)) is not None:
        with naming(value, parameter):
            return list(named)
    texts = texts_in(value, parameter, text_field or TEXT)
    return [spooled(({text_field or TEXT: text} for text in texts), parameter)]


def row_file(value: Any, parameter: str) -> str | None:
    """The name of a file of labelled rows: as given, or of one of the cache that holds the table; None for None."""
    if value is None or isinstance(value, str | Path):
        return None if value is None else str(value)
    return spooled(rows_in(value, parameter), parameter)


def names_in(value: Texts, parameter: str) -> Names | None:
    """The names that a value consists of; None where it is texts or a table. A string is one name, never a text."""
    if isinstance(value, Names):
        return value
    if isinstance(value, str | Path):
        return Names([str(value)])
    if not isinstance(value, list | tuple) or not value:
        return None
    if all(isinstance(each, Path) for each in value):
        return Names(str(each) for each in value)
    if all(isinstance(each, str) and _is_name(each) for each in value):
        raise OptionError(
            f"‹{parameter}›: a list of strings is texts, but all of these are names of files, as {value[0]!r}: give Paths, "
            f"[Path({value[0]!r}), ...], or one name"
        )
    return None


@contextmanager
def naming(value: Any, parameter: str) -> Iterator[None]:
    """Where a string is no name of a file, an error says that texts are given as a list."""
    if not isinstance(value, str):
        yield
        return
    advice = f"for a text give a list, [{value[:40]!r}]"
    if len(value.encode(errors="replace")) > LONGEST_NAME or set(value) & {"\n", "\0"}:
        raise OptionError(f"‹{parameter}›={value[:40]!r}... is no name of a file: {advice}")
    try:
        yield
    except FileNotFoundError as error:
        if not str(error).startswith(f"{value}:"):
            raise
        raise OptionError(f"‹{parameter}›={error}; {advice}") from None


def _is_name(text: str) -> bool:
    if len(text) > 1000 or "\n" in text:
        return False
    try:
        return (Path(text).is_file() and "." in text) or bool("*" in text and glob.glob(text))  # noqa: PTH207
    except (OSError, ValueError):  # too long, or with characters that no name has
        return False


def kind_of(value: Any) -> tuple[str, str] | None:
    """(library, name of the type) of a table or column of another library; None for anything else."""
    for kind in type(value).__mro__:
        library, name = kind.__module__.partition(".")[0], kind.__name__
        if name in LIBRARIES.get(library, ()):
            return library, name
    return None


def texts_in(value: Any, parameter: str, column: str = TEXT) -> Iterator[str]:
    """The texts of a value in memory, "" where one is missing. `column`: that of a table or of rows.

    OptionError at once for what holds no texts, and at the place of a value that is none.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        found = f"a {type(value).__name__}" if not isinstance(value, str) else f"the string {value[:40]!r}"
        advice = f"for one text give a list, [{value[:40]!r}]" if isinstance(value, str) else WANTED
        raise OptionError(f"‹{parameter}› holds no texts, but {found}: {advice}")
    kind = kind_of(value)
    if kind and kind[1] not in COLUMNS:
        named = _column_names(value, kind[0])
        if named is not None and column not in named:
            only = f"; name the column of the texts with ‹text_field› (there are: {', '.join(map(str, named))})"
            raise OptionError(f"‹{parameter}›: the table has no column {column!r}{only}")
        return _texts((row.get(column) for row in _rows(value, parameter)), parameter)
    return _texts((_field(each, column) for each in _column(value, kind)), parameter)


def _field(each: Any, column: str) -> Any:
    """The text of a row that is a dict; anything else as it is."""
    return each.get(column, each) if isinstance(each, Mapping) else each


def _texts(values: Iterable[Any], parameter: str) -> Iterator[str]:
    for number, value in enumerate(values):
        text = "" if _missing(value) else value
        if not isinstance(text, str):
            raise OptionError(f"‹{parameter}›: number {number} (from 0) is a {type(value).__name__}, not a text: {WANTED}")
        yield str(text)


def rows_in(value: Any, parameter: str) -> Iterator[dict[str, Any]]:
    """The rows of a table, of a data set, or of dicts, with plain values: None where one is missing.

    OptionError at once for what is no table, and at the place of a row that is none.
    """
    kind = kind_of(value)
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) or (kind and kind[1] in COLUMNS):
        raise OptionError(
            f"‹{parameter}› must be rows (dicts, a DataFrame, a Dataset) or the name of a file, but is a {type(value).__name__}"
        )
    return _rows(value, parameter)


def _rows(value: Any, parameter: str) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(_raw_rows(value, parameter)):
        if not isinstance(row, Mapping):
            raise OptionError(f"‹{parameter}›: row {number} (from 0) is a {type(row).__name__}, not a dict of columns")
        where = f"‹{parameter}›: row {number} (from 0)"
        if wrong := next((name for name in row if not isinstance(name, str)), None):
            raise OptionError(f"{where}: the name of the column {wrong!r} is no string")
        yield {name: plain(each, f"{where}, column {name!r}") for name, each in row.items()}


def _raw_rows(value: Any, parameter: str) -> Iterable[Any]:
    library, name = kind_of(value) or ("", "")
    if library == "pandas":
        names = list(value.columns)
        return (dict(zip(names, row)) for row in value.itertuples(index=False, name=None))
    if library == "polars":
        return iter(value.iter_rows(named=True))
    if library == "datasets":
        from gyebo.tasks.data.loading import _hub_rows

        return (row for _, row in _hub_rows(value)) if value.features else value
    if not name and type(value).__module__.partition(".")[0] in LIBRARIES:
        raise OptionError(f"‹{parameter}› is a {type(value).__name__}: give one of its tables (a DataFrame, a Dataset's split)")
    return iter(value)


def _column_names(value: Any, library: str) -> list[Any] | None:
    """The names of a table's columns; None where they are not known before it is read."""
    if library == "datasets":
        return None if value.column_names is None else list(value.column_names)
    return list(value.columns)


def _column(value: Any, kind: tuple[str, str] | None) -> Iterable[Any]:
    return value.tolist() if kind and kind[0] in ("pandas", "numpy") else value


def _missing(value: Any) -> bool:
    """None, NaN, and what pandas has for a missing value."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def plain(value: Any, where: str) -> Any:
    """A value as JSON has it; OptionError for one that it has not."""
    if _missing(value):
        return None
    if isinstance(value, str | bool | int | float):
        return value
    if type(value).__module__.partition(".")[0] == "numpy":
        return plain(value.tolist(), where)
    if isinstance(value, Mapping):
        return {str(name): plain(each, where) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(each, where) for each in value]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    raise OptionError(f"{where} holds a {type(value).__name__}, which is neither text, number nor list")


def spooled(rows: Iterable[Mapping[str, Any]], parameter: str) -> str:
    """The name of a .jsonl file of the cache with these rows, which is called by its content. OptionError for none at all, and
    for a text that is no Unicode."""
    from gyebo.data.prepare import cache_folder

    spool, digest, number = cache_folder() / "spool", hashlib.sha256(), -1
    with disk_full(spool, "free some space, or name another folder for the cache in GYEBO_CACHE"):
        make_folder(spool)
        clean(spool, older_than=LEFT_ALONE)
        part = spool / f".memory-{os.getpid()}-{id(rows):x}.part"
        try:
            with part.open("wb") as file:
                for number, row in enumerate(rows):
                    line = json.dumps(row, ensure_ascii=False) + "\n"
                    try:
                        raw = line.encode()
                    except UnicodeEncodeError as error:
                        raise OptionError(
                            f"‹{parameter}›: number {number} (from 0) has a lone surrogate, {line[error.start]!r}"
                        ) from None
                    digest.update(raw)
                    file.write(raw)
            if number < 0:
                raise OptionError(f"‹{parameter}› is empty: there is nothing to read")
            flush(part)
            path = spool / f"memory-{digest.hexdigest()[:16]}.jsonl"
            rename(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    return str(path)
