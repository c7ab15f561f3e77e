"""Judging pictures by a CLIP: whether a picture's own text is nearer than others, and the best of several by another CLIP.

Letters: T texts, C pictures of each, S pixels of a side, E width of the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from drawing_texts import Asked, Pixels
from numpy.typing import NDArray
from torch import Tensor

from gyebo.evaluation.retrieval import found_within
from gyebo.generation.drawing import padded
from gyebo.interchange import load

AT_ONCE = 256
ALL = "all facts"
AMONG, COSINE = "first among the texts", "cosine"

Values = NDArray[np.float64]


class Clip:
    """A trained CLIP."""

    def __init__(self, name: str):
        model, self.tokenizer = load(name)
        self.model = model.eval()

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> Tensor:
        """Vectors [T, E]; a text that is too long is cut before its end token."""
        most, rows = self.model.config.context, []
        for text in texts:
            ids = self.tokenizer(text)["input_ids"]
            rows.append(ids if len(ids) <= most else [*ids[: most - 1], ids[-1]])
        some = (rows[first : first + AT_ONCE] for first in range(0, len(rows), AT_ONCE))
        return torch.cat([self.model.text_vectors(*padded(each, torch.device("cpu"))) for each in some]).double()

    @torch.inference_mode()
    def pictures(self, pixels: Pixels) -> Tensor:
        """Vectors [T, C, E] of pictures uint8 [T, C, S, S, 3]."""
        flat = torch.from_numpy(pixels.reshape(-1, *pixels.shape[2:]))
        found = torch.cat([self.model.picture_vectors(some) for some in flat.split(AT_ONCE)])
        return found.view(*pixels.shape[:2], -1).double()

    def cosines(self, texts: Sequence[str], pixels: Pixels) -> Values:
        """Of pictures with their own texts, [T, C]."""
        return torch.einsum("te,tce->tc", self.texts(texts), self.pictures(pixels)).numpy()


@dataclass(frozen=True)
class Judged:
    """Name -> a value for each picture [t, C], of the t texts that have it: of a fact 1 where the own text is nearer than all
    that differ in this fact alone, and 0 elsewhere; `AMONG`: 1 where it is the nearest of all T; `COSINE`.
    `rows`: which of the T texts these are."""

    values: dict[str, Values]
    rows: dict[str, NDArray[np.int64]]

    def means(self) -> dict[str, float]:
        """Over all pictures."""
        return {name: float(values.mean()) for name, values in self.values.items()}

    def best_of(self, ranking: Values, count: int) -> dict[str, float]:
        """The same of the best of `count` pictures by ranking [T, C]; a text's C pictures are so many groups."""
        return {
            name: float(np.take_along_axis(_groups(values, count), _best(ranking[self.rows[name]], count), -1).mean())
            for name, values in self.values.items()
        }


def _groups(values: Values, count: int) -> Values:
    return values.reshape(len(values), -1, count)


def _best(ranking: Values, count: int) -> NDArray[np.int64]:
    return _groups(ranking, count).argmax(-1, keepdims=True)


def judge(clip: Clip, asked: Sequence[Asked], pixels: Pixels) -> Judged:
    """Judge pictures uint8 [T, C, S, S, 3] of T different texts."""
    vectors, own = clip.pictures(pixels), clip.texts([each.text for each in asked])
    texts, several = vectors.shape[:2]
    scores = (vectors.flatten(0, 1) @ own.T).numpy()
    right = np.repeat(np.eye(texts, dtype=bool), several, 0)
    values = {AMONG: found_within(scores, right, 1).reshape(texts, several)}
    values[COSINE] = scores[right].reshape(texts, several)
    rows = dict.fromkeys(values, np.arange(texts))
    found: dict[str, dict[int, Values]] = {}
    for number, each in enumerate(asked):
        nearer = {}
        for fact, others in each.others.items():
            nearest = (vectors[number] @ clip.texts(others).T).amax(1).numpy()
            nearer[fact] = (values[COSINE][number] > nearest).astype(np.float64)
        if len(nearer) > 1:
            nearer[ALL] = np.minimum.reduce([*nearer.values()])
        for fact, of in nearer.items():
            found.setdefault(fact, {})[number] = of
    for fact, some in found.items():
        values[fact], rows[fact] = np.stack([*some.values()]), np.array([*some])
    return Judged(values, rows)


def chances(asked: Sequence[Asked]) -> dict[str, float]:
    """The same shares where pictures have nothing to do with their texts and all texts are equally likely."""
    parts: dict[str, list[float]] = {AMONG: [1 / len(asked)]}
    for each in asked:
        for fact, others in each.others.items():
            parts.setdefault(fact, []).append(1 / (1 + len(others)))
        if len(each.others) > 1:
            parts.setdefault(ALL, []).append(1 / (1 + sum(map(len, each.others.values()))))
    return {name: float(np.mean(values)) for name, values in parts.items()}
