"""On which line of a TOML file each key stands, which `tomllib` does not tell, for messages about what is wrong with its value.

The text has been read by `tomllib` before, so it is valid: what is needed here is only where a key, a value and a table end.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right

Place = tuple[str | int, ...]
"""Keys from the outside in, and the numbers of elements of arrays, from 0: ("candidates", 1, "optim", "lr")."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # with line breaks and comments
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')[ \t]*(\.?)""")
_STRING = re.compile(
    r'"""(?:\\[\s\S]|"{1,2}(?!")|[^"\\])*"{3,5}' r"|'''(?:'{1,2}(?!')|[^'])*'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'"
)
_OTHER = re.compile(r"[^,\]}#\n]*")  # a number, a date, true


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.breaks = [match.start() for match in re.finditer("\n", text)]
        self.lines: dict[Place, int] = {}
        self.tables: dict[Place, int] = {}  # arrays of tables -> how many there are so far

    def read(self) -> dict[Place, int]:
        table: Place = ()
        while not self.done():
            if self.text.startswith("[[", self.at):
                *outer, last = self.header(2)
                array = (*self.inside(outer), last)
                table = (*array, self.tables.get(array, 0))
                self.tables[array] = self.tables.get(array, 0) + 1
            elif self.text.startswith("[", self.at):
                *outer, last = self.header(1)
                table = (*self.inside(outer), last)
            else:
                self.pair(table)
                continue
            self.note(table, self.start)
        return self.lines

    def header(self, brackets: int) -> list[str]:
        self.start = self.at
        self.at += brackets
        names = self.names()
        self.at += brackets
        return names

    def inside(self, names: list[str]) -> Place:
        """The table of these names; of an array of tables its last one."""
        place: Place = ()
        for name in names:
            place = (*place, name)
            place = (*place, self.tables[place] - 1) if place in self.tables else place
        return place

    def done(self) -> bool:
        self.space()
        return self.at == len(self.text)

    def space(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]

    def note(self, place: Place, at: int) -> None:
        line = bisect_right(self.breaks, at - 1) + 1
        for end in range(1, len(place) + 1):
            self.lines.setdefault(place[:end], line)

    def names(self) -> list[str]:
        """A key, whose parts dots may join."""
        found, more = [], "."
        while more:
            match = _KEY.match(self.text, self.at)
            assert match is not None, "the text is valid"
            self.at, (name, more) = match.end(), match.groups()
            found.append(tomllib.loads(f"key = {name}")["key"] if name[0] in "\"'" else name)
        return found

    def pair(self, table: Place) -> None:
        start = self.at
        place = (*table, *self.names())
        self.note(place, start)
        self.at += 1  # =
        self.space()
        self.value(place)

    def value(self, place: Place) -> None:
        opened = self.text[self.at]
        if opened not in "[{":
            match = _STRING.match(self.text, self.at) or _OTHER.match(self.text, self.at)
            self.at = match.end()  # type: ignore[union-attr]
            return
        self.at, count = self.at + 1, 0
        self.space()
        while self.text[self.at] not in "]}":
            if opened == "[":
                self.note((*place, count), self.at)
                self.value((*place, count))
                count += 1
            else:
                self.pair(place)
            self.space()
            self.at += self.text[self.at] == ","
            self.space()
        self.at += 1


def key_lines(text: str) -> dict[Place, int]:
    """The line, from 1, on which each key, table and element of an array begins, the first of a table that is written in parts.

    text: what `tomllib.loads` takes.
    """
    return _Reader(text).read()
