"""Tagged texts in a user's own files: spans or lists of words and tags in columns, or CoNLL's lines of a word and its tag."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gyebo.data.encoding import UTF8, Reading
from gyebo.data.json_rows import is_blank
from gyebo.data.rows import any_rows, form_of, lines
from gyebo.tasks.data.files import blocks
from gyebo.tasks.data.world import span_tags
from gyebo.tasks.task import Example, Row, class_name, look, need, text_of

_WORDS, _TAGS = ("tokens",), ("ner_tags", "tags")  # columns of lists, as data sets of the hub have them
_LINES = ("conll", "iob", "bio", "txt")  # extensions of files with a word and its tag per line


def tagged_rows(path: Path, reading: Reading = UTF8) -> Iterator[Row]:
    """Blocks of words with tags, for .conll, .iob, .bio, .txt and .tsv without a header; otherwise any format."""
    if form_of(path) in _LINES or (form_of(path) == "tsv" and _is_blocks(path, reading)):
        return blocks(path, reading)
    rows = any_rows(path, reading)
    return _named(rows, names) if form_of(path) == "parquet" and (names := _tag_names(path)) else rows


def _tag_names(path: Path) -> dict[str, list[str]]:
    """The names of numbered tags by column, as the library `datasets` writes them into a parquet file."""
    try:
        import pyarrow.parquet

        features = json.loads(pyarrow.parquet.read_schema(path).metadata[b"huggingface"])["info"]["features"]
        return {column: names for column, kind in features.items() if (names := _names_in(kind))}
    except (ImportError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # none are stored; what is wrong with the file says who reads its rows


def _names_in(feature: Any) -> list[str] | None:
    inner = feature.get("feature")
    names = inner.get("names") if isinstance(inner, dict) else None
    return names if isinstance(names, list) else None


def _named(rows: Iterator[Row], names: dict[str, list[str]]) -> Iterator[Row]:
    """Rows with names in the place of numbers."""
    for where, values in rows:
        if isinstance(values, dict):
            known = {column: values[column] for column in names if isinstance(values.get(column), list)}
            values = values | {column: [_name(tag, names[column]) for tag in tags] for column, tags in known.items()}
        yield where, values


def _name(tag: Any, names: list[str]) -> Any:
    return names[tag] if isinstance(tag, int) and 0 <= tag < len(names) else tag


def _is_blocks(path: Path, reading: Reading) -> bool:
    """Whether the first line other than a comment ends with a tag."""
    first = next((line for line in lines(path, reading) if not is_blank(line) and not line.startswith("## ")), None)
    return first is not None and _as_bio(_fields(first.split("\t"))[-1:]) is not None


class TaggedText:
    """Reads a text with spans [[start, end, type], ...], or {"start", "end", "type" or "label"}, or a block of tagged words.

    Words may also be a list in the column of the text, or in `tokens`, with as many tags in that of the spans, or in `ner_tags`
    or `tags`.
    """

    def __init__(self, text: str, spans: str) -> None:
        self.text, self.spans = text, spans

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of the row. Raises `MissingColumn`, and ValueError for invalid spans or tags."""
        if "lines" in values:
            yield from self._words(values, where)
            return
        words = look(values, (self.text, *_WORDS))
        if isinstance(words, list):
            yield from self._listed(words, values, where, labelled)
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
            raise ValueError(f"{self.spans} is empty; a text without spans has []")
        yield Example(id=where if identity is None else str(identity), text=text, tags=tags)

    def _listed(self, words: list[Any], values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of a list of words with a list of tags."""
        if not words or not all(isinstance(word, str) and word for word in words):
            raise ValueError(f"the words must be texts in a list, but are {words!r}")
        found = need(values, (self.spans, *_TAGS)) if labelled else look(values, (self.spans, *_TAGS))
        tags = ["O"] * len(words) if found is None and not labelled else found
        if not isinstance(tags, list) or len(tags) != len(words):
            raise ValueError(f"{len(words)} words need as many tags in a list, but there are {tags!r}")
        if number := next((tag for tag in tags if not isinstance(tag, str)), None):
            raise ValueError(f"the tag {number!r} has no name: give the names, as B-PER, in the place of numbers")
        identity = look(values, ("id", "guid"))
        lines = [[word, tag] for word, tag in zip(words, tags)]
        block = {"lines": lines, "comment": [] if identity is None else [str(identity)]}
        for example in self._words(block, where):
            yield example if found is not None else replace(example, tags=())

    def _span(self, span: Any) -> tuple[int, int, str]:
        if isinstance(span, dict):
            span = [span.get("start"), span.get("end"), span.get("type", span.get("label"))]
        if not (isinstance(span, list | tuple) and len(span) == 3 and isinstance(span[2], str) and span[2]):
            raise ValueError(f"{self.spans} has {span!r}, not [start, end, type]")
        if not all(isinstance(place, int) and not isinstance(place, bool) for place in span[:2]):
            raise ValueError(f"{self.spans} has {span!r}: start and end are numbers of characters")
        return span[0], span[1], class_name(span[2])

    def _words(self, values: dict[str, Any], where: str) -> Iterator[Example]:
        fields = [found for line in values["lines"] if (found := _fields(line))[:1] != ["-DOCSTART-"]]
        if not fields:
            return
        if wrong := next((line for line in fields if len(line) < 2 or not line[0]), None):
            raise ValueError(f"{' '.join(wrong)!r} is not a word and its tag")
        tags = _as_bio([line[-1] for line in fields])
        if tags is None:
            raise ValueError(f"the tags {' '.join(line[-1] for line in fields)!r} are not B-TYPE, I-TYPE or O")
        words = [line[0] for line in fields]
        # Lines of single characters are a text with its spaces; words are separated by spaces.
        separate = any(len(word) > 1 for word in words)
        parts: list[str] = []
        character_tags: list[str] = []
        for word, tag in zip(words, tags):
            inside = f"I-{tag[2:]}" if tag != "O" else "O"
            if parts and separate:
                parts.append(" ")
                character_tags.append(tag if tag.startswith("I-") else "O")
            parts.append(word)
            character_tags += [tag, *[inside] * (len(word) - 1)]
        comment = values["comment"]
        yield Example(id=comment[0] if comment else where, text="".join(parts), tags=tuple(character_tags))


def _fields(line: list[str]) -> list[str]:
    """The fields of a line, separated by tabs or, if there is none, by spaces; the last one, the tag, is as it is compared."""
    while len(line) > 1 and is_blank(line[-1]):  # a tab at the end
        line = line[:-1]
    found = line if len(line) > 1 else line[0].split()
    return [*found[:-1], class_name(found[-1])] if len(found) > 1 else found


def _as_bio(tags: Sequence[str]) -> list[str] | None:
    """Tags in BIO (IOB2), from BIO, IOB1 (B- only between two neighbours of one type) or BIOES; None for anything else."""
    found: list[str] = []
    before = "O"
    for tag in tags:
        begin, dash, kind = tag.partition("-")
        if tag == "O":
            found.append(tag)
        elif dash and kind and begin in ("B", "I", "E", "S"):
            continues = begin in ("I", "E") and before[2:] == kind
            found.append(f"{'I' if continues else 'B'}-{kind}")
        else:
            return None
        before = found[-1]
    return found
