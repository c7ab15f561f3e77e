"""Where words and sentences begin, read off the ids: a table over the vocabulary, so that nothing more need be stored.

A word is what stands between white space (in Korean an eojeol, with its particles and punctuation): it begins at a piece that
begins with white space. A sentence begins at such a piece after one that ends with a full stop, a question or exclamation mark
or an ellipsis, closing quotes and brackets aside, and after a line break.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.text.tokenizer import Tokenizer

TERMINALS = tuple(".!?…。！？")
CLOSERS = "\"'”’)]}」』》)"


@dataclass(frozen=True)
class Marks:
    """Properties of each id [V]: begins with white space, with a line break; ends a sentence, a line; is an ordinary piece."""

    space: NDArray[np.bool_]
    line: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    ends_line: NDArray[np.bool_]
    piece: NDArray[np.bool_]

    def word_starts(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """[n] ids of a text -> [n], True where a word begins; the first piece always begins one."""
        starts = self.space[ids]
        starts[:1] = True
        return starts

    def sentence_starts(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """[n] ids of a text -> [n], True where a sentence begins; the first piece always begins one."""
        starts = self.line[ids]
        starts[1:] |= (self.space[ids[1:]] & self.ends[ids[:-1]]) | self.ends_line[ids[:-1]]
        starts[:1] = True
        return starts


def marks_of(tokenizer: Tokenizer) -> Marks:
    """The marks of a vocabulary."""
    pieces = [b"" if id in tokenizer.all_role_ids else bytes_of(tokenizer, id) for id in range(tokenizer.vocab_size)]
    texts = [piece.decode("utf-8", errors="replace") for piece in pieces]

    def table(holds: Any) -> NDArray[np.bool_]:
        return np.array([bool(text) and holds(text) for text in texts])

    return Marks(
        space=table(lambda text: text[0].isspace()),
        line=table(lambda text: text.lstrip(" \t").startswith("\n")),
        ends=table(lambda text: text.rstrip(CLOSERS).endswith(TERMINALS)),
        ends_line=table(lambda text: text.rstrip(" \t").endswith("\n")),
        piece=table(lambda text: True),
    )


def bytes_of(tokenizer: Tokenizer, id: int) -> bytes:
    """What an id stands for; nothing for a hole in a published vocabulary."""
    try:
        return tokenizer.piece_bytes(id)
    except ValueError:
        return b""
