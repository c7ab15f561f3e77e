"""A batch as text: the fields of each example place by place, in columns that are aligned also for Korean.

input_ids  [CLS]  the  [MASK]  ▁sat  .  [SEP]
labels                 ▁cat
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from rich.cells import cell_len
from rich.text import Text

from gyebo.data.batches import IGNORE
from gyebo.data.streams import TARGET, Arrays, BatchField, streams_of
from gyebo.text.tokenizer import Tokenizer

SPACE = "▁"  # a space in a token, as SentencePiece writes it
GAP = 2  # cells between two places
WIDTH = 100  # cells of a line, where nobody knows better
STYLES = {"mask": "bold yellow", "sentinel": "bold magenta", "special": "dim", "": ""}  # of the tokens that a model reads


@dataclass(frozen=True)
class ShownField:
    """A field of an example along its stream. `values` [n]: None where there is nothing to predict; `words` [n]: the same as
    text, "" for None. `kinds` [n]: "mask", "sentinel" or "special" of such tokens, otherwise "". `predicted`: the values are
    labels."""

    name: str
    values: tuple[int | float | None, ...]
    words: tuple[str, ...]
    kinds: tuple[str, ...]
    predicted: bool

    @property
    def count(self) -> int:
        """Number of places that have a value."""
        return sum(value is not None for value in self.values)


@dataclass(frozen=True)
class ShownStream:
    """A stream of an example: name, number of places, and its fields. `arrays`: name of each further field -> the shape of its
    value at a place, which is no single number."""

    name: str
    length: int
    fields: tuple[ShownField, ...]
    arrays: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ShownExample:
    """An example of a batch. `texts`: what it was made from; `streams`: in the order of the objective's fields; `values`: those
    of fields without a stream."""

    texts: tuple[str, ...]
    streams: tuple[ShownStream, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Inspection:
    """Examples of the first batch of a family's objective; `learns`: what is learned, in words; `options`: the objective's, as
    they were settled. `str` gives it as plain text."""

    family: str
    learns: str
    options: str
    examples: tuple[ShownExample, ...]

    def __str__(self) -> str:
        return "\n".join(line.plain for line in lines_of(self, WIDTH))

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values: of each field its values, and its tokens as text."""
        return {
            "family": self.family,
            "learns": self.learns,
            "options": self.options,
            "examples": [_example_dict(example) for example in self.examples],
        }


def _example_dict(example: ShownExample) -> dict[str, Any]:
    streams = {
        stream.name: {
            "length": stream.length,
            "fields": {
                field.name: {"values": list(field.values), "words": list(field.words), "count": field.count}
                for field in stream.fields
            },
        }
        for stream in example.streams
    }
    return {"texts": list(example.texts), "streams": streams, **example.values}


# from arrays


def examples_of(
    batch: Arrays, fields: Sequence[BatchField], tokenizer: Tokenizer, texts: Sequence[Mapping[int, tuple[str, ...]]]
) -> Iterator[ShownExample]:
    """The documents of a batch, row by row. `texts`: of each row: number of a document -> what it was made from."""
    streams = streams_of(fields)
    for row, of_row in enumerate(texts):
        values = {field.name: batch[field.name][row].tolist() for field in fields if field.stream is None}
        for document, text in of_row.items():
            at = {stream: batch[stream.document_ids][row] == document for stream in streams}
            found = []
            for stream, here in at.items():
                own = [field for field in fields if field.stream == stream]
                side = tokenizer.target if stream == TARGET else tokenizer
                shown = tuple(_field(field, batch[field.name][row][here], side) for field in own if not field.shape)
                arrays = {field.name: field.shape for field in own if field.shape}
                found.append(ShownStream(stream.name, int(here.sum()), shown, arrays))
            yield ShownExample(text, tuple(found), values)


def _field(field: BatchField, values: NDArray[Any], tokenizer: Tokenizer) -> ShownField:
    predicted = field.fill == IGNORE
    known = [None if predicted and value == IGNORE else value for value in values.tolist()]
    ids = not field.names and (predicted or field.fill is None)
    if ids:
        words = ["" if id is None else word_of(id, tokenizer) for id in known]
        kinds = ["" if id is None else _kind(id, tokenizer) for id in known]
    else:
        words = ["" if value is None else field.names[value] if field.names else f"{value:g}" for value in known]
        kinds = [""] * len(known)
    return ShownField(field.name, tuple(known), tuple(words), tuple(kinds), predicted)


