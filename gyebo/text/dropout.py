"""BPE-dropout: a word is cut into other pieces each time it is read (Provilkov, Emelianenko & Voita 2020, "BPE-Dropout").

    While the word has pairs that merge: leave out each with the given probability, and do the first of those that are left,
    in the order in which the merges were learned. Stop when none is left.

So a model meets the parts of its frequent pieces too, and spellings that it does not know cost it less. For training only;
without dropout the result is the tokenizer's own. `tokenizers` has a dropout as well, which takes no seed and cuts less at the
same rate (outdated entries of its queue give a merge that was left out another look), so a run could not be repeated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

from gyebo.text.tokenizer import Tokenizer

Merges = dict[tuple[int, int], tuple[int, int]]
"""(left, right) -> (its place among the merges, the piece that it makes)."""

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
        self._vocab: dict[str, int] = model["vocab"]
        self._merges = _merges(model, self._vocab)
        self._rate, self._random = rate, Random(seed)

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone, without dropout."""
        return super().encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, with dropout. Raises ValueError on a lone surrogate."""
        plain = super().encode_batch(texts)  # for its checks
        return [self._drop(text) if ids else [] for text, ids in zip(texts, plain)]

    def _drop(self, text: str) -> list[int]:
        text = self.normalize(text)
        if self._read.normalizer is not None:
            text = self._read.normalizer.normalize_str(text)
        words = self._read.pre_tokenizer.pre_tokenize_str(text)
        return [
            id
            for word, _ in words
            for id in merged([self._vocab[symbol] for symbol in word], self._merges, self._rate, self._random)
        ]


def merged(symbols: list[int], merges: Merges, rate: float, random: Random) -> list[int]:
    """The symbols of a word after its merges, each of which is left out with probability `rate` at every look at it."""
    symbols = list(symbols)
    ways = [merges.get(pair) for pair in pairwise(symbols)]
    while True:
        left = [(way, at) for at, way in enumerate(ways) if way is not None and random.random() >= rate]
        if not left:
            return symbols
        (_, piece), at = min(left)
        symbols[at : at + 2] = [piece]
        del ways[at]
        if at > 0:
            ways[at - 1] = merges.get((symbols[at - 1], piece))
        if at < len(ways):
            ways[at] = merges.get((piece, symbols[at + 1]))


def _byte_level(spec: dict[str, Any]) -> bool:
    """Whether pieces are merges of bytes, and of nothing else."""
    model, words = spec["model"], spec["pre_tokenizer"] or {}
    steps = words.get("pretokenizers", [words])
    plain = model["type"] == "BPE" and bool(model["merges"]) and not any(model.get(name) for name in _OTHER_WAYS)
    return plain and any(step.get("type") == "ByteLevel" for step in steps)


def _merges(model: dict[str, Any], vocab: dict[str, int]) -> Merges:
    pairs = [merge if isinstance(merge, list) else merge.split(" ", 1) for merge in model["merges"]]
    return {(vocab[a], vocab[b]): (rank, vocab[a + b]) for rank, (a, b) in enumerate(pairs)}
