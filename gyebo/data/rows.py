"""Files as rows, for corpora and labelled files alike: the place of each row and its values. Rows are read one at a time.

Tables (.csv quoted; .tsv and .txt unquoted, as most data sets are released), .jsonl and .json (a list; `json_rows.py`), and
.parquet. All but parquet also as .gz, .xz or .zst.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gyebo.data.encoding import UTF8, Reading, text_lines
from gyebo.data.json_rows import LONGEST_ROW, Row, json_lines, json_list
from gyebo.data.opening import PACKED
from gyebo.data.values import available, plain, shortened

BATCH_ROWS = 1024  # of a parquet file that are in memory together

csv.field_size_limit(LONGEST_ROW)


def form_of(path: Path) -> str:
    """The file extension without .gz, .xz or .zst and without its dot, in lower case: "tsv" for `train.TSV.gz`."""
    name = path.name.lower()
    for packed in PACKED[1:]:
        name = name.removesuffix(packed)
    return name.rpartition(".")[2] if "." in name else ""


def lines(path: Path, reading: Reading = UTF8) -> Iterator[str]:
    """The lines of a text file without their ends ("\\n", or "\\n" after "\\r").

    Raises FileNotFoundError, and ValueError where the file is damaged or not in its encoding.
    """
    for line in text_lines(path, reading):
        yield line.rstrip("\r\n")


# ---- tables


def table(path: Path, reading: Reading = UTF8, header: tuple[str, ...] | None = None) -> Iterator[Row]:
    """The rows of a table by column name: quoted if it is a .csv, otherwise unquoted and split at tabs.

    `header`: the names of the columns, if the file has no header. Raises ValueError for an empty file, and where quotes do not
    fit, which would put rows into the fields of others.
    """
    quoted = form_of(path) == "csv"
    names = list(header) if header else None
    for number, fields in enumerate(_csv(path, reading) if quoted else _tabbed(path, reading), 1):
        if names is None:
            names = _header(fields, path, quoted)
        elif fields and fields != [""]:
            wrong = f"{len(fields)} fields, but there are {len(names)} columns ({available(names)})"
            yield f"row {number}", dict(zip(names, fields)) if len(fields) == len(names) else wrong
    if names is None:
        raise ValueError(f"{path}: the file is empty")


def _tabbed(path: Path, reading: Reading) -> Iterator[list[str]]:
    for line in _short(path, reading):
        yield line.rstrip("\r\n").split("\t")


def _short(path: Path, reading: Reading) -> Iterator[str]:
    return text_lines(path, reading, LONGEST_ROW)


def _header(fields: list[str], path: Path, quoted: bool) -> list[str]:
    """The names of columns. ValueError for two that are equal, and for separators that are not those of the file."""
    names = [plain(field) for field in fields]
    if "\r" in "".join(fields):
        raise ValueError(f"{path}: its lines end in carriage returns alone, as on old Macs: save it with other ends of lines")
    if quoted and len(names) == 1 and (other := next((sign for sign in ";\t|" if sign in names[0]), "")):
        called = {";": "semicolons", "\t": "tabs", "|": "bars (|)"}[other]
        instead = "name it .tsv" if other == "\t" else "save it as CSV with commas"
        raise ValueError(f"{path}: its fields are separated by {called}, but those of a .csv by commas: {instead}")
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise ValueError(f"{path}: two columns are called {shortened(twice, 60)!r}: rename one")
    return names


_RETURN = "\udc0d"  # stands for a carriage return that ends no line; no text that was decoded has it


def _csv(path: Path, reading: Reading) -> Iterator[list[str]]:
    """The rows of a .csv, quotes doubled within quotes (RFC 4180)."""
    lines = (_hidden(line) if "\r" in line else line for line in _short(path, reading))
    kept = csv.reader(lines, strict=True)
    number = 0
    while True:
        number, begins = number + 1, kept.line_num + 1
        try:
            fields = next(kept, None)
        except csv.Error as error:
            raise ValueError(f"{path}: row {number} is not CSV (it begins at line {begins}): {_why(error)}") from None
        if fields is None:
            return
        yield [field.replace(_RETURN, "\r") if _RETURN in field else field for field in fields]


def _hidden(line: str) -> str:
    """A line in which carriage returns within fields are hidden from the module csv, which refuses them."""
    body = line.rstrip("\r\n")
    return body.replace("\r", _RETURN) + ("\r\n" if line.endswith("\r\n") else line[len(body) :])


def _why(error: csv.Error) -> str:
    said = str(error)
    if "unexpected end of data" in said or "field larger than" in said:
        return "a quote that is opened in it is not closed"
    if "expected after" in said:
        return 'text follows a quote that ends its field; within quotes, a quote is written twice (""), not as \\"'
    return said


# ---- parquet


def parquet_file(path: Path) -> Any:
    """A parquet file, open; ValueError where it is none, or can't be read here. Its columns are read page by page."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f'{path}: reading parquet needs the extra "data": pip install "gyebo[data]"') from None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a parquet file, or cut: {_first_line(error)}") from None


def parquet(path: Path, reading: Reading = UTF8, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a parquet file, with these columns or all; needs the extra `data`. Its text has no other encoding."""
    import pyarrow

    number = 0
    with parquet_file(path) as file:
        try:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                for values in batch.to_pylist():
                    number += 1
                    yield f"row {number}", values
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: damaged after row {number}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


# ---- any of them


FORMS: dict[str, Callable[[Path, Reading], Iterator[Row]]] = {
    "csv": table, "tsv": table, "txt": table, "jsonl": json_lines, "json": json_list, "parquet": parquet,
}  # fmt: skip


_INSTEAD = {
    ("xlsx", "xls", "ods", "numbers"): "save the spreadsheet as CSV UTF-8",
    ("zip", "7z", "rar"): "unpack it, and name the folder or the files",
    ("docx", "doc", "hwp", "hwpx", "pdf"): "save its text as .txt",
    ("bz2",): "decompress it",
}


def instead_of(path: Path) -> str:
    """What to do with a file of no known format."""
    form = path.suffix.lower().removeprefix(".")
    return next((advice for forms, advice in _INSTEAD.items() if form in forms), "rename it, or convert it to .txt or .jsonl")


def any_rows(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """The rows of a file of any format, by its extension; ValueError for an unknown extension."""
    form = form_of(path)
    if form == "parquet" and path.suffix.lower() != ".parquet":
        raise ValueError(f"{path}: parquet files are compressed already: decompress the {path.suffix} first")
    if form not in FORMS:
        forms = ", ".join(f".{name}" for name in FORMS)
        raise ValueError(f"{path}: not one of {forms} (also {', '.join(PACKED[1:])}): {instead_of(path)}")
    return FORMS[form](path, reading)
