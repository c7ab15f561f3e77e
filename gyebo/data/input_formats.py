"""Formats: how documents become the pieces of a plan, one function a format.

    continuous        [start] tokens [end] as one sequence, each position predicting the next (causal models)
    doc-sentences     whole documents; a longer one is cut between sentences            } the four of RoBERTa
    full-sentences    sentences of one document after the other until the row is full   } (Liu et al. 2019, section 4.2);
    segment-pair      stretches of sentences, to be divided into two segments           } the first is BERT's
    sentence-pair     two sentences                                                     }

A piece says what is read; what becomes of it (the frame, the division, a random second segment) is the objective's. A
document's tokens are counted from 0. `starts`: a function of ids [n] -> [n], True where a sentence begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.errors import OptionError
from gyebo.data.plan import FIRST, ROOM, SEEN, SIZE, Plan, pack
from gyebo.data.shards import Split

Starts = Callable[[NDArray[Any]], NDArray[np.bool_]]
SHORT_SHARE = 0.1  # of segment pairs are made for a shorter row, so that short inputs are seen too (Devlin et al. 2019, A.2)
LONG_SENTENCE = 0.95  # quantile of the sentences' lengths; what is longer gives its beginning to a pair of sentences


def continuous(split: Split, context: int, extra: int, seed: int) -> Plan:
    """Every position of [start] + tokens + [end] once; `extra`: positions that a document has beyond its tokens."""
    return pack(windows(split, context, extra), context, np.random.default_rng([seed, 1]))


def overlapping(split: Split, context: int, extra: int) -> Plan:
    """Every position scored once: documents longer than the context are read in windows with half overlap, of which only the
    part that no window before has scored counts."""
    return pack(windows(split, context, extra, stride=context // 2), context, np.random.default_rng(0))


def windows(split: Split, context: int, extra: int, stride: int | None = None) -> NDArray[np.int64]:
    """Pieces of at most `context` positions, not yet packed: each document from its start, the next one `stride` further on."""
    lengths = np.maximum(split.documents["tokens"].astype(np.int64) + extra, 0)
    stride = stride or context
    counts = 1 + np.maximum(0, -(-(lengths - context) // stride))  # windows a document
    documents = np.repeat(np.arange(len(lengths)), counts)
    order = np.arange(len(documents)) - np.repeat(np.cumsum(counts) - counts, counts)  # the window's number in its document
    starts = order * stride
    sizes = np.minimum(context, lengths[documents] - starts)
    seen = np.where(order > 0, context - stride, 0)
    return np.stack([documents, starts, sizes, seen, sizes], 1)


def doc_sentences(split: Split, context: int, frame: int, starts: Starts, seed: int) -> Plan:
    """Documents, each in a frame of so many roles."""
    room = _room(context, frame)
    lengths = split.documents["tokens"].astype(np.int64)
    short = np.flatnonzero((lengths > 0) & (lengths <= room))
    pieces = [np.stack([short, np.zeros_like(short), lengths[short]], 1)]
    for document in np.flatnonzero(lengths > room):
        borders = np.flatnonzero(starts(split.read(int(document), 0, int(lengths[document]))))
        cuts = [0, *_cuts(borders, int(lengths[document]), room)]
        pieces.append(np.array([[document, a, b - a] for a, b in pairwise(cuts)]))
    return pack(_with_room(np.concatenate(pieces), frame), context, np.random.default_rng([seed, 1]))


def full_sentences(split: Split, context: int, starts: Starts) -> Plan:
    """Rows of sentences in the order of the corpus: a first role, then each document's part with a role after it."""
    pieces: list[tuple[int, int, int]] = []
    bounds, left = [0], _room(context, 2) + 1
    lengths = split.documents["tokens"].astype(np.int64).tolist()
    for document, length in enumerate(lengths):
        first = 0
        while first < length:
            rest = length - first
            if rest + 1 > left:
                borders = np.flatnonzero(starts(split.read(document, 0, length))) - first
                rest = _before(borders, left - 1, fresh=len(pieces) == bounds[-1])
            if rest:
                pieces.append((document, first, rest))
                first, left = first + rest, left - rest - 1
            if first < length or left < 2:
                bounds.append(len(pieces))
                left = context - 1
    rows = np.array([*bounds, len(pieces)] if bounds[-1] < len(pieces) else bounds)
    table = _with_room(np.array(pieces, np.int64).reshape(-1, 3), 1)
    table[rows[:-1], ROOM] += 1  # the first role
    return Plan(context, table, rows)