def word_of(id: int, tokenizer: Tokenizer) -> str:
    """A token as one word: a special token as its string, another one with its spaces visible, and bytes that are no whole
    character as \\xea."""
    if id in tokenizer.all_role_ids:
        return tokenizer.token(id)
    return visible(tokenizer.piece_bytes(id).decode("utf-8", errors="backslashreplace")).replace(" ", SPACE)


def visible(text: str) -> str:
    """The text on one line: what can't be printed is escaped, as a line break to \\n."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _kind(id: int, tokenizer: Tokenizer) -> str:
    if id not in tokenizer.all_role_ids:
        return ""
    if id == tokenizer.role_ids.get("mask"):
        return "mask"
    return "special" if id in tokenizer.role_ids.values() else "sentinel"


# to lines


def lines_of(inspection: Inspection, width: int) -> Iterator[Text]:
    """The inspection as lines of at most `width` cells, the original texts apart."""
    yield Text(f"{inspection.family} learns {inspection.learns}")
    if inspection.options:
        yield Text(f"options: {inspection.options}")
    for number, example in enumerate(inspection.examples, 1):
        yield Text()
        yield Text(f"example {number}", "bold").append(f": {_counts([example])}", "not bold")
        yield from _example_lines(example, width)
    yield Text()
    count = len(inspection.examples)
    yield Text(f"{count} example{'s' if count > 1 else ''}: {_counts(inspection.examples)}")


def _example_lines(example: ShownExample, width: int) -> Iterator[Text]:
    names = [field.name for stream in example.streams for field in stream.fields]
    margin = max(map(len, [*names, *example.values, "text"])) + GAP
    for text in example.texts:
        yield Text("text".ljust(margin)).append(visible(text))
    for name, value in example.values.items():
        yield Text(name.ljust(margin)).append(f"{value}")
    for number, stream in enumerate(example.streams):
        if number:
            yield Text()
        yield from _aligned(stream, margin, width)
        for name, shape in stream.arrays.items():
            yield Text(name.ljust(margin)).append(f"({' x '.join(map(str, shape))} numbers at each place, not shown)", "dim")


def _aligned(stream: ShownStream, margin: int, width: int) -> Iterator[Text]:
    """The fields of a stream, a line each, in blocks of as many places as fit, with empty lines between the blocks."""
    widths = [max(map(cell_len, words)) + GAP for words in zip(*(field.words for field in stream.fields))]
    begin, chosen = 0, _chosen(stream)
    while begin < stream.length:
        end, used = begin + 1, margin + widths[begin]
        while end < stream.length and used + widths[end] - GAP <= width:
            used += widths[end]
            end += 1
        if begin:
            yield Text()
        for field in stream.fields:
            line = Text(field.name.ljust(margin))
            for place in range(begin, end):
                word = field.words[place]
                style = "green" if field.predicted else STYLES[field.kinds[place]]
                line.append(word, f"{style} underline" if place in chosen and not field.predicted else style)
                line.append(" " * (widths[place] - cell_len(word)))
            line.rstrip()
            yield line
        begin = end


def _chosen(stream: ShownStream) -> set[int]:
    """The places that have a label, where others have none."""
    labels = [field for field in stream.fields if field.predicted and field.count < stream.length]
    return {place for field in labels for place, value in enumerate(field.values) if value is not None}


def _counts(examples: Sequence[ShownExample]) -> str:
    """How many tokens are read, and how many labels there are of each field, with their share of the places."""
    sizes: Counter[str] = Counter()
    labels: Counter[tuple[str, str]] = Counter()
    for stream in (stream for example in examples for stream in example.streams):
        sizes[stream.name] += stream.length
        labels.update({(stream.name, field.name): field.count for field in stream.fields if field.predicted})
    several = len(sizes) > 1
    read = ", ".join(f"{name} {size:,} tokens" if several else f"{size:,} tokens" for name, size in sizes.items())
    shares = (f"{field} {count:,} ({count / max(1, sizes[stream]):.0%})" for (stream, field), count in labels.items())
    return f"{read}; {', '.join(shares)}"
