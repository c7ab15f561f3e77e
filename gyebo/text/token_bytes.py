"""The bytes of each token of a vocabulary, so that text can be decoded as a whole or id by id.

`tokenizers` can only decode a finished list. Here every decoder of a `tokenizer.json` (of those that the family tree needs)
becomes a rule per token, and a text is the UTF-8 of the concatenated bytes of its tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

TokenRule = Callable[[str, bool], bytes]
"""(token, whether it is the first of the text) -> its bytes."""

# Replacements of the WordPiece decoder of `tokenizers` with cleanup, in its order.
_CLEANUP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@lru_cache(maxsize=1)
def byte_alphabet() -> dict[int, str]:
    """Byte -> its character in byte-level vocabularies (GPT-2): printable Latin-1 characters represent themselves, U+0100 and
    up the other 68 bytes, in order."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {byte: chr(byte) if byte in printable else chr(next(others)) for byte in range(256)}


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    return {char: byte for byte, char in byte_alphabet().items()}


def byte_level(token: str) -> bytes:
    """The bytes of a byte-level token; a token with a character outside the alphabet (an added token) is plain text."""
    table = _byte_of()
    try:
        return bytes([table[char] for char in token])
    except KeyError:
        return token.encode()


@dataclass(frozen=True)
class Decoding:
    """How the tokens of a vocabulary become text: a rule per token, and whether a space at the very end is dropped."""

    rule: TokenRule
    drop_last_space: bool = False
    strip_start: str = ""
    """Characters removed once from the start of the whole text."""


def decoding_of(decoder: dict[str, Any] | None) -> Decoding:
    """The rule for the `decoder` entry of a `tokenizer.json`. Raises ValueError for a decoder that gyebo cannot read."""
    if decoder is None:
        return Decoding(lambda token, first: (token if first else " " + token).encode())
    kind = decoder.get("type")
    if kind == "Sequence":
        return _sequence(decoder["decoders"])
    if kind == "Metaspace":
        return Decoding(_metaspace(decoder))
    if kind == "WordPiece":
        return Decoding(_wordtoken(decoder["prefix"], decoder["cleanup"]))
    if kind == "BPEDecoder":
        suffix = decoder["suffix"]
        return Decoding(lambda token, first: token.replace(suffix, " ").encode(), drop_last_space=True)
    return _sequence([decoder])


def _metaspace(decoder: dict[str, Any]) -> TokenRule:
    mark = decoder["replacement"]
    at_start = "" if decoder.get("prepend_scheme", "always") != "never" else " "
    return lambda token, first: token.replace(mark, at_start if first else " ").encode()


def _wordtoken(prefix: str, cleanup: bool) -> TokenRule:
    def rule(token: str, first: bool) -> bytes:
        if not first:
            token = token[len(prefix) :] if token.startswith(prefix) else " " + token
        for found, tidy in _CLEANUP if cleanup else ():
            token = token.replace(found, tidy)
        return token.encode()

    return rule


def _sequence(steps: list[dict[str, Any]]) -> Decoding:
    """A chain of steps per token that ends in bytes: Replace, Metaspace, then ByteLevel or ByteFallback, Fuse, Strip."""
    edits: list[Callable[[str, bool], str]] = []
    to_bytes: Callable[[str], bytes] = str.encode
    strip, fused = "", False
    for step in steps:
        kind = step.get("type")
        fused = fused or kind == "Fuse"
        if kind == "Replace":
            edits.append(_replacement(step["pattern"], step["content"]))
        elif kind == "Metaspace":
            metaspace = _metaspace(step)
            edits.append(lambda token, first, metaspace=metaspace: metaspace(token, first).decode())  # type: ignore[misc]
        elif kind == "ByteLevel":
            to_bytes = byte_level
        elif kind == "ByteFallback":
            to_bytes = _fallback_bytes
        elif kind == "Strip" and step["stop"] == 0 and fused:
            strip = step["content"] * step["start"]
        elif kind != "Fuse":
            raise ValueError(f"tokenizer.json: decoder step {kind!r} is not supported by gyebo")

    def rule(token: str, first: bool) -> bytes:
        for edit in edits:
            token = edit(token, first)
        return to_bytes(token)

    return Decoding(rule, strip_start=strip)


def _replacement(pattern: dict[str, str], content: str) -> Callable[[str, bool], str]:
    if "String" in pattern:
        found = pattern["String"]
        return lambda token, first: token.replace(found, content)
    regex = re.compile(pattern["Regex"])
    return lambda token, first: regex.sub(lambda match: content, token)


def _fallback_bytes(token: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(token)
    return bytes([int(match[1], 16)]) if match else token.encode()
