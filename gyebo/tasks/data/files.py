"""Files of tasks as rows: the place of each row and its values. Rows are read one at a time, except from JSON files.

Tables (.csv quoted; .tsv and .txt unquoted, as most data sets are released), .jsonl, .json (a list), .parquet, blocks of
lines ("character<TAB>tag", CoNLL), and SQuAD's nested JSON. All but parquet also as .gz or .zst.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gyebo.data.sources import PACKED, open_bytes
from gyebo.tasks.task import Example, Row, look, need, text_of

csv.field_size_limit(1 << 30)  # a context may be a whole article


def form_of(path: Path) -> str:
    """The file extension without .gz or .zst and without its dot, in lower case: "tsv" for `train.TSV.gz`."""
    name = path.name.lower()
    for packed in PACKED[1:]:
        name = name.removesuffix(packed)
    return name.rpartition(".")[2] if "." in name else ""


def lines(path: Path) -> Iterator[str]:
    """The lines of a text file without their ends ("\\n" or "\\r\\n").

    Raises FileNotFoundError, and ValueError where the file is damaged or not UTF-8.
    """
    for line in _raw_lines(path):
        yield line.removesuffix("\n").removesuffix("\r")


def _raw_lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    offset = 0
    with open_bytes(path) as file:
        for raw in file:
            try:
                line = raw.decode()
            except UnicodeDecodeError as error:
                at = offset + error.start
                raise ValueError(
                    f"{path}: byte {at} (0x{raw[error.start]:02x}) is not UTF-8: convert the file to UTF-8"
                ) from None
            yield line if offset else line.removeprefix("\ufeff")
            offset += len(raw)


def table(path: Path, header: tuple[str, ...] | None = None) -> Iterator[Row]:
    """The rows of a table by column name: quoted if it is a .csv, otherwise unquoted and split at tabs.

    `header`: the names of the columns, if the file has no header. Raises ValueError for an empty file.
    """
    if form_of(path) == "csv":
        found: Iterator[list[str]] = csv.reader(_raw_lines(path), strict=True)
    else:
        found = (line.split("\t") for line in lines(path))
    names = list(header) if header else None
    number = 0
    try:
        for number, fields in enumerate(found, 1):
            if names is None:
                names = fields
            elif fields and fields != [""]:
                wrong = f"{len(fields)} fields, but there are {len(names)} columns ({', '.join(names)})"
                yield f"row {number}", dict(zip(names, fields)) if len(fields) == len(names) else wrong
    except csv.Error as error:
        raise ValueError(f"{path}: row {number + 1} is not CSV: {error}") from None
    if names is None:
        raise ValueError(f"{path}: the file is empty")


def json_lines(path: Path, lists: str | None = None) -> Iterator[Row]:
    """The objects of a .jsonl file; a line that is a list is the value of the key `lists`, if it is given."""
    for number, line in enumerate(lines(path), 1):
        if line.strip():
            try:
                values = json.loads(line)
            except json.JSONDecodeError as error:
                yield f"line {number}", f"not JSON: {error.msg}"
                continue
            if lists and isinstance(values, list):
                values = {lists: values}
            yield f"line {number}", values if isinstance(values, dict) else f"a {type(values).__name__}, not an object"


def json_list(path: Path) -> Iterator[Row]:
    """The objects of a .json file that holds a list of objects; ValueError for other files."""
    values = _json(path)
    if not isinstance(values, list):
        raise ValueError(f"{path}: holds a {type(values).__name__}, not a list of objects")
    for number, item in enumerate(values, 1):
        yield f"item {number}", item if isinstance(item, dict) else f"a {type(item).__name__}, not an object"


def squad_json(path: Path) -> Iterator[Row]:
    """The questions of a file in SQuAD's format (data, paragraphs, qas), each with its `context`."""
    values = _json(path)
    try:
        for article in values["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    where = f"question {question.get('id', question.get('guid'))}"
                    yield where, question | {"context": paragraph["context"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path}: not in SQuAD's format (data, paragraphs, context and qas), {type(error).__name__}: {error}"
        ) from None


def _json(path: Path) -> Any:
    try:
        return json.loads("".join(_raw_lines(path)))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: line {error.lineno}: {error.msg}") from None


def parquet(path: Path) -> Iterator[Row]:
    """The rows of a parquet file; needs the extra `data`."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f'{path}: reading parquet needs the extra "data": pip install "gyebo[data]"') from None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        number = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield f"row {number}", values
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path}: not a parquet file: {error}") from None


def blocks(path: Path) -> Iterator[Row]:
    """Blocks of lines between blank lines, split at tabs: {"lines": [fields, ...], "comment": fields of the last "## " line}.

    Lines are not stripped: the first field can be a space, or "#". A line with a single tab is blank too, as in KLUE.
    """
    found: list[list[str]] = []
    comment: list[str] = []
    start = 1
    for number, line in enumerate(lines(path), 1):
        if line.strip(" ") in ("", "\t"):
            if found:
                yield f"the sentence at line {start}", {"lines": found, "comment": comment}
            found, comment = [], []
        elif line.startswith("## ") and not found:
            comment = line.removeprefix("## ").split("\t")
        else:
            start = start if found else number
            found.append(line.split("\t"))
    if found:
        yield f"the sentence at line {start}", {"lines": found, "comment": comment}


def any_rows(path: Path) -> Iterator[Row]:
    """The rows of a file of any format, by its extension; ValueError for an unknown extension."""
    forms: dict[str, Callable[[Path], Iterator[Row]]] = {
        "csv": table, "tsv": table, "txt": table, "jsonl": json_lines, "json": json_list, "parquet": parquet,
    }  # fmt: skip
    form = form_of(path)
    if form == "parquet" and path.suffix.lower() != ".parquet":
        raise ValueError(f"{path}: parquet files are compressed already: decompress the {path.suffix} first")
    if form not in forms:
        raise ValueError(f"{path}: not one of {', '.join('.' + f for f in forms)} (also .gz, .zst)")
    return forms[form](path)


class Spans:
    """Reads questions with the positions of their answers: the context, the question, and the answers in one of these forms.

    [{"text": ..., "answer_start": ...}, ...] (SQuAD), {"text": [...], "answer_start": [...]} (the hub's SQuAD), or the text
    of one answer, with its position in the column `start`, or without if it occurs in the context exactly once.
    """

    def __init__(self, context: str, question: str, answers: str, start: str = "answer_start") -> None:
        self.context, self.question, self.answers, self.start = context, question, answers, start

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of the row. Raises `MissingColumn`, and ValueError for an answer that is not at its position."""
        context = text_of(values, (self.context,))
        identity = look(values, ("id", "guid"))
        found = need(values, (self.answers,)) if labelled else look(values, (self.answers,))
        answers = () if look(values, ("is_impossible",)) else tuple(self._answers(found, values, context))
        name = where if identity is None else str(identity)
        yield Example(id=name, text=context, pair=text_of(values, (self.question,)), answers=answers)

    def _answers(self, found: Any, values: dict[str, Any], context: str) -> Iterator[tuple[int, str]]:
        if found is None or found == "":
            return
        if isinstance(found, str):
            yield _place(context, found, look(values, (self.start,)))
        elif isinstance(found, dict):
            texts, starts = found.get("text"), found.get("answer_start")
            if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
                raise ValueError(f'{self.answers} needs two lists of equal length, "text" and "answer_start"')
            for text, start in zip(texts, starts):
                yield _place(context, text, start)
        elif isinstance(found, list) and all(isinstance(answer, dict) and "text" in answer for answer in found):
            for answer in found:
                yield _place(context, answer["text"], answer.get("answer_start"))
        else:
            raise ValueError(f'{self.answers} is neither a text nor answers with "text" and "answer_start"')


def _place(context: str, text: Any, start: Any) -> tuple[int, str]:
    """(start, text) of an answer; ValueError where the context does not have it there."""
    if not isinstance(text, str) or not text:
        raise ValueError(f"the answer {text!r} is not a text")
    if start is None or start == "":
        count = context.count(text)
        if count != 1:
            raise ValueError(f"the answer {text!r} occurs {count} times in the context: say where it starts (answer_start)")
        return context.index(text), text
    try:
        at = int(start)
    except (TypeError, ValueError):
        raise ValueError(f"answer_start is {start!r}, not a number") from None
    if at < 0 or context[at : at + len(text)] != text:
        there = f"there is {context[at : at + len(text)]!r}" if 0 <= at < len(context) else f"of {len(context)}"
        raise ValueError(f"the answer {text!r} is not at character {at} of the context, {there}")
    return at, text


def question_rows(path: Path) -> Iterator[Row]:
    """SQuAD's nested JSON if a .json file starts with an object, otherwise any format."""
    if form_of(path) == "json":
        first = next((line.strip() for line in lines(path) if line.strip()), "")
        if first.startswith("{"):
            return squad_json(path)
    return any_rows(path)
