"""How examples become batches: the streams of a row, their fields, and the function that lays them out.

A row may hold several sequences of different lengths: the tokens that a model reads; a source and a target; tokens and their
images. Each is a stream with its own length, in which the pieces of a row (documents, or the one example of a task) are
concatenated, and with a field that names the piece of each position.

    tokens   | a a a a b b b b b b c c - - |     document_ids         1 1 1 1 2 2 2 2 2 2 3 3 0 0
    target   | a a b b b c - |                   decoder_document_ids 1 1 2 2 2 3 0
    image    | a c - |                           image_document_ids   1 3 0

R rows, P pieces of all rows together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Stream:
    """A sequence of positions in a row. `document_ids`: the field with the piece of each position, from 1; 0 at padding.
    `counted`: whether its positions count as training tokens; words and images do not."""

    name: str
    document_ids: str
    counted: bool = True


TOKENS = Stream("tokens", "document_ids")
SOURCE = Stream("source", "document_ids")
TARGET = Stream("target", "decoder_document_ids")
WORDS = Stream("words", "word_mask", counted=False)
REGIONS = Stream("regions", "region_document_ids", counted=False)  # of the picture that belongs to a text


@dataclass(frozen=True)
class BatchField:
    """An array of a batch: [R, length of its stream, *shape], or without a stream one value per row, [R, *shape].

    `fill`: value at padding; None: the id of the padding token. `dtype`: name of a numpy type. `scored_once`: labels that are
    ignored at the context-only positions of a piece (`Plan.pieces`), which another piece scores. `names`: of its values from 0,
    where these are classes; otherwise a field that is filled with the padding token or with IGNORE holds ids of tokens.
    """

    name: str
    stream: Stream | None = TOKENS
    fill: float | None = None
    dtype: str = "int64"
    shape: tuple[int, ...] = ()
    scored_once: bool = False
    names: tuple[str, ...] = ()


def streams_of(fields: Iterable[BatchField]) -> tuple[Stream, ...]:
    """The streams of the fields, each once, in the order of the fields."""
    return tuple(dict.fromkeys(field.stream for field in fields if field.stream))


def tokens_seen(batch: Mapping[str, Any], streams: Iterable[Stream]) -> int:
    """Number of real tokens of a batch of arrays or tensors, over all streams that are `counted`."""
    return sum(int((batch[stream.document_ids] > 0).sum()) for stream in streams if stream.counted)


def document_lengths(batch: Mapping[str, Any], streams: Sequence[Stream]) -> dict[str, NDArray[np.int64]]:
    """Name of a stream -> the length in it of each document of a batch of arrays, in the same order for all streams; a document
    that is empty in one of several streams has length 0 there."""
    ids = {stream.name: batch[stream.document_ids].reshape(-1, batch[stream.document_ids].shape[-1]) for stream in streams}
    most = 1 + max(int(found.max(initial=0)) for found in ids.values())
    counts = {}
    for name, found in ids.items():
        row = np.arange(len(found))[:, None] * most
        counts[name] = np.bincount((row + found)[found > 0], minlength=len(found) * most)
    there = np.any([count > 0 for count in counts.values()], axis=0)
    return {name: count[there] for name, count in counts.items()}


@dataclass(frozen=True)
class Pieces:
    """The pieces of all rows of a batch, in the order of the rows.

    `row`, `document` [P]: the row of each piece, from 0, and its number within the row, from 1. `sizes`: name of a stream ->
    length of each piece in it [P]. `values`: name of a field -> the values of all pieces, concatenated [sum of sizes, *shape];
    for a field without a stream [R, *shape].
    """

    rows: int
    row: NDArray[np.int64]
    document: NDArray[np.int64]
    sizes: dict[str, NDArray[np.int64]]
    values: Arrays


def packed(rows: Sequence[Sequence[Arrays]], fields: Sequence[BatchField], *, one_document: bool = False) -> Pieces:
    """Rows of examples, each with one array per field, as `Pieces`. An example without the fields of a stream is empty there.

    `one_document`: all pieces of a row have the number 1. Raises ValueError where an example has a field that is not among
    `fields`, its fields of one stream differ in length, or a row has no or several values of a field without a stream.
    """
    examples = [example for row in rows for example in row]
    if unknown := set().union(*examples) - {field.name for field in fields}:
        raise ValueError(f"an example has the field {min(unknown)!r}, which its objective does not declare in `fields`")
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    row = np.repeat(np.arange(len(rows)), counts)
    document = np.arange(1, len(examples) + 1) - (counts.cumsum() - counts)[row]
    sizes: dict[str, NDArray[np.int64]] = {}
    values: Arrays = {}
    for field in fields:
        empty = np.zeros((0, *field.shape), field.dtype)
        found = [example.get(field.name, empty) for example in examples]
        if field.stream is None:
            here = np.array([field.name in example for example in examples], bool)
            if not np.array_equal(row[here], np.arange(len(rows))):
                raise ValueError(
                    f"field {field.name!r} has no stream and needs one value per row, but a row has none or several"
                )
            values[field.name] = np.stack([value for value, is_here in zip(found, here) if is_here])
            continue
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        if not np.array_equal(sizes.setdefault(field.stream.name, lengths), lengths):
            raise ValueError(f"field {field.name!r} differs in length from the other fields of stream {field.stream.name!r}")
        values[field.name] = np.concatenate([empty, *found])
    return Pieces(len(rows), row, np.ones_like(document) if one_document else document, sizes, values)


def laid_out(pieces: Pieces, fields: Sequence[BatchField], *, pad: int, lengths: Mapping[str, int] | None = None) -> Arrays:
    """The arrays of a batch: every field and, for each stream, its `document_ids`, padded at the end of each row.

    `pad`: padding of fields without a `fill`. `lengths`: name of a stream -> its length; None: that of the fullest row. Raises
    ValueError where a row has more.
    """
    out: Arrays = {}
    real: dict[str, NDArray[np.bool_]] = {}
    for stream in streams_of(fields):
        sizes = pieces.sizes[stream.name]
        filled = np.bincount(pieces.row, sizes, pieces.rows).astype(np.int64)
        most = int(filled.max(initial=0))
        length = lengths[stream.name] if lengths else most
        if most > length:
            raise ValueError(
                f"stream {stream.name!r} has {length} positions, but the pieces of a row fill {most}: plan for more"
            )
        real[stream.name] = np.arange(length) < filled[:, None]
        out[stream.document_ids] = ids = np.zeros((pieces.rows, length), np.int64)
        ids[real[stream.name]] = np.repeat(pieces.document, sizes)
    for field in fields:
        values = pieces.values[field.name]
        if field.stream is None:
            out[field.name] = values.astype(field.dtype)
            continue
        filled_at = real[field.stream.name]
        fill = pad if field.fill is None else field.fill
        out[field.name] = array = np.full((*filled_at.shape, *field.shape), fill, field.dtype)
        array[filled_at] = values
    return out
