"""How a piece is spelled, for models that read characters instead of looking a piece up: a table over the vocabulary.

    begin, one symbol for each byte of UTF-8, end, then filling up to the table's width

The code is ELMo's (Peters et al. 2018), of 262 symbols: bytes are 1 to 256, then follow the begin and the end of a text, the
begin and the end of a piece, and the filling; 0 stands for what was never spelled. A Hangul syllable is three bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gyebo.text.boundaries import bytes_of
from gyebo.text.tokenizer import Tokenizer

BEGIN_TEXT, END_TEXT, BEGIN, END, FILLING = range(257, 262)
SYMBOLS = 262


def spelling(tokenizer: Tokenizer, characters: int) -> NDArray[np.int32]:
    """The symbols of every id [V, characters]; of a piece of more than `characters` - 2 bytes those of its beginning.

    Roles have spellings that no piece has: the start and the end of a text a symbol of their own, any other role both, then its
    name. A number that the vocabulary leaves out is spelled as an empty piece. Raises ValueError for fewer than 3 characters.
    """
    if characters < 3:
        raise ValueError(f"characters must be at least 3, for a byte between two marks, but is {characters} instead")
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
