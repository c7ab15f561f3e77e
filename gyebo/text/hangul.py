"""Hangul letters: a syllable and its letters, letters composed as they are typed, and the keys of the two-set keyboard.

Letters are written as compatibility jamo (U+3131 to U+3163), which stand alone. Within a syllable they are the conjoining jamo
of its canonical decomposition, which tell initial, vowel and final apart (The Unicode Standard, section 3.12).
"""

from __future__ import annotations

import re
from typing import NamedTuple

INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
FINALS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
PAIRS = {  # letters that are typed as two
    "ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ",
    "ㄿ": "ㄹㅍ",
    "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ", "ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ",
    "ㅢ": "ㅡㅣ",
}  # fmt: skip
TENSE = {"ㄲ": "ㄱㄱ", "ㄸ": "ㄷㄷ", "ㅃ": "ㅂㅂ", "ㅆ": "ㅅㅅ", "ㅉ": "ㅈㅈ"}
KEYS = dict(zip("rRseEfaqQtTdwWczxvgkoiOjpuPhynbml", "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅑㅒㅓㅔㅕㅖㅗㅛㅜㅠㅡㅣ"))

FIRST_SYLLABLE, LAST_SYLLABLE = "가", "힣"
_INITIAL, _VOWEL, _FINAL = 0x1100, 0x1161, 0x11A8  # the first conjoining jamo of each place
_SINGLE = {pair: letter for letter, pair in PAIRS.items()}


class Syllable(NamedTuple):
    """The letters of a syllable; `final` is "" where it has none."""

    initial: str
    vowel: str
    final: str = ""

    @property
    def conjoining(self) -> tuple[str, str, str]:
        """Its letters as conjoining jamo."""
        initial, vowel = chr(_INITIAL + INITIALS.index(self.initial)), chr(_VOWEL + VOWELS.index(self.vowel))
        return initial, vowel, conjoining_final(self.final) if self.final else ""

    def __str__(self) -> str:
        number = (INITIALS.index(self.initial) * len(VOWELS) + VOWELS.index(self.vowel)) * (len(FINALS) + 1)
        return chr(ord(FIRST_SYLLABLE) + number + (FINALS.index(self.final) + 1 if self.final else 0))


def is_syllable(char: str) -> bool:
    """Whether a character is one of the 11,172 modern syllables."""
    return FIRST_SYLLABLE <= char <= LAST_SYLLABLE


def split(char: str) -> Syllable:
    """The letters of a syllable."""
    rest, final = divmod(ord(char) - ord(FIRST_SYLLABLE), len(FINALS) + 1)
    initial, vowel = divmod(rest, len(VOWELS))
    return Syllable(INITIALS[initial], VOWELS[vowel], FINALS[final - 1] if final else "")


def conjoining_final(letter: str) -> str:
    """A letter below its syllable, as a conjoining jamo; "" for those that never stand there."""
    return chr(_FINAL + FINALS.index(letter)) if letter in FINALS else ""


def alone(char: str) -> str:
    """A conjoining jamo as the letter that stands alone; other characters as they are."""
    for first, letters in ((_INITIAL, INITIALS), (_VOWEL, VOWELS), (_FINAL, FINALS)):
        if 0 <= ord(char) - first < len(letters):
            return letters[ord(char) - first]
    return char


def _either(letters: str) -> str:
    """A regular expression for one of the letters, or for the two as which one of them is typed."""
    return "|".join([*(PAIRS[letter] for letter in letters if letter in PAIRS), f"[{letters}]"])


# A consonant is the final of a syllable only if no vowel follows, of which it would be the initial.
_TYPED = re.compile(f"([{INITIALS}])({_either(VOWELS)})((?:{_either(FINALS)})(?![{VOWELS}]))?")


def typed_syllables(keys: str) -> str:
    """What the two-set keyboard writes for these Latin letters, "" unless it is nothing but whole syllables.

    "dkssud" gives "안녕". Capitals are those of the shifted keys; where a key has none, the letter is the same.
    """
    letters = "".join(KEYS.get(key) or KEYS.get(key.lower(), " ") for key in keys)
    found = list(_TYPED.finditer(letters))
    if sum(len(match[0]) for match in found) != len(letters):
        return ""
    return "".join(str(Syllable(*(_SINGLE.get(part or "", part or "") for part in match.groups()))) for match in found)
