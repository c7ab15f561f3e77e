"""Thresholds from scores of innocent texts, so that a stated share of them is blocked, by all checks together.

Letters: C checks, N innocent texts.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def fires(scores: Scores, thresholds: Scores) -> NDArray[np.bool_]:
    """Whether the scores [C, N] are above the thresholds [C]."""
    return scores > thresholds[:, None]


def blocks(scores: Scores, thresholds: Scores) -> NDArray[np.bool_]:
    """Whether any of the scores of a text is above its threshold, [N]."""
    return np.asarray(fires(scores, thresholds).any(0))


def thresholds(scores: Scores, rate: float) -> Scores:
    """A threshold for each check [C], above which at most `rate` of the innocent texts [C, N] lie in any of the checks.

    Checks with scores of different kinds share the rate by rank, which is by calibrated p-values: each may block the same
    number of innocent texts alone, k of N, so its threshold is its (k+1)-th largest score. k is the largest for which the texts
    that any check blocks are at most `rate` of all. Raises ValueError for no texts and a rate outside of 0 to 1.
    """
    if scores.ndim != 2 or not scores.size:
        raise ValueError("thresholds need scores of innocent texts, but there are none")
    if not 0 <= rate < 1:
        raise ValueError(f"the false-alarm rate must be at least 0 and below 1, but is {rate} instead")
    count = scores.shape[1]
    descending = -np.sort(-scores, axis=1)
    allowed = math.floor(rate * count + 1e-9)

    def blocked(rank: int) -> int:
        return int(blocks(scores, descending[:, rank]).sum())

    return descending[:, bisect_right(range(count), allowed, key=blocked) - 1]
