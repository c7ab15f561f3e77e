"""Word and sentence boundaries from token ids: a table over the vocabulary, so that nothing has to be stored with the text.

Words are separated by white space (in Korean an eojeol, with its particles and punctuation): a word starts at a token that
starts with white space. A sentence starts at such a token after one that ends with a full stop, a question or exclamation mark
or an ellipsis, ignoring closing quotes and brackets, and after a line break.
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
    """Properties of each id [V]: starts with white space, with a line break; ends a sentence, a line; is an ordinary token."""

    space: NDArray[np.bool_]
    line: NDArray[np.bool_]
    ends: NDArray[np.bool_]
    ends_line: NDArray[np.bool_]
    piece: NDArray[np.bool_]

    def word_starts(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """[n] ids of a text -> [n], True where a word starts; the first token always starts one."""
        starts = self.space[ids]
        starts[:1] = True
        return starts

    def sentence_starts(self, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """[n] ids of a text -> [n], True where a sentence starts; the first token always starts one."""
        starts = self.line[ids]
        starts[1:] |= (self.space[ids[1:]] & self.ends[ids[:-1]]) | self.ends_line[ids[:-1]]
        starts[:1] = True
        return starts


def marks_of(tokenizer: Tokenizer) -> Marks:
    """The marks of a vocabulary."""
    tokens = [b"" if id in tokenizer.all_role_ids else bytes_of(tokenizer, id) for id in range(tokenizer.vocab_size)]
    texts = [token.decode("utf-8", errors="replace") for token in tokens]

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
    """The bytes of a token; none for a gap in a published vocabulary."""
    try:
        return tokenizer.piece_bytes(id)
    except ValueError:
        return b""
