"""Templates: the special tokens that a family adds before, between and after one text or a pair; windows over long texts.

A tokenizer adds special tokens to strings. Tasks add them to ids that they have prepared themselves (windows of a long text, a
sentence with markers inside), so they need the template as data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class TemplatedText:
    """A text or pair with special tokens: `ids` and `types` [T], and `starts`, the position at which each text starts."""

    ids: list[int]
    types: list[int]
    starts: list[int]


@dataclass(frozen=True)
class Template:
    """`special[0]`, first text, `special[1]`, second text, ..., `special[-1]`: special tokens as ids, and all token types.

    `null`: index of the special token that stands for "no answer", from the start (0, 1, ...) or the end (-1, -2, ...): `cls`,
    otherwise the token that ends the template, or None where the template ends with a text.
    """

    special: tuple[tuple[int, ...], ...]
    special_types: tuple[tuple[int, ...], ...]
    text_types: tuple[int, ...]
    null: int | None

    @property
    def added(self) -> int:
        """Number of special tokens."""
        return sum(map(len, self.special))

    def apply(self, *texts: list[int]) -> TemplatedText:
        """The texts, given as ids, with special tokens."""
        found = TemplatedText([*self.special[0]], [*self.special_types[0]], [])
        for number, text in enumerate(texts):
            found.starts.append(len(found.ids))
            found.ids.extend([*text, *self.special[number + 1]])
            found.types.extend([*[self.text_types[number]] * len(text), *self.special_types[number + 1]])
        return found

    def room(self, max_length: int, least: int = 0) -> int:
        """Number of text tokens that fit into `max_length`. Raises ValueError where that is less than `least`."""
        room = max_length - self.added
        if room < least:
            raise ValueError(
                f"max_length: {max_length} leaves {room} tokens for the text besides {self.added} special tokens; increase it"
            )
        return room


def template_of(tokenizer: Tokenizer, texts: int = 1) -> Template:
    """The template of the tokenizer's family for one text, or for two."""
    probe = _probe(tokenizer)
    size = len(tokenizer.encode(probe))
    encoded = tokenizer(probe) if texts == 1 else tokenizer(probe, probe)
    ids = encoded["input_ids"]
    types = encoded.get("token_type_ids", [0] * len(ids))
    special, special_types, text_types = [], [], []
    at = 0
    for _ in range(texts):
        start = next(i for i in range(at, len(ids)) if ids[i] not in tokenizer.all_role_ids)
        special.append(tuple(ids[at:start]))
        special_types.append(tuple(types[at:start]))
        text_types.append(types[start])
        at = start + size
    special.append(tuple(ids[at:]))
    special_types.append(tuple(types[at:]))
    cls = tokenizer.role_ids.get("cls")
    null = special[0].index(cls) if cls in special[0] else None
    if null is None and special[-1]:
        null = special[-1].index(cls) - len(special[-1]) if cls in special[-1] else -1
    return Template(tuple(special), tuple(special_types), tuple(text_types), null)


def _probe(tokenizer: Tokenizer) -> str:
    """A text without special tokens among its ids, so that those of a template can be distinguished from it."""
    for id in range(tokenizer.vocab_size):
        if id in tokenizer.all_role_ids:
            continue
        try:
            text = tokenizer.piece_bytes(id, first=True).decode()
        except ValueError:  # part of a character, or a gap in a published vocabulary
            continue
        ids = tokenizer.encode(text)
        if ids and tokenizer.all_role_ids.isdisjoint(ids):
            return text
    raise ValueError("the tokenizer has no ordinary tokens, only special ones; it cannot encode examples")


def with_null_token(template: Template, tokenizer: Tokenizer) -> Template:
    """The template with a `null` token: one without special tokens (GPT) gets `eos`, otherwise `bos`, at the end.

    It is added as the last token, because a causal model has read the whole text only there. Raises ValueError where the
    tokenizer has neither of the two.
    """
    if template.null is not None:
        return template
    end = tokenizer.role_ids.get("eos", tokenizer.role_ids.get("bos"))
    if end is None:
        raise ValueError("the tokenizer adds no special token to texts and has no eos or bos, which this task needs")
    types = (*template.special_types[:-1], (template.text_types[-1],))
    return replace(template, special=(*template.special[:-1], (end,)), special_types=types, null=-1)


def null_position(template: Template, length: int) -> int:
    """The position of the `null` token in a row of `length` tokens."""
    assert template.null is not None
    return template.null % length


def windows(count: int, room: int, step: int) -> list[tuple[int, int]]:
    """The [start, end) of windows over `count` tokens: of length `room`, a new one every `step` (at most `room`) tokens.

    The last window ends with the text; a text that fits, or is empty, has one window.
    """
    step = min(step, room)
    spans = [(0, min(room, count))]
    while spans[-1][1] < count:
        start = spans[-1][0] + step
        spans.append((start, min(start + room, count)))
    return spans


def window_of_token(spans: list[tuple[int, int]]) -> NDArray[np.int64]:
    """For each token the index of the window in which its shorter side of context is longest; the first of equal ones.

    A window that ends with the text counts as unlimited on that side.
    """
    count = spans[-1][1]
    chosen = np.zeros(count, np.int64)
    most = np.full(count, -1)
    for number, (start, end) in enumerate(spans):
        place = np.arange(start, end)
        left = place - start if start else np.full(end - start, count)
        right = end - 1 - place if end < count else np.full(end - start, count)
        context = np.minimum(left, right)
        better = context > most[start:end]
        chosen[start:end][better] = number
        most[start:end][better] = context[better]
    return chosen
