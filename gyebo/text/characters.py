"""The characters of each token, for models with character-based token embeddings: a table over the vocabulary.

    start, one symbol for each byte of UTF-8, end, then padding up to the width of the table

The symbols are those of ELMo (Peters et al. 2018), 262 in all: bytes are 1 to 256, followed by start and end of a text, start
and end of a token, and padding; 0 marks ids whose characters are not set. A Hangul syllable has three bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gyebo.text.boundaries import bytes_of
from gyebo.text.tokenizer import Tokenizer

BEGIN_TEXT, END_TEXT, BEGIN, END, FILLING = range(257, 262)


def spelling(tokenizer: Tokenizer, characters: int) -> NDArray[np.int32]:
    """The symbols of every id [V, characters]; tokens of more than `characters` - 2 bytes are truncated.

    Special tokens have symbols that no ordinary token has: start and end of a text one symbol each, the others both of these,
    followed by their name. An id that the vocabulary lacks has the symbols of an empty token. Raises ValueError for fewer than
    3 characters.
    """
    if characters < 3:
        raise ValueError(f"characters must be at least 3, for one byte between start and end, but is {characters} instead")
    own = {tokenizer.role_ids.get("bos"): [BEGIN_TEXT], tokenizer.role_ids.get("eos"): [END_TEXT]}
    table = np.full((tokenizer.vocab_size, characters), FILLING, np.int32)
    for id, row in enumerate(table):
        if id in tokenizer.all_role_ids:
            inside = own.get(id, [BEGIN_TEXT, END_TEXT, *_symbols(tokenizer.token(id).encode())])
        else:
            inside = _symbols(bytes_of(tokenizer, id))
        inside = inside[: characters - 2]
        row[: len(inside) + 2] = [BEGIN, *inside, END]
    return table


def _symbols(data: bytes) -> list[int]:
    return [byte + 1 for byte in data]
