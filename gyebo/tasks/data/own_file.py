"""Tasks on a user's own file: classification, regression, pair, tagging, spans and choice, without writing any code.

.csv (quoted), .tsv and .txt (unquoted, with a header), .jsonl, .json (a list) and .parquet; tagging also CoNLL's lines of
a word and its tag, spans also SQuAD's .json; each but parquet also .gz or .zst.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.tasks.data.files import Spans, any_rows, blocks, form_of, lines, squad_json
from gyebo.tasks.data.parallel import translation_task
from gyebo.tasks.data.world import span_tags
from gyebo.tasks.task import Columns, Example, Row, Task, look, need, number, text_of

USER_KINDS = ("classification", "regression", "pair", "tagging", "spans", "choice", "translation")
_LINES = ("conll", "iob", "bio", "txt")  # endings of files that hold a word and its tag a line


@dataclass(frozen=True)
class _Defaults:
    """What a kind calls its columns unless told, how it is scored, and how long its texts may be."""

    text: str
    pair: str | None
    label: str
    metrics: tuple[str, ...]
    max_length: int = 128


_DEFAULTS = {
    "classification": _Defaults("text", None, "label", ("macro_f1", "accuracy")),
    "regression": _Defaults("text", None, "label", ("pearson", "spearman")),
    "pair": _Defaults("text", "pair", "label", ("macro_f1", "accuracy")),
    "tagging": _Defaults("text", None, "spans", ("entity_f1", "entity_macro_f1"), 256),
    "spans": _Defaults("context", "question", "answers", ("answer_f1", "exact_match"), 384),
    "choice": _Defaults("text", "options", "label", ("accuracy",)),
}


def user_task(kind: str, text: str | None = None, pair: str | None = None, label: str | None = None) -> Task:
    """The task of a kind of `USER_KINDS` on a user's own files; `text`, `pair` and `label` name their columns.

    Defaults: text, label; pair: text, pair, label; tagging: text, spans; spans: context, question, answers; choice: text,
    options, label. `pair` with classification or regression makes it a task of two texts. choice: `pair` names one column
    with a list, or several, "a,b,c,d"; its label is the number of the right option, from 0, or the option itself.
    translation: `text` and `label` name the languages: columns, or the endings of two aligned files; there is no default.
    Raises ValueError for an unknown kind, and where `pair` has no effect.
    """
    if kind == "translation":
        return _translation(text, pair, label)
    if kind not in _DEFAULTS:
        raise ValueError(f"unknown kind of task {kind!r}; there is: {', '.join(USER_KINDS)}")
    defaults = _DEFAULTS[kind]
    if pair and kind == "tagging":
        raise ValueError("tagging has one text: leave the second column out")
    rows: Callable[[Path], Iterator[Row]] = any_rows
    convert: Callable[[dict[str, Any], str, bool], Iterable[Example]]
    columns = text or defaults.text, pair or defaults.pair, label or defaults.label
    if kind == "tagging":
        rows, convert = tagged_rows, _Tagged(columns[0], columns[2])
    elif kind == "spans":
        rows, convert = question_rows, Spans(columns[0], columns[1] or "", columns[2])
    elif kind == "choice":
        convert = _Choice(columns[0], columns[1] or "", columns[2])
    else:
        convert = Columns(columns[0], columns[1] or (), columns[2], number=kind == "regression")
    return Task(
        name=kind,
        title=f"{kind} on your own data",
        kind="classification" if kind == "pair" else kind,
        labels=None,
        metrics=defaults.metrics,
        score=defaults.metrics[0],
        rows=rows,
        convert=convert,
        max_length=defaults.max_length,
    )


def _translation(source: str | None, pair: str | None, target: str | None) -> Task:
    if pair is not None:
        raise ValueError("--pair has no effect on translation: leave it out")
    if source is None or target is None:
        missing = "--text (the source)" if source is None else "--label (the target)"
        raise ValueError(f"translation needs the names of both languages, as in --text en --label de; missing: {missing}")
    return translation_task(source, target)


# formats --------------------------------------------------------------------------------------------------------------


def tagged_rows(path: Path) -> Iterator[Row]:
    """Blocks of a word and its tag, for .conll, .iob, .bio, .txt and .tsv whose first line is no header; else any form."""
    if form_of(path) in _LINES or (form_of(path) == "tsv" and _is_blocks(path)):
        return blocks(path)
    return any_rows(path)


def _is_blocks(path: Path) -> bool:
    """Whether the first line that is no comment ends with a tag."""
    first = next((line for line in lines(path) if line.strip() and not line.startswith("## ")), None)
    return first is not None and _as_bio(_fields(first.split("\t"))[-1:]) is not None


def question_rows(path: Path) -> Iterator[Row]:
    """SQuAD's nested JSON for .json that begins as an object, else any form."""
    if form_of(path) == "json":
        first = next((line.strip() for line in lines(path) if line.strip()), "")
        if first.startswith("{"):
            return squad_json(path)
    return any_rows(path)


