"""Incremental decoding: every character is returned as soon as its last byte is there, never a part of one."""

from __future__ import annotations

import codecs

from gyebo.text.tokenizer import Tokenizer


class IncrementalDecoder:
    """Decodes one sequence id by id; the pushes joined, with `finish`, are `tokenizer.decode` of all ids.

    skip_roles: leave out special tokens (padding, start, end and so on), as `decode` does.
    """

    def __init__(self, tokenizer: Tokenizer, skip_roles: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skip_roles = skip_roles
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._strip = tokenizer.decoding.strip_start
        self._first = True
        self._space = ""

    def push(self, id: int) -> str:
        """Add the next id; returns the characters that it completes ("" while a character lacks bytes).

        Raises ValueError for an unknown id.
        """
        if self._skip_roles and id in self._tokenizer.all_role_ids:
            return ""
        raw = self._tokenizer.piece_bytes(id, self._first)
        self._first = False
        return self._show(self._utf8.decode(raw))

    def finish(self) -> str:
        """The rest: bytes of an incomplete character as U+FFFD, as in `decode`."""
        text = self._show(self._utf8.decode(b"", final=True))
        self._space = ""
        return text

    def _show(self, text: str) -> str:
        while text and self._strip:  # only the very start of a text can match
            if text[0] != self._strip[0]:
                self._strip = ""
                break
            text, self._strip = text[1:], self._strip[1:]
        if self._tokenizer.decoding.drop_last_space and text:
            text, self._space = self._space + text, ""
            if text.endswith(" "):
                text, self._space = text[:-1], " "
        return text
