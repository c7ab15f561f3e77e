"""A text that arrives in parts, cut into sentences, so that a sentence can be checked before any of it is shown."""

from __future__ import annotations

import re

LONGEST = 200
"""Characters of a sentence without an end after which it is cut."""
_HARD, _CLOSING = "?!…。？！‥", "\"'”’」』)\\]》〉】"
# A line break; marks with what closes a quotation, once something else follows; a full stop needs white space ("3.14").
_END = re.compile(
    rf"\n|\.+[{_CLOSING}]*(?=\s)|\.*[{_HARD}][.{_HARD}]*[{_CLOSING}]*(?=[^.{_HARD}{_CLOSING}])",
)


class Sentences:
    """The sentences of a text whose parts are pushed; joined, they are the text. How it was cut into parts does not matter.

    A sentence ends with . ? ! … or a line break, and the quotes or brackets that close behind it; the white space that follows
    begins the next one. Without an end it is cut after `longest` characters, behind the last white space in them.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._held = ""

    def push(self, text: str) -> list[str]:
        """Add text; returns the sentences that it completes."""
        self._held += text
        found = []
        while size := self._first():
            found.append(self._held[:size])
            self._held = self._held[size:]
        return found

    def finish(self) -> str:
        """The rest, at the end of the text."""
        rest, self._held = self._held, ""
        return rest

    def _first(self) -> int:
        """The length of the first sentence; 0 while its end is not known."""
        end = _END.search(self._held)
        if end and end.end() <= self._longest:
            return end.end()
        if len(self._held) <= self._longest:
            return 0
        space = re.search(r"\s(?=\S*\Z)", self._held[: self._longest])
        return space.end() if space else self._longest
