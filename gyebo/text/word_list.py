"""Lists of words that are looked for in texts, however they are spelled (`gyebo/text/disguise.py`).

A file has a word, or several, on each line, which may be followed by its weight and by words that contain it and are not meant:

    # a remark
    바보
    멍청 = 2.5
    시발 = 3 ! 시발점, 시발역
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gyebo.text.disguise import Disguised, fold, letters_of, spellings


@dataclass(frozen=True)
class Entry:
    """A word of a list; a text with it inside one of the exceptions does not contain it. Raises ValueError for a word without a
    letter or digit, an exception without the word in it, and a weight that is not a number above 0."""

    word: str
    weight: float = 1.0
    exceptions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not letters_of(self.word):
            raise ValueError(f"{self.word!r} has no letter that could be looked for")
        if not 0 < self.weight < math.inf:
            raise ValueError(f"{self.word}: its weight must be a number above 0, but is {self.weight} instead")
        for exception in self.exceptions:
            if letters_of(self.word) not in letters_of(exception):
                raise ValueError(f"{self.word}: the exception {exception!r} does not contain it: correct one of the two")

    def __str__(self) -> str:
        weight = "" if self.weight == 1 else f" = {self.weight:g}"
        return f"{self.word}{weight}{' ! ' if self.exceptions else ''}{', '.join(self.exceptions)}"


@dataclass(frozen=True)
class Hit:
    """An entry that was found, and where: [start, end) of the text."""

    entry: Entry
    start: int
    end: int


@dataclass(frozen=True)
class WordList:
    """A list of words."""

    entries: tuple[Entry, ...]
    _by_first: dict[str, list[tuple[int, Disguised, tuple[str, ...]]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = defaultdict(list)
        for number, entry in enumerate(self.entries):
            word = Disguised(letters_of(entry.word))
            exceptions = tuple(fold(exception)[0] for exception in entry.exceptions)
            for first in word.firsts:
                found[first].append((number, word, exceptions))
        object.__setattr__(self, "_by_first", dict(found))

    def find(self, text: str) -> list[Hit]:
        """What of the list a text contains, by place."""
        found: list[Hit] = []
        for folded, spans in spellings(text):
            reached = [0] * len(self.entries)
            for start, char in enumerate(folded):
                for number, word, exceptions in self._by_first.get(char, ()):
                    if start < reached[number]:
                        continue  # inside of what was found
                    end = word.find(folded, start)
                    if end is None or any(_within(folded, exception, start, end) for exception in exceptions):
                        continue
                    reached[number] = end
                    found.append(Hit(self.entries[number], spans[start][0], spans[end - 1][1]))
        return sorted(set(found), key=lambda hit: (hit.start, hit.end))


def _within(folded: str, exception: str, start: int, end: int) -> bool:
    """Whether [start, end) lies inside of an occurrence of the exception."""
    return folded.find(exception, max(0, end - len(exception)), start + len(exception)) >= 0


def parse(lines: Iterable[str], name: str) -> WordList:
    """The list of a file's lines; ValueError names the file, the line and what is wrong."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        rest, _, exceptions = line.partition("!")
        word, equals, weight = rest.partition("=")
        try:
            value = float(weight) if equals else 1.0
        except ValueError:
            raise ValueError(f"{name}, line {number}: the weight must be a number, but is {weight.strip()!r} instead") from None
        try:
            entry = Entry(word.strip(), value, tuple(part.strip() for part in exceptions.split(",") if part.strip()))
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from None
        if entries.setdefault(letters_of(entry.word), entry) is not entry:
            raise ValueError(f"{name}, line {number}: {entry.word} stands there twice: delete one of the two")
    if not entries:
        raise ValueError(f"{name}: has no word")
    return WordList(tuple(entries.values()))


def read(path: str | Path) -> WordList:
    """The list of a file; FileNotFoundError or ValueError name the file, and the line where there is one."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return parse(path.read_text(encoding="utf-8-sig").splitlines(), str(path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8: convert the file to UTF-8") from None
