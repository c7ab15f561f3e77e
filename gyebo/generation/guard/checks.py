"""Checks: functions of texts, and of the prompt, to a score and a reason. The higher the score, the less wanted the text.

Letters: N texts or exemplars, D width of a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gyebo.text.word_list import WordList

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
"""The vectors [N, D] of texts, as an encoder gives them."""


@dataclass(frozen=True)
class Finding:
    """What a check found in a text; `reason`: the word, the nearest exemplar, the class."""

    score: float
    reason: str


class Check(Protocol):
    """A check. It reads several texts at once, as a model reads them faster so; a text does not depend on the others."""

    def __call__(self, texts: Sequence[str], prompt: str) -> list[Finding]:
        """A finding for each text of an answer to the prompt."""
        ...


def word_check(words: WordList) -> Check:
    """The weights of the words of the list that are in the text, each once; 0: none."""

    def check(texts: Sequence[str], prompt: str) -> list[Finding]:
        found = []
        for text in texts:
            spelled = {hit.entry: text[hit.start : hit.end] for hit in reversed(words.find(text))}
            heaviest = sorted(spelled, key=lambda entry: -entry.weight)
            reason = ", ".join(f"{entry.word}: {spelled[entry]!r}" for entry in heaviest)
            found.append(Finding(sum(entry.weight for entry in spelled), reason or "no word of the list"))
        return found

    return check


def class_check(scores: Callable[[Sequence[str]], Sequence[float]], name: str) -> Check:
    """What a classifier says of the unwanted class; `name` is the reason that is given."""

    def check(texts: Sequence[str], prompt: str) -> list[Finding]:
        return [Finding(float(score), name) for score in scores(texts)]

    return check


@dataclass(frozen=True)
class Exemplars:
    """Texts with their vectors, whitened and of length 1 [N, D]; `unwanted` [N]: False for texts that are allowed.

    `mean` [D] and `whitening` [D, D]: what is done to the vectors of an encoder. Those of a language model are alike in a few
    directions, so that nearly all of their cosines are large (Ethayarajh 2019); whitened, they are not (Su et al. 2021).
    """

    texts: tuple[str, ...]
    vectors: Vectors
    unwanted: NDArray[np.bool_]
    mean: Vectors
    whitening: Vectors


def whitened(vectors: Vectors, mean: Vectors, whitening: Vectors) -> Vectors:
    """Vectors [N, D] of length 1 whose directions are comparable; a vector that is the mean stays 0."""
    found = (vectors - mean) @ whitening
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def whitening_of(vectors: Vectors) -> tuple[Vectors, Vectors]:
    """Mean [D] and whitening [D, D] of the vectors of texts [N, D]; the covariance is shrunk (Ledoit and Wolf 2004), as there
    may be fewer texts than directions."""
    from sklearn.covariance import ledoit_wolf

    mean = vectors.mean(0)
    covariance, _ = ledoit_wolf((vectors - mean).astype(np.float64), assume_centered=True)
    values, directions = np.linalg.eigh(covariance)
    scale = 1 / np.sqrt(np.maximum(values, values.max() * 1e-6 + 1e-12))
    return mean, (directions * scale).astype(np.float32)


def exemplars_of(encode: Encode, unwanted: Sequence[str], allowed: Sequence[str], background: Sequence[str]) -> Exemplars:
    """Exemplars by their vectors; `background`: further texts that the whitening is computed from."""
    texts = [*unwanted, *allowed]
    vectors = encode([*texts, *background])
    mean, whitening = whitening_of(vectors)
    kinds = np.arange(len(texts)) < len(unwanted)
    return Exemplars(tuple(texts), whitened(vectors[: len(texts)], mean, whitening), kinds, mean, whitening)


def similarity_check(encode: Encode, exemplars: Exemplars, neighbours: int = 1) -> Check:
    """The cosine with the nearest exemplar, or the vote of the `neighbours` nearest: the mean of their cosines, with a minus
    for those that are allowed. All exemplars are compared."""
    signs = np.where(exemplars.unwanted, 1.0, -1.0)
    near = min(neighbours, len(signs))

    def check(texts: Sequence[str], prompt: str) -> list[Finding]:
        vectors = whitened(encode(texts), exemplars.mean, exemplars.whitening)
        cosines = vectors @ exemplars.vectors.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :near]
        return [_vote(row[best], best, signs, exemplars.texts) for row, best in zip(cosines, nearest)]

    return check


def _vote(cosines: Any, best: Any, signs: Any, texts: Sequence[str]) -> Finding:
    kind = "like" if signs[best[0]] > 0 else "like the allowed"
    return Finding(float((cosines * signs[best]).mean()), f"{kind} {texts[best[0]]!r} (cosine {cosines[0]:.3f})")
