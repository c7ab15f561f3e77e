"""Files of tasks that are no plain tables: blocks of lines ("character<TAB>tag", CoNLL), SQuAD's nested JSON, and answers as
spans. Tables and the like are read by `gyebo/data/rows.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gyebo.data.encoding import UTF8, Reading
from gyebo.data.json_rows import Row, begins_with, is_blank, json_value
from gyebo.data.rows import any_rows, form_of, lines
from gyebo.tasks.task import Example, look, need, text_of


def squad_json(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """The questions of a file in SQuAD's format (data, paragraphs, qas), each with its `context`."""
    values = json_value(path, reading)
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


def blocks(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """Blocks of lines between blank lines, split at tabs: {"lines": [fields, ...], "comment": fields of the last "## " line}.

    Lines are not stripped: the first field can be a space, or "#". A line of white space alone is blank too.
    """
    found: list[list[str]] = []
    comment: list[str] = []
    start = 1
    for number, line in enumerate(lines(path, reading), 1):
        if is_blank(line):
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


def question_rows(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """SQuAD's nested JSON if a .json file starts with an object, otherwise any format."""
    if form_of(path) == "json" and begins_with(path, reading) == "{":
        return squad_json(path, reading)
    return any_rows(path, reading)