def segment_pair(split: Split, context: int, frame: int, starts: Starts, seed: int) -> Plan:
    """Stretches of whole sentences that fill a row, now and then a shorter one; a stretch of one sentence may be joined by
    any amount of other text."""
    rng = np.random.default_rng([seed, 1])
    full = _room(context, frame)
    pieces: list[tuple[int, int, int, int]] = []
    for document, length, borders in _documents(split, starts):
        target = full if rng.random() >= SHORT_SHARE else int(rng.integers(2, full + 1))
        cuts = [0, *_cuts(borders, length, target)]
        for a, b in pairwise(cuts):
            inside = np.searchsorted(borders, b) - np.searchsorted(borders, a, "right")
            pieces.append((document, a, b - a, frame + (b - a if inside else target)))
    table = np.array(pieces, np.int64).reshape(-1, 4)
    return pack(np.insert(table, SEEN, 0, axis=1), context, rng)


def sentence_pair(split: Split, context: int, frame: int, starts: Starts, seed: int) -> Plan:
    """Two sentences after each other, or a document's last single one; long ones give their beginning."""
    sizes = np.concatenate([np.diff([*borders, length]) for _, length, borders in _documents(split, starts)])
    room = _room(context, frame)
    most = max(1, min(room // 2, int(np.quantile(sizes, LONG_SENTENCE))))
    pieces = []
    for document, length, borders in _documents(split, starts):
        edges = [*borders.tolist(), length]
        for number in range(0, len(borders), 2):
            a, b = edges[number], edges[min(number + 2, len(borders))]
            pieces.append((document, a, b - a, 0, frame + min(most, edges[number + 1] - a) + most))
    return pack(np.array(pieces, np.int64).reshape(-1, 5), context, np.random.default_rng([seed, 1]))


def share_of_several_sentences(split: Split, starts: Starts, most: int = 2000) -> float:
    """How many of the first documents hold two sentences or more, as a share."""
    counts = [len(borders) for (_, _, borders), _ in zip(_documents(split, starts), range(most))]
    return float(np.mean(np.array(counts) > 1)) if counts else 0.0


def _documents(split: Split, starts: Starts) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """(number, tokens, where sentences begin) of each document that has any."""
    for document, length in enumerate(split.documents["tokens"].tolist()):
        if length:
            yield document, length, np.flatnonzero(starts(split.read(document, 0, length)))


def _room(context: int, frame: int) -> int:
    if context <= frame:
        raise OptionError(f"‹context›={context} leaves no room beside the {frame} roles that frame a text: raise it")
    return context - frame


def _cuts(borders: NDArray[np.int64], length: int, room: int) -> list[int]:
    """Where a document is cut into stretches of at most `room` tokens: between sentences, inside one only if it is longer."""
    cuts, at = [], 0
    while length - at > room:
        at += _before(borders - at, room, fresh=True)
        cuts.append(at)
    return [*cuts, length]


def _before(borders: NDArray[np.int64], room: int, *, fresh: bool) -> int:
    """The last border after 0 and not beyond `room`; without one, `room` itself where the row is fresh, else 0."""
    last = int(np.searchsorted(borders, room, "right")) - 1
    found = int(borders[last]) if last >= 0 else 0
    return found if found > 0 else room if fresh else 0


def _with_room(pieces: NDArray[np.int64], frame: int) -> NDArray[np.int64]:
    """Pieces (document, first, size) with nothing seen and room for their frame."""
    none = np.zeros(len(pieces), np.int64)
    return np.column_stack([pieces[:, : FIRST + 1], pieces[:, SIZE], none, pieces[:, SIZE] + frame])
