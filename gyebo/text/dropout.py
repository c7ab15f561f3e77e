"""BPE-dropout: words are segmented differently each time they are read (Provilkov, Emelianenko & Voita 2020, "BPE-Dropout").

    While the word has pairs that can be merged: drop each with the given probability, and apply the first of the remaining
    ones, in the order in which merges were trained. Stop when none remains.

A model thus also sees the parts of its frequent tokens, and generalises better to unusual spellings. For training only; with a
rate of 0 the result is that of the tokenizer. `tokenizers` has BPE-dropout too, but it takes no seed, so runs would not be
reproducible, and it splits less at the same rate (outdated entries of its queue reconsider a dropped merge).
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
CELLS = 1 << 20  # number of symbols that are merged at a time
_NEVER = np.iinfo(np.int32).max  # the rank of a pair that does not merge
_NOTHING = -1  # the symbol before the first and after the last one


@dataclass(frozen=True)
class Merges:
    """The merges: sorted `keys` of (left, right), with the rank of each in the order of merges and the resulting token."""

    keys: Ids
    ranks: NDArray[np.int32]
    tokens: Ids
    size: int  # larger than any symbol

    @classmethod
    def of(cls, table: dict[tuple[int, int], tuple[int, int]]) -> Merges:
        """From {(left, right): (rank, token)}."""
        size = 1 + max(max(pair) for pair in table)
        keys = np.array([left * (size + 1) + right + 1 for left, right in table])
        order = keys.argsort()
        ranks, tokens = np.array(list(table.values())).T
        return cls(keys[order], ranks[order].astype(np.int32), tokens[order], size)

    def lookup(self, left: Ids, right: Ids) -> tuple[NDArray[np.int32], Ids]:
        """The rank of each pair, _NEVER where it does not merge, and the resulting token."""
        key = np.where(np.maximum(left, right) < self.size, left * (self.size + 1) + right + 1, -1)
        at = np.minimum(self.keys.searchsorted(key), len(self.keys) - 1)
        return np.where(self.keys[at] == key, self.ranks[at], _NEVER), self.tokens[at]


# Entries of a `tokenizer.json` model with which tokens are not only the result of merges of neighbours.
_OTHER_WAYS = ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges", "fuse_unk", "dropout")


class BpeDropoutTokenizer(Tokenizer):
    """A tokenizer whose `encode_batch` drops merges at random: differently at every call, determined by the seed.

    Everything else is as in the given tokenizer. Raises ValueError for a rate outside [0, 1) and for a tokenizer other than
    byte-level BPE.
    """

    def __init__(self, tokenizer: Tokenizer, rate: float, seed: str):
        self.__dict__.update(tokenizer.__dict__)
        if not 0 <= rate < 1:
            raise ValueError(f"bpe_dropout must be at least 0 and below 1, but is {rate} instead")
        self._read = self._backend()
        spec = json.loads(self._read.to_str())
        if not _byte_level(spec):
            raise ValueError(f"bpe_dropout needs a byte-level BPE tokenizer, but this one is of another kind ({self.kind})")
        model = spec["model"]
        vocab: dict[str, int] = model["vocab"]
        self._table = _table(model, vocab)
        self._merges = Merges.of(self._table)
        letters = {ord(token): id for token, id in vocab.items() if len(token) == 1}
        self._letters = np.full(max(letters) + 1, _NOTHING)
        self._letters[list(letters)] = list(letters.values())
        self._rate, self._random = rate, np.random.default_rng(list(seed.encode()))
        two = tokenizer.target is not tokenizer
        self._other = BpeDropoutTokenizer(tokenizer.target, rate, f"{seed} target") if two else self

    @property
    def target(self) -> Tokenizer:
        """The tokenizer of the target language, with dropout too."""
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
        kept = np.ones(len(symbols), dtype=bool)
        for cells in _equal_lengths(lengths):
            symbols[cells], kept[cells] = merged(symbols[cells], self._merges, self._rate, self._random)
        bounds = list(accumulate((sum(map(len, part)) for part in words), initial=0))
        return [symbols[a:b][kept[a:b]].tolist() for a, b in pairwise(bounds)]

    def encode_by(self, text: str, random: np.random.Generator) -> list[int]:
        """Ids of one text, with dropout: a function of the text and of what is drawn. Raises ValueError on a lone surrogate."""
        ids: list[int] = []
        draws = _uniforms(random)
        for word in self._words(text):
            ids += drawn([int(self._letters[ord(letter)]) for letter in word], self._table, self._rate, draws)
        return ids

    def _words(self, text: str) -> list[str]:
        text = self.normalize(text)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise lone_surrogate(text) from error
        if self._read.normalizer is not None:
            text = self._read.normalizer.normalize_str(text)
        return [word for word, _ in self._read.pre_tokenizer.pre_tokenize_str(text)]


def _equal_lengths(lengths: Ids) -> Iterator[Ids]:
    """Words of equal length, as the positions [W, n] of their symbols in the text."""
    starts = lengths.cumsum() - lengths
    for length in np.unique(lengths):
        first = starts[lengths == length]
        step = max(1, CELLS // length)
        for some in range(0, len(first), step):
            yield first[some : some + step, None] + np.arange(length)


def merged(words: Ids, merges: Merges, rate: float, random: np.random.Generator) -> tuple[Ids, NDArray[np.bool_]]:
    """Words of n symbols [W, n] after their merges, each of which is dropped with probability `rate` whenever it is considered:
    the symbols [W, n], and which of them remain.

    A merged token is at the position of its left part. All words apply one merge at a time: the first, in the order of merges,
    that is not dropped.
    """
    count, n = words.shape
    edge = n  # a last column, which no merge changes: the neighbour before the first symbol and after the last
    symbols = np.pad(words, ((0, 0), (0, 1)), constant_values=_NOTHING)
    kept = np.ones((count, n + 1), dtype=bool)
    after = np.tile(np.append(np.arange(1, n + 1), edge), (count, 1))
    before = np.tile(np.append(np.arange(-1, n - 1), edge) % (n + 1), (count, 1))
    ranks, tokens = merges.lookup(symbols, np.take_along_axis(symbols, after, 1))
    row = np.arange(count)
    while len(row):
        considered = ranks[row]
        if rate:
            considered = np.where(random.random(considered.shape, dtype=np.float32) < rate, _NEVER, considered)
        at = considered.argmin(1)
        merges_here = considered[np.arange(len(row)), at] < _NEVER
        row, at = row[merges_here], at[merges_here]
        gone, earlier = after[row, at], before[row, at]
        later = after[row, gone]
        symbols[row, at], kept[row, gone], ranks[row, gone] = tokens[row, at], False, _NEVER
        after[row, at], before[row, later] = later, at
        for left, right in ((at, later), (earlier, at)):
            ranks[row, left], tokens[row, left] = merges.lookup(symbols[row, left], symbols[row, right])
    return symbols[:, :n], kept[:, :n]


def drawn(word: list[int], table: dict[tuple[int, int], tuple[int, int]], rate: float, draws: Iterator[float]) -> list[int]:
    """As `merged`, for one word, with draws from 0 to 1: in short texts this is faster."""
    symbols = list(word)
    while True:
        first, place = (_NEVER, _NOTHING), 0
        for at, pair in enumerate(pairwise(symbols)):
            found = table.get(pair)
            if found is not None and not (rate and next(draws) < rate) and found < first:
                first, place = found, at
        if first[0] == _NEVER:
            return symbols
        symbols[place : place + 2] = [first[1]]


def _uniforms(random: np.random.Generator) -> Iterator[float]:
    while True:
        yield from random.random(64).tolist()


def is_byte_level(tokenizer: Tokenizer) -> bool:
    """Whether a tokenizer is a byte-level BPE, which alone has BPE-dropout."""
    return _byte_level(json.loads(tokenizer._backend().to_str()))


def _byte_level(spec: dict[str, Any]) -> bool:
    """Whether all tokens are merges of bytes."""
    model, words = spec["model"], spec["pre_tokenizer"] or {}
    steps = words.get("pretokenizers", [words])
    plain = model["type"] == "BPE" and bool(model["merges"]) and not any(model.get(name) for name in _OTHER_WAYS)
    return plain and any(step.get("type") == "ByteLevel" for step in steps)


def _table(model: dict[str, Any], vocab: dict[str, int]) -> dict[tuple[int, int], tuple[int, int]]:
    pairs = [merge if isinstance(merge, list) else merge.split(" ", 1) for merge in model["merges"]]
    return {(vocab[a], vocab[b]): (rank, vocab[a + b]) for rank, (a, b) in enumerate(pairs)}
