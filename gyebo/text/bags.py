"""Bags of words: files of words, and the ids with which a vocabulary writes them.

A bag is learned from and steered to by next-token probabilities, so a word counts where one token begins and ends it. As
published (Dathathri et al. 2020), a word is the one token that it has after a space, and a word of several tokens is left out.
A Korean word hardly ever stands alone: particles and endings follow it within the same token. So for words in Hangul every
token of the vocabulary that begins a word is analysed by Kiwi (extra `ko`), and belongs to the bag if its first morphemes are
those of the word without its endings, and all others are particles, endings, the copula or suffixes: "행복하다" has " 행복한"
and " 행복했다", "영화" has " 영화", " 영화가" and " 영화는", but not " 영화관". Tokens that are a mere part of a word do not
count.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.text.boundaries import bytes_of
from gyebo.text.morphemes import load_kiwi
from gyebo.text.tokenizer import Tokenizer

HANGUL = re.compile("[가-힣]")
COMMENT = "#"
_ENDINGS = ("J", "E", "VCP")  # tags of particles, endings and the copula, which a word in a bag is stripped of
_AFTER = (*_ENDINGS, "XS", "SF", "SP", "SS", "SE", "SO", "SW")  # and of suffixes and punctuation: what may follow a word


@dataclass(frozen=True)
class Matched:
    """A bag in a vocabulary: `weights`, id -> weight, and the words of the bag that no token writes."""

    weights: dict[int, float]
    missing: tuple[str, ...]


def read_bag(path: str | Path) -> dict[str, float]:
    """The words of a bag file and their weights: one word a line, a weight after white space (1 without), comments after "#".

    Raises FileNotFoundError, and ValueError for a file that is not UTF-8, has no word, or a line with anything else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such bag of words")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8: convert the file to UTF-8") from None
    words: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        parts = line.partition(COMMENT)[0].split()
        if parts:
            words[parts[0]] = _weight(parts[1:], f"{path}, line {number}")
    if not words:
        raise ValueError(f"{path} has no word: write one a line")
    return words


def _weight(parts: Sequence[str], where: str) -> float:
    try:
        weight = float(parts[0]) if parts else 1.0
    except ValueError:
        weight = 0.0
    if len(parts) > 1 or not 0 < weight < math.inf:
        raise ValueError(f"{where}: after a word may stand its weight, a number above 0, but there is {' '.join(parts)!r}")
    return weight


def match_bag(words: dict[str, float], tokenizer: Tokenizer, *, stems: bool = True) -> Matched:
    """The tokens with which a vocabulary writes the words of a bag; a token that several words have counts with the largest
    weight. `stems`: also Korean words with particles and endings.

    Raises ImportError, naming the extra, where words in Hangul are looked for and kiwipiepy is not installed.
    """
    starts = {text[1:]: id for id, text in _beginnings(tokenizer)}
    found = {word: {starts[word]} if word in starts else set() for word in words}
    korean = [word for word in words if HANGUL.search(word)]
    if stems and korean:
        for word, ids in _inflected(korean, starts).items():
            found[word] |= ids
    weights: dict[int, float] = {}
    for word, ids in found.items():
        for id in ids:
            weights[id] = max(weights.get(id, 0.0), words[word])
    return Matched(dict(sorted(weights.items())), tuple(word for word, ids in found.items() if not ids))


def _beginnings(tokenizer: Tokenizer) -> Iterable[tuple[int, str]]:
    """The ids of ordinary tokens that begin a word and are whole characters, and their texts, with the space before them."""
    for id in range(tokenizer.vocab_size):
        if id in tokenizer.all_role_ids:
            continue
        try:
            text = bytes_of(tokenizer, id).decode()
        except UnicodeDecodeError:
            continue
        if len(text) > 1 and text[0] == " " and not any(char.isspace() for char in text[1:]):
            yield id, text


Morphemes = tuple[tuple[str, str], ...]  # (form, tag) of each


def _inflected(words: list[str], starts: dict[str, int]) -> dict[str, set[int]]:
    """Each word -> the ids of the beginnings that are a form of it."""
    kiwi = load_kiwi()
    stems = {word: _stem(morphemes) for word, morphemes in zip(words, _analysed(kiwi, words))}
    texts = [text for text in starts if HANGUL.match(text)]
    found: dict[str, set[int]] = {word: set() for word in words}
    by_first: dict[tuple[str, str], list[str]] = {}
    for word, stem in stems.items():
        by_first.setdefault(stem[0], []).append(word)
    for text, morphemes in zip(texts, _analysed(kiwi, texts)):
        for word in by_first.get(morphemes[0], ()):
            stem = stems[word]
            if morphemes[: len(stem)] == stem and all(tag.startswith(_AFTER) for _, tag in morphemes[len(stem) :]):
                found[word].add(starts[text])
    return found


def _stem(morphemes: Morphemes) -> Morphemes:
    """A word without the particles and endings that it is listed with; all of it where it is nothing else."""
    end = len(morphemes)
    while end > 1 and morphemes[end - 1][1].startswith(_ENDINGS):
        end -= 1
    return morphemes[:end]


def _analysed(kiwi: Any, texts: Sequence[str]) -> Iterable[Morphemes]:
    """The morphemes of each text; whether a stem is irregular is no part of its tag."""
    for tokens in kiwi.tokenize(texts):
        yield tuple((token.form, token.tag.partition("-")[0]) for token in tokens)
