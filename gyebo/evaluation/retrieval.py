"""How well a model finds the picture that belongs to a text among others, and a text that belongs to a picture.

Of N different pictures and all texts about them each text is looked for with each picture. A text that several of the pictures
have belongs to all of them, and a picture has several texts: whichever is found first counts. Published as R@K, the share of
searches with a right answer among the K best (Faghri et al. 2018, "VSE++"; Lu et al. 2019, section 4), and as the median rank.

Where candidates are scored alike, the figures are those of a random order of them: ranks are means, and R@K is the probability.
So a model that scores all candidates alike has the figures of chance.

Letters: Q searches, C candidates of each, T texts, P pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.data.batches import Rows
from gyebo.data.picture_plans import pictures_of
from gyebo.data.plan import DOCUMENT
from gyebo.data.streams import REGIONS, TOKENS
from gyebo.nn.ragged import first_tokens

BEST = (1, 5, 10)  # K
TEXT, IMAGE = "text", "image"  # what may be left out
AT_ONCE = 64  # pairs of a text and a picture, texts, or pictures
OWN = "its picture"  # how the label of a text with its own picture is called

Scores = NDArray[np.float64]
Right = NDArray[np.bool_]


# ---- ranks


def ranks(scores: Scores, right: Right) -> NDArray[np.float64]:
    """The rank [Q] of the first right candidate by scores [Q, C], from 1; among equal scores its mean over all orders.

    ValueError for scores that are no numbers, and for a search without a right candidate."""
    before, wrong, alike = _around(scores, right)
    return before + (wrong + alike + 1) / (alike + 1)


def found_within(scores: Scores, right: Right, most: int) -> NDArray[np.float64]:
    """Whether a right candidate is among the `most` best [Q]: 1, 0, or among equal scores the share of their orders in which
    one is. Errors as of `ranks`."""
    found = []
    for before, wrong, alike in zip(*(part.tolist() for part in _around(scores, right))):
        left = most - before
        found.append(0.0 if left <= 0 else 1 - comb(wrong, left) / comb(wrong + alike, min(left, wrong + alike)))
    return np.array(found)


def _around(scores: Scores, right: Right) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each search: how many candidates are better than the best right one, and of those that are scored like it how many are
    wrong and how many right."""
    if np.isnan(scores).any():
        raise ValueError("scores of candidates are not finite: the model's weights are damaged")
    if not right.any(1).all():
        raise ValueError(f"search {int(np.argmin(right.any(1))) + 1} has no right candidate")
    best = np.where(right, scores, -np.inf).max(1, keepdims=True)
    like = scores == best
    return (scores > best).sum(1), (like & ~right).sum(1), (like & right).sum(1)


def figures(scores: Scores, right: Right) -> dict[str, float]:
    """{"r1", "r5", "r10", "median_rank"} of searches."""
    return {f"r{most}": float(found_within(scores, right, most).mean()) for most in BEST} | {
        "median_rank": float(np.median(ranks(scores, right)))
    }


# ---- candidates


@dataclass(frozen=True)
class Candidates:
    """`texts`: ids as the model reads them; `pictures`: arrays by name, as it reads them; `right` [T, P]."""

    texts: list[NDArray[np.int64]]
    pictures: list[dict[str, NDArray[Any]]]
    right: Right


def candidates(rows: Rows, among: int) -> Candidates:
    """`among` different pictures of the rows, or all where there are fewer, in a random order that is always the same, with all
    their texts, each once."""
    pictures, plan = pictures_of(rows.split), rows.plan
    of = pictures.of[plan.pieces[:, DOCUMENT]]  # type: ignore[union-attr]
    numbers: dict[bytes, list[int]] = {}  # pixels -> the rows of all pictures that look so
    for picture in np.random.default_rng(0).permutation(np.unique(of)):
        pixels = pictures.read(int(picture)).tobytes()
        if pixels in numbers or len(numbers) < among:
            numbers.setdefault(pixels, []).extend(np.flatnonzero(of == picture).tolist())
    texts: dict[bytes, NDArray[np.int64]] = {}
    found, pairs = [], []
    for place, some in enumerate(numbers.values()):
        batch = rows.batch(np.array(some), [[0]] * len(some))
        found.append(_picture(batch))
        for ids, real in zip(batch["input_ids"], batch[TOKENS.document_ids] > 0):
            text = ids[real]
            texts.setdefault(text.tobytes(), text)
            pairs.append((text.tobytes(), place))
    at = {key: number for number, key in enumerate(texts)}
    right = np.zeros((len(texts), len(found)), bool)
    for key, place in pairs:
        right[at[key], place] = True
    return Candidates([*texts.values()], found, right)


