"""Input formats: how documents become the pieces of a plan, one function per format.

    continuous        [start] tokens [end] as one sequence, each position predicting the next (causal models)
    doc-sentences     whole documents; a longer one is cut between sentences            } the four of RoBERTa
    full-sentences    sentences of one document after the other until the row is full   } (Liu et al. 2019, section 4.2);
    segment-pair      spans of sentences, to be divided into two segments               } segment-pair is BERT's
    sentence-pair     two sentences                                                     }

A piece is a span of a document; the objective adds special tokens, divides it, or samples a random second segment. Tokens of a
document are counted from 0. `starts`: a function of ids [n] -> [n], True where a sentence starts. `special`: number of special
tokens that an example has besides its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data.plan import FIRST, ROOM, SEEN, SIZE, Plan, pack
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Stream

Starts = Callable[[NDArray[Any]], NDArray[np.bool_]]
SHORT_SHARE = (
    0.1  # share of segment pairs made for a shorter row, so that the model sees short inputs (Devlin et al. 2019, A.2)
)
LONG_SENTENCE = 0.95  # quantile of sentence lengths at which the sentences of a pair are truncated


def continuous(split: Split, context: int, extra: int, seed: int) -> Plan:
    """Every position of [start] + tokens + [end] once; `extra`: number of positions of a document besides its tokens."""
    return pack(windows(split, context, extra), context, np.random.default_rng([seed, 1]))


def overlapping(split: Split, context: int, extra: int) -> Plan:
    """Every position scored once: documents longer than the context are read in windows that overlap by half, and a window
    scores only positions that no window before it has scored."""
    return pack(windows(split, context, extra, stride=context // 2), context, np.random.default_rng(0))


def windows(split: Split, context: int, extra: int, stride: int | None = None) -> NDArray[np.int64]:
    """Pieces of at most `context` positions, not yet packed: of each document a window every `stride` positions."""
    lengths = np.maximum(split.documents["tokens"].astype(np.int64) + extra, 0)
    stride = stride or context
    counts = 1 + np.maximum(0, -(-(lengths - context) // stride))  # windows per document
    documents = np.repeat(np.arange(len(lengths)), counts)
    order = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)  # the window's number in its document
    starts = order * stride
    sizes = np.minimum(context, lengths[documents] - starts)
    seen = np.where(order > 0, context - stride, 0)
    return np.stack([documents, starts, sizes, seen, sizes], 1)


def texts(split: Split, most: int, fewest: int) -> NDArray[np.int64]:
    """Pieces of at most `most` tokens, not yet packed: every document, cut where it is longer. What is left of one with fewer
    than `fewest` tokens is left out. ValueError where nothing is left."""
    pieces = windows(split, most, 0)
    pieces = pieces[pieces[:, SIZE] >= fewest]
    if not len(pieces):
        raise ValueError(f"no text of the {split.name} part has {fewest} tokens, so nothing can be learned from it")
    return pieces


def doc_sentences(
    split: Split,
    context: int,
    *,
    special: int,
    starts: Starts,
    seed: int,
    streams: tuple[Stream, ...] = (TOKENS,),
    lengths: Mapping[str, int] | None = None,
) -> Plan:
    """Whole documents; longer ones than a row are cut between sentences. With several `streams`, which have `lengths` by name,
    a document has as many places in each."""
    room = _room(context, special)
    sizes = split.documents["tokens"].astype(np.int64)
    short = np.flatnonzero((sizes > 0) & (sizes <= room))
    pieces = [np.stack([short, np.zeros_like(short), sizes[short]], 1)]
    for document in np.flatnonzero(sizes > room):
        begins = np.flatnonzero(starts(split.read(int(document), 0, int(sizes[document]))))
        cuts = [0, *_cuts(begins, int(sizes[document]), room)]
        pieces.append(np.array([[document, a, b - a] for a, b in pairwise(cuts)]))
    table = _with_room(np.concatenate(pieces), special)
    table = np.column_stack([table, *[table[:, ROOM]] * (len(streams) - 1)])
    return pack(table, context, np.random.default_rng([seed, 1]), streams, lengths)


def full_sentences(split: Split, context: int, starts: Starts) -> Plan:
    """Rows of sentences in the order of the corpus: a special token, then the part of each document, each followed by one."""
    pieces: list[tuple[int, int, int]] = []
    bounds, left = [0], _room(context, 2) + 1
    lengths = split.documents["tokens"].astype(np.int64).tolist()
    for document, length in enumerate(lengths):
        first = 0
        while first < length:
            rest = length - first
            if rest + 1 > left:
                begins = np.flatnonzero(starts(split.read(document, 0, length))) - first
                rest = _before(begins, left - 1, empty=len(pieces) == bounds[-1])
            if rest:
                pieces.append((document, first, rest))
                first, left = first + rest, left - rest - 1
            if first < length or left < 2:
                bounds.append(len(pieces))
                left = context - 1
    rows = np.array([*bounds, len(pieces)] if bounds[-1] < len(pieces) else bounds)
    table = _with_room(np.array(pieces, np.int64).reshape(-1, 3), 1)
    table[rows[:-1], ROOM] += 1  # the special token at the start of the row
    return Plan(context, table, rows)


def segment_pair(split: Split, context: int, *, special: int, starts: Starts, seed: int) -> Plan:
    """Spans of whole sentences that fill a row, or in SHORT_SHARE of cases a part of it. A span of one sentence has no second
    segment of its own, so it gets room for a random one up to the same target."""
    rng = np.random.default_rng([seed, 1])
    full = _room(context, special)
    pieces: list[tuple[int, int, int, int]] = []
    for document, length, begins in _documents(split, starts):
        target = full if rng.random() >= SHORT_SHARE else int(rng.integers(2, full + 1))
        cuts = [0, *_cuts(begins, length, target)]
        for a, b in pairwise(cuts):
            inside = np.searchsorted(begins, b) - np.searchsorted(begins, a, "right")
            pieces.append((document, a, b - a, special + (b - a if inside else target)))
    table = np.array(pieces, np.int64).reshape(-1, 4)
    return pack(np.insert(table, SEEN, 0, axis=1), context, rng)


def sentence_pair(split: Split, context: int, *, special: int, starts: Starts, seed: int) -> Plan:
    """Two consecutive sentences, or the single last one of a document; long sentences are truncated."""
    sizes = np.concatenate([np.diff([*begins, length]) for _, length, begins in _documents(split, starts)])
    room = _room(context, special)
    most = max(1, min(room // 2, int(np.quantile(sizes, LONG_SENTENCE))))
    pieces = []
    for document, length, begins in _documents(split, starts):
        cuts = [*begins.tolist(), length]
        for number in range(0, len(begins), 2):
            a, b = cuts[number], cuts[min(number + 2, len(begins))]
            pieces.append((document, a, b - a, 0, special + min(most, cuts[number + 1] - a) + most))
    return pack(np.array(pieces, np.int64).reshape(-1, 5), context, np.random.default_rng([seed, 1]))


def share_of_several_sentences(split: Split, starts: Starts, most: int = 2000) -> float:
    """The share of documents with at least two sentences, among the first `most`."""
    counts = [len(begins) for (_, _, begins), _ in zip(_documents(split, starts), range(most))]
    return float(np.mean(np.array(counts) > 1)) if counts else 0.0


def _documents(split: Split, starts: Starts) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """(number, tokens, sentence starts) of each document with tokens."""
    for document, length in enumerate(split.documents["tokens"].tolist()):
        if length:
            yield document, length, np.flatnonzero(starts(split.read(document, 0, length)))


def _room(context: int, special: int) -> int:
    if context <= special:
        raise OptionError(f"‹context›={context} leaves no room for text besides the {special} special tokens: increase it")
    return context - special


def _cuts(begins: NDArray[np.int64], length: int, room: int) -> list[int]:
    """Where to cut a document into spans of at most `room` tokens: between sentences, within one only if it is longer."""
    cuts, at = [], 0
    while length - at > room:
        at += _before(begins - at, room, empty=True)
        cuts.append(at)
    return [*cuts, length]


def _before(begins: NDArray[np.int64], room: int, *, empty: bool) -> int:
    """The last sentence start after 0 and up to `room`; without one, `room` itself if the row is empty, otherwise 0."""
    last = int(np.searchsorted(begins, room, "right")) - 1
    found = int(begins[last]) if last >= 0 else 0
    return found if found > 0 else room if empty else 0


def _with_room(pieces: NDArray[np.int64], special: int) -> NDArray[np.int64]:
    """Pieces (document, first, size) with nothing seen and room for their special tokens."""
    none = np.zeros(len(pieces), np.int64)
    return np.column_stack([pieces[:, : FIRST + 1], pieces[:, SIZE], none, pieces[:, SIZE] + special])
