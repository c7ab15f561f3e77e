"""Words that tell two sets of texts apart, by log-odds with a Dirichlet prior (Monroe, Colaresi and Quinn 2008, "Fightin'
Words", equations 15 to 22), and a list of them to look for.

Words are counted once a text. As Korean words carry particles and endings, the beginnings of a word count too: 바보 in 바보야.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from gyebo.text.normalize import nfc
from gyebo.text.word_list import Entry, WordList

SIGNIFICANT = 1.96
"""The smallest z of a word of a learned list: 5 % of the words of two equal sets are beyond it, in either direction."""
PRIOR = 0.1
"""What the prior of a learned list counts for, as a share of the words of both sets."""
_WORD = re.compile(r"[가-힣]{2,}|[ㄱ-ㅎ]{2,}|[a-z]{3,}")


def units(text: str) -> set[str]:
    """The words of a text and the beginnings of its Hangul words, of at least two letters; not one letter repeated (ㅋㅋ)."""
    found = set()
    for word in _WORD.findall(nfc(text).lower()):
        if len(set(word)) > 1:
            found |= {word[:size] for size in range(2, len(word) + 1)} if "가" <= word[0] <= "힣" else {word}
    return found


class Difference(NamedTuple):
    """The log-odds of a word in one set less those in another, and z: this over its standard deviation."""

    log_odds: float
    z: float


def differences(first: Counter[str], second: Counter[str], prior: float) -> dict[str, Difference]:
    """How words differ between two sets, of at least two words.

    The Dirichlet prior has the shares that words have in both sets together, and counts for `prior` words.
    """
    both = first + second
    total, sizes = both.total(), (first.total(), second.total())
    found = {}
    for word, count in both.items():
        alpha = prior * count / total
        odds, variance = [], 0.0
        for counts, size in zip((first, second), sizes):
            here = counts[word] + alpha
            odds.append(math.log(here / (size + prior - here)))
            variance += 1 / here
        found[word] = Difference(odds[0] - odds[1], (odds[0] - odds[1]) / math.sqrt(variance))
    return found


def learn(unwanted: Iterable[str], others: Iterable[str], *, most: int = 300, least: int = 5) -> WordList:
    """The words that stand out in unwanted texts, the most certain (by z) first, with their difference in log-odds as weight.

    most: how many; least: in how many texts of both sets a word occurs. A word that contains an earlier one is left out,
    as that is found in it. Raises ValueError where no word is significant.
    """
    first, second = (Counter(unit for text in texts for unit in units(text)) for texts in (unwanted, others))
    both = first + second
    found = differences(first, second, PRIOR * both.total()) if len(both) > 1 else {}
    kept: list[str] = []
    for word in sorted(found, key=lambda word: (-found[word].z, -len(word), word)):
        if found[word].z < SIGNIFICANT or len(kept) == most:
            break
        if both[word] >= least and not any(other in word for other in kept):
            kept.append(word)
    if not kept:
        what = f"no word that occurs in {least} texts stands out in the unwanted ones"
        raise ValueError(f"{what} (z of at least {SIGNIFICANT}): give more texts")
    return WordList(tuple(Entry(word, round(found[word].log_odds, 2)) for word in kept))