def _picture(batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """What a model reads of the picture of a batch's first row."""
    if "pixels" in batch:
        return {"pixels": batch["pixels"][0]}
    real = batch[REGIONS.document_ids][0] > 0
    return {name: batch[name][0][real] for name in ("visual_feats", "visual_pos")}


# ---- scores


@torch.no_grad()
def evaluate_retrieval(
    model: Any,
    rows: Rows,
    *,
    among: int = 100,
    empty: NDArray[np.int64] | None = None,
    left_out: str | None = None,
    on_step: Callable[[float], None] | None = None,
) -> dict[str, float]:
    """pictures, texts: how many; picture_r1, picture_r5, picture_r10, picture_median_rank: of the pictures for each text;
    text_r1 and so on: of the texts for each picture; chance_...: the same of a random order.

    `left_out`: TEXT or IMAGE, which is then the same for all pairs: `empty`, the ids of no text, or nothing to see. Then
    nothing is left to find anything by.
    """
    found = candidates(rows, among)
    score = _by_vectors if model.compares else _by_pairs
    given = Candidates([empty] if left_out == TEXT and empty is not None else found.texts, found.pictures, found.right)
    shape = found.right.shape
    if left_out == IMAGE:
        given = Candidates(given.texts, [_nothing(model)], given.right)
    scores = np.broadcast_to(score(model, rows.objective, given, on_step or (lambda share: None)), shape)
    result: dict[str, float] = {"pictures": shape[1], "texts": shape[0]}
    sides = {"picture": (scores, found.right), "text": (scores.T, found.right.T)}
    for side, (of, right) in sides.items():
        result |= {f"{side}_{name}": value for name, value in figures(of, right).items()}
    for side, (of, right) in sides.items():
        result |= {f"chance_{side}_{name}": value for name, value in figures(np.zeros(of.shape), right).items()}
    return result


def _nothing(model: Any) -> dict[str, NDArray[Any]]:
    """A picture with nothing to see: no regions, or pixels of the colour that is zero for the model."""
    side = model.config.picture_size if model.compares else 0
    return {"pixels": np.zeros((3, side, side), np.float32)} if side else {}


def _by_vectors(model: Any, objective: Any, given: Candidates, on_step: Callable[[float], None]) -> Scores:
    """The cosine of each text and picture, whose vectors are computed once."""
    device = next(model.parameters()).device
    texts = []
    for ids, mask in _padded(given.texts):
        texts.append(model.text_vectors(ids.to(device), mask.to(device)))
        on_step(0.5 * sum(map(len, texts)) / len(given.texts))
    pictures = []
    for first in range(0, len(given.pictures), AT_ONCE):
        pixels = np.stack([each["pixels"] for each in given.pictures[first : first + AT_ONCE]])
        pictures.append(model.picture_vectors(torch.from_numpy(pixels).to(device)))
        on_step(0.5 + 0.5 * sum(map(len, pictures)) / len(given.pictures))
    cosines: Scores = (torch.cat(texts).double() @ torch.cat(pictures).double().T).cpu().numpy()
    return cosines


def _by_pairs(model: Any, objective: Any, given: Candidates, on_step: Callable[[float], None]) -> Scores:
    """How much more probable it is that they belong together than that they don't, as log-odds of the head that learned it, of
    each text with each picture, whose regions are read once."""
    device, head = next(model.parameters()).device, objective.matching
    own = next(field.names for field in objective.fields if field.name == head).index(OWN)
    batches = [(ids.to(device), mask.to(device)) for ids, mask in _padded(given.texts)]
    scores = np.zeros((len(given.texts), len(given.pictures)))
    for number, picture in enumerate(given.pictures):
        regions = {name: torch.from_numpy(values).to(device) for name, values in picture.items()}
        column = []
        for ids, mask in batches:
            shown = {name: values.expand(len(ids), *values.shape) for name, values in regions.items()}
            encoded = model.encode(ids, mask, **shown)
            logits = model.project(_matched(model, encoded, mask, head), head).double()
            column.append((logits[:, own] - logits[:, 1 - own]).cpu().numpy())
        scores[:, number] = np.concatenate(column)
        on_step((number + 1) / len(given.pictures))
    return scores


def _matched(model: Any, encoded: Any, mask: Tensor, head: str) -> Tensor:
    """The vectors from which the head tells whether texts and pictures belong together."""
    return model.joint_vectors(encoded, mask != 0, None) if head == "alignment" else first_tokens(encoded.hidden, mask != 0)


def _padded(texts: list[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Texts in their order, some at once, as ids and mask."""
    for first in range(0, len(texts), AT_ONCE):
        some = texts[first : first + AT_ONCE]
        ids = np.zeros((len(some), max(map(len, some))), np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(some):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        yield torch.from_numpy(ids), torch.from_numpy(mask)
