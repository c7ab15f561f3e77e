"""Korean morpheme boundaries for training a tokenizer: no token crosses a boundary that Kiwi finds in the training text.

Kiwi is only used in training; the resulting tokenizer needs no analyser.
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


def boundaries(text: str, spans: Iterable[tuple[int, int]]) -> list[int]:
    """The positions within a text between adjacent morphemes, given their [start, end) in it.

    Contracted morphemes overlap (했 = 하 + 었), and a text is not cut within the span of a morpheme. Positions next to white
    space are omitted, because words start there anyway, with their space.
    """
    ends: set[int] = set()
    covered: set[int] = set()
    for start, end in spans:
        ends.update((start, end))
        covered.update(range(start + 1, end))
    inside = (at for at in ends - covered if 0 < at < len(text))
    return sorted(at for at in inside if not text[at - 1].isspace() and not text[at].isspace())


def mark_boundaries(texts: Iterable[str], mark: str) -> Iterator[str]:
    """The lines of the texts, in order, with `mark` at every morpheme boundary; marks in the texts are removed first."""
    kiwi = load_kiwi()
    clean = (line + "\n" for text in texts for line in text.replace(mark, "").removesuffix("\n").split("\n"))
    for tokens, text in kiwi.tokenize(clean, echo=True):
        cuts = [0, *boundaries(text, ((token.start, token.start + token.len) for token in tokens)), len(text)]
        yield mark.join(text[start:end] for start, end in pairwise(cuts))
