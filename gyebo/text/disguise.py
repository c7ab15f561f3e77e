"""Words that are spelled so that a list of words does not find them: how each of their letters may be written, as a pattern.

What is undone is in tables: look-alikes and sounds of each letter, digits that are read as syllables, Latin letters typed on a
keyboard set to English, and, by Unicode, full-width forms, characters in circles, invisible characters and struck-out letters.

A text is *folded* first: a syllable becomes the conjoining jamo of its letters, a letter that stands alone stays a
compatibility jamo, everything else is in compatibility form and lower case. So a pattern knows a letter within a syllable
from a stray one, and a word begins and ends with a syllable: "바보" is not found in "밥보다".

What stands between the syllables of a word decides what must stand around it, so that ordinary text is no disguise:

| between syllables | may stand | why |
| --- | --- | --- |
| nothing, digits, `*@#$%&+=\\|_`, a single x | anywhere | no ordinary text has these inside of a word |
| other punctuation, emoji, stray ㅋㅎㅠㅜ | where a word begins | "역시ㅋㅋ발표" is not "시발" |
| white space | where a word begins, up to where one ends | "다시 발표" is not "시발" |

Where letters stand alone, as in "ㅅ ㅣ 발", no rule applies. Latin letters and digits stand for Hangul only beside Hangul,
or, if they spell the sounds of at least two syllables, as a whole word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from gyebo.text import hangul
from gyebo.text.hangul import PAIRS, TENSE, Syllable
from gyebo.text.normalize import nfc_spans

Span = tuple[int, int]

LOOKS = {
    "ㄱ": "7", "ㄷ": "匚", "ㄹ": "2己乙", "ㅁ": "口", "ㅅ": "^人入", "ㅇ": "0o○〇", "ㅈ": "大", "ㅏ": "r卜ト", "ㅜ": "丁",
    "ㅡ": "-_一ー", "ㅣ": "1l|!丨",
}  # fmt: skip
SOUNDS = {
    "ㄱ": "g k", "ㄲ": "kk gg", "ㄴ": "n", "ㄷ": "d t", "ㄸ": "tt dd", "ㄹ": "r l", "ㅁ": "m", "ㅂ": "b p", "ㅃ": "pp bb",
    "ㅅ": "s", "ㅆ": "ss", "ㅇ": "ng", "ㅈ": "j", "ㅉ": "jj", "ㅊ": "ch", "ㅋ": "k", "ㅌ": "t", "ㅍ": "p", "ㅎ": "h",
    "ㅏ": "a", "ㅐ": "ae", "ㅑ": "ya", "ㅒ": "yae", "ㅓ": "eo", "ㅔ": "e", "ㅕ": "yeo", "ㅖ": "ye", "ㅗ": "o", "ㅘ": "wa",
    "ㅙ": "wae", "ㅚ": "oe", "ㅛ": "yo", "ㅜ": "u oo", "ㅝ": "wo", "ㅞ": "we", "ㅟ": "wi", "ㅠ": "yu", "ㅡ": "eu", "ㅢ": "ui",
    "ㅣ": "i ee",
}  # fmt: skip
READ = {  # digits and names of Latin letters as syllables
    "일": "1", "십": "1", "이": "2e", "삼": "3", "사": "4", "오": "5o", "육": "6", "칠": "7", "팔": "8", "구": "9",
    "영": "0", "공": "0",
    "씨": "c", "비": "b", "지": "g", "디": "d", "피": "p", "티": "t", "유": "u",
}  # fmt: skip
LEET = {"a": "@4", "b": "8", "e": "3", "g": "9", "i": "1!|", "l": "1|", "o": "0", "s": "$5", "t": "7+", "z": "2"}
TAILS = {  # what a vowel sounds like where it is drawn out
    "ㅑ": "ㅏ", "ㅒ": "ㅐ", "ㅕ": "ㅓ", "ㅖ": "ㅔ", "ㅘ": "ㅏ", "ㅙ": "ㅐ", "ㅛ": "ㅗ", "ㅝ": "ㅓ", "ㅞ": "ㅔ", "ㅟ": "ㅣ",
    "ㅠ": "ㅜ", "ㅢ": "ㅣ",
}  # fmt: skip
FILLERS = "\u115f\u1160\u3164\uffa0"  # Hangul fillers, which count as letters

EMOTIONS = "ㅋㅎㅠㅜ"  # letters that are written for laughing and crying
_INSIDE = r"[\d*@#$%&+=\\|_]|(?<![a-z])x(?![a-z])"  # between letters of a word, and never in ordinary text
_MOST = 20  # characters between two letters: more would let a hostile text cost a lot of time
_BETWEEN = rf"(?:{_INSIDE}|[^\w]|[{EMOTIONS}]){{0,{_MOST}}}"
_UNSPACED = rf"(?:{_INSIDE}|[^\w\s]){{0,{_MOST}}}"
_PLAIN = rf"(?:{_INSIDE}|[^\w]){{0,{_MOST}}}"
_SPACES = r"\s*"
_SPACE = re.compile(r"\s")
_MARK = re.compile(rf"[^\w\s*@#$%&+=\\|]|[{EMOTIONS}]")
_STRAY = re.compile(f"(?![{EMOTIONS}])[ㄱ-ㅣ]")
_HANGUL = re.compile("[ㄱ-ㅣ\u1100-\u11ff가-힣]")
_LETTER = re.compile(rf"[^\W_{EMOTIONS}]")
_SPELLED_IN_LATIN = re.compile(r"[a-z\s]{4,}")
_FINAL = "\u11a8-\u11c2"
_LATIN_RUN = re.compile(r"[A-Za-z]{2,}")


@lru_cache(maxsize=1 << 14)
def _folded(char: str) -> str:
    if char in FILLERS or unicodedata.category(char) in ("Cf", "Mn", "Me"):
        return ""
    if hangul.is_syllable(char):
        return unicodedata.normalize("NFD", char)
    if "\u1100" <= char <= "\u11ff":
        return hangul.alone(char)
    if "\u3131" <= char <= "\u3163":
        return char
    form = unicodedata.normalize("NFKC", char)
    return char.lower() if form in (char, " ") else "".join(map(_folded, form))


def fold(text: str) -> tuple[str, list[Span]]:
    """The folded text, and for each of its characters the [start, end) of what it comes from in the text."""
    normalized, places = nfc_spans(text)
    folded: list[str] = []
    spans: list[Span] = []
    for number, char in enumerate(normalized):
        parts = _folded(char)
        folded.append(parts)
        spans += [places[number] if places else (number, number + 1)] * len(parts)
    return "".join(folded), spans


def typed_in_english(text: str, shifted: bool = True) -> tuple[str, list[Span]] | None:
    """The folded text, with the syllables that the two-set keyboard makes of Latin words in it, where these are nothing else;
    None: there is no such word. `shifted`: capitals are those of the shift key; False: of caps lock."""
    folded: list[str] = []
    spans: list[Span] = []
    last = 0

    def copy(end: int) -> None:
        part, places = fold(text[last:end])
        folded.append(part)
        spans.extend((start + last, stop + last) for start, stop in places)

    for match in _LATIN_RUN.finditer(text):
        if syllables := hangul.typed_syllables(match[0] if shifted else match[0].lower()):
            copy(match.start())
            part, _ = fold(syllables)
            folded.append(part)
            spans += [match.span()] * len(part)
            last = match.end()
    if not last:
        return None
    copy(len(text))
    return "".join(folded), spans


def letters_of(word: str) -> str:
    """What of a word is looked for: its syllables, letters and digits, in compatibility form and lower case."""
    folded = unicodedata.normalize("NFC", fold(word)[0])
    return "".join(char for char in folded if char.isalnum())


@dataclass(frozen=True)
class Disguised:
    """A word in all of its spellings. `word`: as `letters_of` gives it, not empty."""

    word: str

    @cached_property
    def firsts(self) -> frozenset[str]:
        """The folded characters with which a spelling may begin."""
        char = self.word[0]
        if not hangul.is_syllable(char):
            return frozenset(way[0] for way in _single(char))
        syllable = hangul.split(char)
        ways = [*_spelled(syllable.initial), *READ.get(char, "")]
        ways += _spelled(syllable.vowel) if syllable.initial == "ㅇ" else []
        return frozenset([syllable.conjoining[0], *(way[0] for way in ways)])

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A regular expression for folded text, which matches from where a spelling begins."""
        units = [hangul.split(char) if hangul.is_syllable(char) else char for char in self.word]
        parts = []
        for number, unit in enumerate(units):
            before = units[number - 1] if number else None
            parts.append(_letter(unit, before is None) if isinstance(unit, str) else _syllable(unit, before))
        return re.compile("".join(parts) + "(?![\u1161-\u11ff])")

    def find(self, folded: str, start: int) -> int | None:
        """The end of a spelling that begins at `start` of the folded text, None if there is none, or if it is ordinary text."""
        match = self.pattern.match(folded, start)
        if match and self._stands(match[0], folded[start - 1] if start else "", folded[match.end() : match.end() + 1]):
            return match.end()
        return None

    def _stands(self, found: str, before: str, after: str) -> bool:
        """Whether it is a spelling of the word with these neighbours; the rules are in the module's table."""
        begins, ends = not _LETTER.match(before), not _LETTER.match(after)
        if (_latin(found[0]) and _latin(before)) or (_latin(found[-1]) and _latin(after)):
            return False
        if _HANGUL.search(self.word) and not _HANGUL.search(found):
            return begins and ends and len(self.word) > 1 and _SPELLED_IN_LATIN.fullmatch(found) is not None
        if all(char in hangul.INITIALS for char in self.word):
            if (_one_of(hangul.INITIALS, before) and before != found[-1]) or _one_of(hangul.VOWELS, after):
                return False
        elif _STRAY.search(found):
            return True
        spaced = _SPACE.search(found) is not None
        return (ends or not spaced) and (begins or not (spaced or _MARK.search(found)))


