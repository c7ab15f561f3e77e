"""BPE-dropout: a word is cut into other pieces each time it is read (Provilkov, Emelianenko & Voita 2020, "BPE-Dropout").

    While the word has pairs that merge: leave out each with the given probability, and do the first of those that are left,
    in the order in which the merges were learned. Stop when none is left.

So a model meets the parts of its frequent pieces too, and spellings that it does not know cost it less. For training only;
without dropout the result is the tokenizer's own. `tokenizers` has a dropout as well, which takes no seed and cuts less at the
same rate (outdated entries of its queue give a merge that was left out another look), so a run could not be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.text.normalize import lone_surrogate
from gyebo.text.tokenizer import Tokenizer

Ids = NDArray[np.int64]
CELLS = 1 << 20  # symbols that are merged at a time
_NEVER = np.iinfo(np.int32).max  # the place of a pair that does not merge
_NOTHING = -1  # the symbol before the first and after the last one


@dataclass(frozen=True)
class Merges:
    """What merges into what: sorted `keys` of (left, right), each one's place in the order of merges and the piece it makes."""

    keys: Ids
    places: NDArray[np.int32]
    pieces: Ids
    size: int  # more than any symbol

    @classmethod
    def of(cls, table: dict[tuple[int, int], tuple[int, int]]) -> Merges:
        """From {(left, right): (place, piece)}."""
        size = 1 + max(max(pair) for pair in table)
        keys = np.array([left * (size + 1) + right + 1 for left, right in table])
        order = keys.argsort()
        places, pieces = np.array(list(table.values())).T
        return cls(keys[order], places[order].astype(np.int32), pieces[order], size)

    def look(self, left: Ids, right: Ids) -> tuple[NDArray[np.int32], Ids]:
        """The place of each pair, _NEVER where it does not merge, and the piece it makes."""
        key = np.where(np.maximum(left, right) < self.size, left * (self.size + 1) + right + 1, -1)
        at = np.minimum(self.keys.searchsorted(key), len(self.keys) - 1)
        return np.where(self.keys[at] == key, self.places[at], _NEVER), self.pieces[at]


# Entries of a `tokenizer.json` model under which pieces are made in other ways than by merges of neighbours alone.
_OTHER_WAYS = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges", "fuse_unk", "dropout")


class DroppingTokenizer(Tokenizer):
    """A tokenizer whose `encode_batch` leaves out merges; every call draws anew, and all draws follow from the seed.

    Everything else is the tokenizer's own. Raises ValueError for a rate outside of [0, 1) and for a tokenizer that is not of
    the byte-level BPE kind.
    """

    def __init__(self, tokenizer: Tokenizer, rate: float, seed: str):
        self.__dict__.update(tokenizer.__dict__)
        if not 0 <= rate < 1:
            raise ValueError(f"bpe_dropout must be at least 0 and below 1, but is {rate} instead")
        self._read = self._backend()
        spec = json.loads(self._read.to_str())
        if not _byte_level(spec):
            raise ValueError(f"bpe_dropout needs a tokenizer of byte-level BPE, but this one is of another kind ({self.kind})")
        model = spec["model"]
        vocab: dict[str, int] = model["vocab"]
        self._merges = _merges(model, vocab)
        letters = {ord(piece): id for piece, id in vocab.items() if len(piece) == 1}
        self._letters = np.full(max(letters) + 1, _NOTHING)
        self._letters[list(letters)] = list(letters.values())
        self._rate, self._random = rate, np.random.default_rng(list(seed.encode()))
        two = tokenizer.target is not tokenizer
        self._other = DroppingTokenizer(tokenizer.target, rate, f"{seed} target") if two else self

    @property
    def target(self) -> Tokenizer:
        """The other language's, with dropout too."""
        return self._other

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone, without dropout."""
        return super().encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, with dropout. Raises ValueError on a lone surrogate."""
        words = [self._words(text) for text in texts]
        lengths = np.array([len(word) for part in words for word in part], dtype=np.int64)
        text = "".join(word for part in words for word in part)
        symbols = self._letters[np.frombuffer(text.encode("utf-32-le"), np.uint32)]
        stays = np.ones(len(symbols), dtype=bool)
        for cells in _alike(lengths):
            symbols[cells], stays[cells] = merged(symbols[cells], self._merges, self._rate, self._random)
        borders = list(accumulate((sum(map(len, part)) for part in words), initial=0))
        return [symbols[a:b][stays[a:b]].tolist() for a, b in pairwise(borders)]

    def _words(self, text: str) -> list[str]:
        text = self.normalize(text)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise lone_surrogate(text) from error
        if self._read.normalizer is not None:
            text = self._read.normalizer.normalize_str(text)
        return [word for word, _ in self._read.pre_tokenizer.pre_tokenize_str(text)]


def _alike(lengths: Ids) -> Iterator[Ids]:
    """Words of one length at a time, as the places [W, n] of their symbols in the text."""
    starts = lengths.cumsum() - lengths
    for length in np.unique(lengths):
        first = starts[lengths == length]
        step = max(1, CELLS // length)
        for some in range(0, len(first), step):
            yield first[some : some + step, None] + np.arange(length)


def merged(words: Ids, merges: Merges, rate: float, random: np.random.Generator) -> tuple[Ids, NDArray[np.bool_]]:
    """Words of n symbols [W, n] after their merges, each of which is left out with probability `rate` at every look at it: the
    symbols [W, n], and which of them stay.

    A piece stands where its left part stood. All words take one merge at a time: the first, in the order of merges, of those
    that are not left out.
    """
    count, n = words.shape
    edge = n  # a last column that no merge touches stands for what is before the first symbol and after the last
    symbols = np.pad(words, ((0, 0), (0, 1)), constant_values=_NOTHING)
    stays = np.ones((count, n + 1), dtype=bool)
    after = np.tile(np.append(np.arange(1, n + 1), edge), (count, 1))
    before = np.tile(np.append(np.arange(-1, n - 1), edge) % (n + 1), (count, 1))
    places, pieces = merges.look(symbols, np.take_along_axis(symbols, after, 1))
    row = np.arange(count)
    while len(row):
        ways = places[row]
        if rate:
            ways = np.where(random.random(ways.shape, dtype=np.float32) < rate, _NEVER, ways)
        at = ways.argmin(1)
        go = ways[np.arange(len(row)), at] < _NEVER
        row, at = row[go], at[go]
        gone, earlier = after[row, at], before[row, at]
        later = after[row, gone]
        symbols[row, at], stays[row, gone], places[row, gone] = pieces[row, at], False, _NEVER
        after[row, at], before[row, later] = later, at
        for left, right in ((at, later), (earlier, at)):
            places[row, left], pieces[row, left] = merges.look(symbols[row, left], symbols[row, right])
    return symbols[:, :n], stays[:, :n]


def _byte_level(spec: dict[str, Any]) -> bool:
    """Whether pieces are merges of bytes, and of nothing else."""
    model, words = spec["model"], spec["pre_tokenizer"] or {}
    steps = words.get("pretokenizers", [words])
    plain = model["type"] == "BPE" and bool(model["merges"]) and not any(model.get(name) for name in _OTHER_WAYS)
    return plain and any(step.get("type") == "ByteLevel" for step in steps)


def _merges(model: dict[str, Any], vocab: dict[str, int]) -> Merges:
    pairs = [merge if isinstance(merge, list) else merge.split(" ", 1) for merge in model["merges"]]
    return Merges.of({(vocab[a], vocab[b]): (place, vocab[a + b]) for place, (a, b) in enumerate(pairs)})
