"""The roles around one text or a pair, as data: what a family's template puts before, between and after them.

A tokenizer frames strings. Tasks frame pieces that they have cut themselves (windows of a long text, a sentence with
markers inside), so they need the template apart from any text. Also here: how a long text is cut into windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Framed:
    """A framed text or pair: `ids` and `types` [T], and `starts`, where each text begins in it."""

    ids: list[int]
    types: list[int]
    starts: list[int]


@dataclass(frozen=True)
class Frame:
    """`roles[0]`, first text, `roles[1]`, second text, ..., `roles[-1]`: the ids around the texts, and all token types.

    `anchor`: a role that belongs to no text and stands at a known place, counted from the front (0, 1, ...) or the back
    (-1, -2, ...): `cls`, else the role that ends the template, or None where the template ends with a text.
    """

    roles: tuple[tuple[int, ...], ...]
    role_types: tuple[tuple[int, ...], ...]
    text_types: tuple[int, ...]
    anchor: int | None

    @property
    def added(self) -> int:
        """How many roles stand around the texts."""
        return sum(map(len, self.roles))

    def around(self, *texts: list[int]) -> Framed:
        """The texts, given as ids, in their frame."""
        framed = Framed([*self.roles[0]], [*self.role_types[0]], [])
        for number, text in enumerate(texts):
            framed.starts.append(len(framed.ids))
            framed.ids.extend([*text, *self.roles[number + 1]])
            framed.types.extend([*[self.text_types[number]] * len(text), *self.role_types[number + 1]])
        return framed

    def room(self, max_length: int, least: int = 0) -> int:
        """How many ids of text fit into `max_length`. Raises ValueError where that is less than `least`."""
        room = max_length - self.added
        if room < least:
            raise ValueError(f"max_length: {max_length} leaves {room} tokens for the text beside {self.added} roles; raise it")
        return room


def frame_of(tokenizer: Tokenizer, texts: int = 1) -> Frame:
    """The frame of the tokenizer's family around one text, or two."""
    probe = _probe(tokenizer)
    size = len(tokenizer.encode(probe))
    framed = tokenizer(probe) if texts == 1 else tokenizer(probe, probe)
    ids = framed["input_ids"]
    types = framed.get("token_type_ids", [0] * len(ids))
    roles, role_types, text_types = [], [], []
    at = 0
    for _ in range(texts):
        start = next(i for i in range(at, len(ids)) if ids[i] not in tokenizer.all_role_ids)
        roles.append(tuple(ids[at:start]))
        role_types.append(tuple(types[at:start]))
        text_types.append(types[start])
        at = start + size
    roles.append(tuple(ids[at:]))
    role_types.append(tuple(types[at:]))
    cls = tokenizer.role_ids.get("cls")
    anchor = roles[0].index(cls) if cls in roles[0] else None
    if anchor is None and roles[-1]:
        anchor = roles[-1].index(cls) - len(roles[-1]) if cls in roles[-1] else -1
    return Frame(tuple(roles), tuple(role_types), tuple(text_types), anchor)


def _probe(tokenizer: Tokenizer) -> str:
    """A text whose ids hold no role, so that the roles of a frame can be told from it."""
    for id in range(tokenizer.vocab_size):
        if id in tokenizer.all_role_ids:
            continue
        try:
            text = tokenizer.piece_bytes(id, first=True).decode()
        except ValueError:  # a part of a character, or a gap in a published vocabulary
            continue
        ids = tokenizer.encode(text)
        if ids and tokenizer.all_role_ids.isdisjoint(ids):
            return text
    raise ValueError("the tokenizer has no piece that spells a text, roles apart; it cannot encode examples")


def anchored(frame: Frame, tokenizer: Tokenizer) -> Frame:
    """The frame with an anchor in any case: a family without roles around its texts (GPT) gets `eos`, else `bos`, at the end.

    The anchor is the place of what is nowhere in the text: "no answer", the root of a sentence. It is the last token, not the
    first, since a causal model has read the text only there. Raises ValueError where the tokenizer names neither role.
    """
    if frame.anchor is not None:
        return frame
    end = tokenizer.role_ids.get("eos", tokenizer.role_ids.get("bos"))
    if end is None:
        raise ValueError("the tokenizer puts no role around texts and names no eos or bos; this task needs one beside the text")
    types = (*frame.role_types[:-1], (frame.text_types[-1],))
    return replace(frame, roles=(*frame.roles[:-1], (end,)), role_types=types, anchor=-1)


def anchor_place(frame: Frame, length: int) -> int:
    """Where the anchor of an `anchored` frame stands in a row of `length` tokens."""
    assert frame.anchor is not None
    return frame.anchor % length


def windows(count: int, room: int, step: int) -> list[tuple[int, int]]:
    """The [start, end) of the windows over `count` tokens: `room` long, a new one every `step` (at most `room`) tokens.

    The last one ends with the text; a text that fits, also an empty one, has one window.
    """
    step = min(step, room)
    spans = [(0, min(room, count))]
    while spans[-1][1] < count:
        start = spans[-1][0] + step
        spans.append((start, min(start + room, count)))
    return spans


def homes(spans: list[tuple[int, int]]) -> NDArray[np.int64]:
    """For each token the number of the window where it has most context on its poorer side, the first of equals.

    A border of the text takes nothing away: there is no more to see.
    """
    count = spans[-1][1]
    home = np.zeros(count, np.int64)
    most = np.full(count, -1)
    for number, (start, end) in enumerate(spans):
        place = np.arange(start, end)
        left = place - start if start else np.full(end - start, count)
        right = end - 1 - place if end < count else np.full(end - start, count)
        context = np.minimum(left, right)
        better = context > most[start:end]
        home[start:end][better] = number
        most[start:end][better] = context[better]
    return home