class _Tagged:
    """Reads a text with spans [[start, end, type], ...], or {"start", "end", "type" or "label"}, or a block of tagged words."""

    def __init__(self, text: str, spans: str) -> None:
        self.text, self.spans = text, spans

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        if "lines" in values:
            yield from self._words(values, where)
            return
        text = text_of(values, (self.text,))
        found = need(values, (self.spans,)) if labelled else look(values, (self.spans,))
        if isinstance(found, str):  # in a table
            try:
                found = json.loads(found)
            except json.JSONDecodeError:
                found = [found]
        identity = look(values, ("id", "guid"))
        tags = span_tags(len(text), tuple(self._span(span) for span in found or ())) if found is not None else ()
        if labelled and found is None:
            raise ValueError(f"{self.spans} is empty; a text without any has []")
        yield Example(id=where if identity is None else str(identity), text=text, tags=tags)

    def _span(self, span: Any) -> tuple[int, int, str]:
        if isinstance(span, dict):
            span = [span.get("start"), span.get("end"), span.get("type", span.get("label"))]
        if not (isinstance(span, list | tuple) and len(span) == 3 and isinstance(span[2], str) and span[2]):
            raise ValueError(f"{self.spans} has {span!r}, not [start, end, type]")
        if not all(isinstance(place, int) and not isinstance(place, bool) for place in span[:2]):
            raise ValueError(f"{self.spans} has {span!r}: start and end are numbers of characters")
        return span[0], span[1], span[2]

    def _words(self, values: dict[str, Any], where: str) -> Iterator[Example]:
        fields = [_fields(line) for line in values["lines"]]
        if fields[0][:1] == ["-DOCSTART-"]:
            return
        if wrong := next((line for line in fields if len(line) < 2 or not line[0]), None):
            raise ValueError(f"{' '.join(wrong)!r} is not a word and its tag")
        tags = _as_bio([line[-1] for line in fields])
        if tags is None:
            raise ValueError(f"the tags {' '.join(line[-1] for line in fields)!r} are not B-TYPE, I-TYPE or O")
        words = [line[0] for line in fields]
        # A column of single characters, spaces among them, is a text cut up; else words stand apart.
        apart = any(len(word) > 1 for word in words)
        pieces: list[str] = []
        marks: list[str] = []
        for word, tag in zip(words, tags):
            inside = f"I-{tag[2:]}" if tag != "O" else "O"
            if pieces and apart:
                pieces.append(" ")
                marks.append(tag if tag.startswith("I-") else "O")
            pieces.append(word)
            marks += [tag, *[inside] * (len(word) - 1)]
        comment = values["comment"]
        yield Example(id=comment[0] if comment else where, text="".join(pieces), tags=tuple(marks))


def _fields(line: list[str]) -> list[str]:
    """The fields of a line, which stand apart by tabs or, where there is none, by spaces."""
    return line if len(line) > 1 else line[0].split()


def _as_bio(tags: Sequence[str]) -> list[str] | None:
    """Tags in BIO (IOB2), from BIO, IOB1 (B- only between two neighbours of one type) or BIOES; None for anything else."""
    found: list[str] = []
    before = "O"
    for tag in tags:
        begin, dash, kind = tag.partition("-")
        if tag == "O":
            found.append(tag)
        elif dash and kind and begin in ("B", "I", "E", "S"):
            goes_on = begin in ("I", "E") and before[2:] == kind
            found.append(f"{'I' if goes_on else 'B'}-{kind}")
        else:
            return None
        before = found[-1]
    return found


class _Choice:
    """Reads a prompt, its options (a column with a list, or one column each) and which one is right."""

    def __init__(self, text: str, options: str, label: str) -> None:
        self.text, self.options, self.label = text, options.split(","), label

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        if len(self.options) == 1:
            found = need(values, (self.options[0],))
            if not isinstance(found, list) or not all(isinstance(option, str) for option in found):
                raise ValueError(f"{self.options[0]} is not a list of texts; name its columns as one,two,three")
        else:
            found = [text_of(values, (name,)) for name in self.options]
        if len(found) < 2:
            raise ValueError(f"{len(found)} option is no choice")
        label = need(values, (self.label,)) if labelled else look(values, (self.label,))
        if labelled and (label is None or label == ""):
            raise ValueError(f"{self.label} is empty")
        identity = look(values, ("id", "guid"))
        yield Example(
            id=where if identity is None else str(identity),
            text=text_of(values, (self.text,)),
            options=tuple(found),
            label=None if label is None or label == "" else self._right(label, found),
        )

    def _right(self, label: Any, options: list[str]) -> int:
        if isinstance(label, str) and options.count(label) == 1:
            return options.index(label)
        try:
            at = number(label, self.label)
        except ValueError:
            raise ValueError(f"{self.label} is {label!r}, none of the {len(options)} options and no number of one") from None
        if at != int(at) or not 0 <= at < len(options):
            raise ValueError(f"{self.label} is {label!r}, but options are numbered 0 to {len(options) - 1}")
        return int(at)


# one file, several splits ---------------------------------------------------------------------------------------------


# what to know before training -----------------------------------------------------------------------------------------
