"""Which fonts have the letters of a text: class names and tokens may be of any script, matplotlib's own font has hardly any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

OWN = "DejaVu Sans"  # comes with matplotlib
# Common fonts with Hangul and Latin, which are asked first; other scripts are looked for in all.
KOREAN = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "UnDotum", "Baekmuk Gulim")
NO_LETTERS = "Last Resort"  # a font of placeholders, which has all


def fonts_for(texts: Sequence[str]) -> list[str] | None:
    """The fonts that together have every letter, the first for whatever it has; None where this machine has no such."""
    missing = {ord(letter) for text in texts for letter in text if letter.isprintable()} - _has(font_manager.findfont(OWN))
    if not missing:
        return [OWN]
    found = next((name for name, path in _installed() if missing <= _has(path)), None)
    return None if found is None else [OWN, found]


def _installed() -> Iterator[tuple[str, str]]:
    """(name, file) of the fonts in upright shape, the Korean ones first."""
    fonts = sorted({(font.name, font.fname) for font in font_manager.fontManager.ttflist if font.style == "normal"})
    fonts = [(name, path) for name, path in fonts if not name.startswith(NO_LETTERS)]
    yield from sorted(fonts, key=lambda font: KOREAN.index(font[0]) if font[0] in KOREAN else len(KOREAN))


@cache
def _has(path: str) -> frozenset[int]:
    """The code points that a font has; none of a file that is no font, or gone."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()


def without_formulas(text: str) -> str:
    """A text as matplotlib shows it: a dollar sign would start a formula."""
    return text.replace("$", r"\$")
