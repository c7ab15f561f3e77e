"""Texts that are looked for in a corpus, such as the test examples of a task: found by a key that small changes leave alone.

A text is cut into its lines and sentences; the key of each is NFKC in lower case without spaces, punctuation and symbols, with
repeated letters once. Short texts are left out: many people write "so good!" without knowing of each other.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Bytes of a key: 10 syllables of Hangul, or 30 Latin letters. Of NSMC's test reviews, which its other parts don't hold, about
# one in 40,000 of those that are longer is found by chance; as a sentence of a document one of that length is a common phrase.
LEAST, LEAST_WITHIN = 30, 60
EXACT, NEAR, CONTAINED = "exact", "near", "contained"  # how a text is found, the closest first
WAYS = (EXACT, NEAR, CONTAINED)

_BORDER = re.compile(r"(?<=[.!?。])[\"'”’»)\]]*\s+|\n+")  # NFKC has made "…", "！" and "？" of these
_OTHER = re.compile(r"[\W_]+")
_REPEATED = re.compile(r"([^\W\d_])\1+")  # of a digit it would change the number


def keys(text: str) -> tuple[str, ...]:
    """The keys of the lines and sentences of a text, in order, without empty ones."""
    parts = _BORDER.split(unicodedata.normalize("NFKC", text).casefold())
    return tuple(key for part in parts if (key := _REPEATED.sub(r"\1", _OTHER.sub("", part))))


def joined(parts: Sequence[str]) -> str:
    """The key of a whole text from those of its sentences, wherever they end."""
    return parts[0] if len(parts) == 1 else _REPEATED.sub(r"\1", "".join(parts))


def near_key(*texts: str) -> str:
    """The key of a whole text, or of several in order; "" where it is too short to tell."""
    key = "\n".join(joined(keys(text) or ("",)) for text in texts)
    return key if len(key.encode()) >= LEAST else ""


def plain(text: str) -> str:
    """A text as it is compared for equality: NFC, without space around it."""
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True)
class Wanted:
    """Texts by their keys. Sentences of a text are found in a document where they stand there one after the other."""

    whole: dict[str, set[str]]  # key of a text -> the texts that have it, as `plain` gives them
    starts: dict[str, set[tuple[str, ...]]]  # key of a first sentence -> the keys of the texts that begin with it

    @classmethod
    def of(cls, texts: Iterable[str]) -> Wanted:
        """All texts but the short ones."""
        whole: dict[str, set[str]] = {}
        starts: dict[str, set[tuple[str, ...]]] = {}
        for text in texts:
            parts = keys(text)
            if parts and len((key := joined(parts)).encode()) >= LEAST:
                whole.setdefault(key, set()).add(plain(text))
                if len(key.encode()) >= LEAST_WITHIN:
                    starts.setdefault(parts[0], set()).add(parts)
        return cls(whole, starts)

    def find(self, document: str) -> dict[str, str]:
        """What a document holds: key of a text -> how. `EXACT` says that one of the texts with this key is the document."""
        parts = keys(document)
        if not parts:
            return {}
        found = {}
        for place, part in enumerate(parts):
            for wanted in self.starts.get(part, ()):
                if parts[place : place + len(wanted)] == wanted:
                    found[joined(wanted)] = CONTAINED
        if (key := joined(parts)) in self.whole:
            found[key] = EXACT if plain(document) in self.whole[key] else NEAR
        return found
