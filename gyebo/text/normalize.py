"""Unicode normalisation (NFC), and the mapping from normalised characters back to the original text.

NFC composes equivalent characters: NFD Hangul (jamo) becomes syllables, a letter and its accent one character. NFKC is never
used (it turns the Korean laugh into another character), accents are never stripped (that splits Hangul into jamo).

The tables are those of this Python. `tokenizers` also has an NFC, which `tokenizer.json` uses, but its tables are of Unicode 9:
it does not reorder 99 rare marks of later versions (none of Korean, Latin, Greek or Cyrillic). Both leave text in NFC
unchanged, so ids differ from those of `transformers` only for text with such marks that is not in NFC.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

_LAST_WITH_DECOMPOSITION = 0x30000  # no character beyond plane 2 has a canonical decomposition
_NO_LETTER = re.compile(r"[\W_]+")
_MAX_SPLIT = 32  # a longer composed cluster (stacked marks) is mapped as a whole


def nfc(text: str) -> str:
    """The text in Unicode normalisation form C."""
    return unicodedata.normalize("NFC", text)


def text_key(text: str) -> str:
    """What of a text counts where two are compared that may be spelled differently: NFC, case-folded, without white space,
    punctuation and symbols."""
    return _NO_LETTER.sub("", nfc(nfc(text).casefold()))


def lone_surrogate(text: str, where: str = "text") -> ValueError:
    """The error for text that is not valid Unicode, with the first lone surrogate and its position."""
    for position, char in enumerate(text):
        if "\ud800" <= char <= "\udfff":
            return ValueError(
                f"{where}: lone surrogate U+{ord(char):04X} at character {position}; it has no UTF-8 form, "
                "so remove or replace it (bytes decoded with errors='surrogateescape' leave such characters)"
            )
    return ValueError(f"{where}: not valid Unicode")


@lru_cache(maxsize=1)
def _joining() -> frozenset[str]:
    """Characters after the first of some canonical decomposition, which may thus combine with the character before."""
    chars = [chr(code) for code in range(0x80, _LAST_WITH_DECOMPOSITION) if not 0xD800 <= code <= 0xDFFF]
    decomposed = unicodedata.normalize("NFD", "\n".join(chars)).split("\n")
    return frozenset(char for whole in decomposed for char in whole[1:])


def _starts_cluster(char: str) -> bool:
    """Whether normalisation never combines this character with the one before."""
    return char.isascii() or (not unicodedata.combining(char) and char not in _joining())


def _split(cluster: str) -> list[tuple[int, str]]:
    """Split a cluster where normalising the parts gives the normalised whole: [(number of characters, normalised part)]."""
    parts = []
    whole = nfc(cluster)
    while cluster:
        for cut in range(1, len(cluster)) if len(cluster) <= _MAX_SPLIT else ():
            head, tail = nfc(cluster[:cut]), nfc(cluster[cut:])
            if head + tail == whole:
                parts.append((cut, head))
                cluster, whole = cluster[cut:], tail
                break
        else:
            parts.append((len(cluster), whole))
            break
    return parts


def nfc_spans(text: str) -> tuple[str, list[tuple[int, int]] | None]:
    """NFC of the text and, for each character of it, the [start, end) of its original characters.

    The spans are None if the text is in NFC already.
    """
    normalized = nfc(text)
    if normalized == text:
        return text, None
    spans: list[tuple[int, int]] = []
    starts = [0, *(i for i in range(1, len(text)) if _starts_cluster(text[i])), len(text)]
    for start, end in pairwise(starts):
        cluster = text[start:end]
        if nfc(cluster) == cluster:
            spans.extend((i, i + 1) for i in range(start, end))
            continue
        for taken, part in _split(cluster):
            spans.extend([(start, start + taken)] * len(part))
            start += taken
    assert len(spans) == len(normalized), "a composition crossed the start of a cluster"
    return normalized, spans
