"""Korean morpheme borders for learning a tokenizer: no piece is learned across a border that Kiwi finds.

Kiwi is used only while learning; the tokenizer that comes out needs no analyser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any


def load_kiwi() -> Any:
    """A Kiwi analyser. Raises ImportError, naming the extra, where kiwipiepy is not installed."""
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise ImportError('morphemes needs kiwipiepy; run: pip install "gyebo[ko]"') from error
    return Kiwi()


def borders(text: str, spans: Iterable[tuple[int, int]]) -> list[int]:
    """The places inside a text where morphemes meet, given their [start, end) in it.

    Contracted morphemes overlap (했 = 하 + 었): there is no place to cut inside a span of another. Places beside white
    space are left out, as words begin there anyway, with their space.
    """
    edges: set[int] = set()
    covered: set[int] = set()
    for start, end in spans:
        edges.update((start, end))
        covered.update(range(start + 1, end))
    inside = (edge for edge in edges - covered if 0 < edge < len(text))
    return sorted(edge for edge in inside if not text[edge - 1].isspace() and not text[edge].isspace())


def mark_borders(texts: Iterable[str], mark: str) -> Iterator[str]:
    """The lines of the texts, in order, with `mark` at every morpheme border; a mark that a text held is taken out."""
    kiwi = load_kiwi()
    clean = (line + "\n" for text in texts for line in text.replace(mark, "").removesuffix("\n").split("\n"))
    for tokens, text in kiwi.tokenize(clean, echo=True):
        cuts = [0, *borders(text, ((token.start, token.start + token.len) for token in tokens)), len(text)]
        yield mark.join(text[start:end] for start, end in pairwise(cuts))