def _latin(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _one_of(letters: str, char: str) -> bool:
    return char != "" and char in letters and char not in EMOTIONS


def _spelled(letter: str) -> list[str]:
    """The ways to write a letter outside of a syllable, longest first."""
    ways = [letter, *LOOKS.get(letter, ""), *SOUNDS.get(letter, "").split(), PAIRS.get(letter, ""), TENSE.get(letter, "")]
    return sorted(filter(None, ways), key=len, reverse=True)


def _single(char: str) -> list[str]:
    """The ways to write a letter that stands alone in a word: one of an abbreviation such as ㅂㅂ, or a Latin one."""
    return list(filter(None, [char, *LEET.get(char, ""), PAIRS.get(char, ""), TENSE.get(char, "")]))


def _any(ways: list[str]) -> str:
    """A regular expression for one of the ways; between two letters of Hangul white space may stand."""
    return f"(?:{'|'.join(re.escape(way) if way.isascii() else _SPACES.join(map(re.escape, way)) for way in ways)})"


def _letter(char: str, first: bool) -> str:
    return f"{'' if first else f'(?![{_FINAL}]){_PLAIN}'}{_any(_single(char))}+"


def _syllable(syllable: Syllable, before: Syllable | str | None) -> str:
    """A regular expression for what separates a syllable from the one before, and for the syllable."""
    initial, vowel, final = syllable.conjoining
    tail = TAILS.get(syllable.vowel, syllable.vowel)
    again = "".join(Syllable("ㅇ", tail).conjoining)
    # A vowel that is drawn out: 바아아, 바ㅏㅏ. The final stands below the last part: 바아알.
    long = f"(?:{_UNSPACED}(?:{again}(?![{_FINAL}])|[{tail}{syllable.vowel}]))*"
    below = _any([syllable.final, PAIRS.get(syllable.final, syllable.final)])
    closed = f"(?:{final}|{_UNSPACED}{again}{final}|(?![{_FINAL}]){_UNSPACED}{below}){syllable.final}*" if final else ""
    whole = f"{syllable.initial}*{initial}{vowel}{long}{closed}"
    silent = _any(["ㅇ", *LOOKS["ㅇ"]]) + "|(?=[aeiouwy])"
    first = silent if syllable.initial == "ㅇ" else f"{_any(_spelled(syllable.initial))}+"
    rest = f"{long}{_BETWEEN}{_any(_spelled(syllable.final))}" if final else long
    apart = f"(?:{first}){_BETWEEN}(?:{_any(_spelled(syllable.vowel))}|\u110b{vowel}){rest}"
    read = f"|[{READ[str(syllable)]}]" if str(syllable) in READ else ""
    here = f"(?:(?:{whole})+|{apart}{read})"
    if before is None:
        return here
    joined = f"(?![{_FINAL}]){_BETWEEN}{here}"
    carried = hangul.conjoining_final(syllable.initial)
    if isinstance(before, str) or before.final or syllable.initial == "ㅇ" or not carried:
        return joined
    # The initial may be written below the syllable before: 밥오 or 밥ㅗ for 바보.
    return f"(?:{joined}|{carried}(?:\u110b{vowel}{long}{closed}|{_any(_spelled(syllable.vowel))}{rest}))"


def spellings(text: str) -> Iterator[tuple[str, list[Span]]]:
    """The folded readings of a text: as it is written, and with what was typed on an English keyboard."""
    yield fold(text)
    for shifted in (True, False) if re.search("[A-Z]", text) else (True,):
        if typed := typed_in_english(text, shifted):
            yield typed
