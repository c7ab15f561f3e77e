"""Agreement between raters about one question, beyond chance: Krippendorff's alpha and Fleiss' kappa, for names of classes.

Alpha (Krippendorff 2011) takes any number of ratings of an item and leaves out what is missing. Kappa (Fleiss 1971) needs the
same number of ratings of each item, not the same raters: it is computed over the items that have the most frequent number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gyebo.ssa.votes import Array, Numbers
from gyebo.tasks.metrics.inputs import library


@dataclass(frozen=True)
class Agreement:
    """`alpha` over the items with two ratings or more, `kappa` over those with exactly `kappa_ratings`; None, with the
    `reason`, where it can't be given."""

    alpha: float | None
    alpha_items: int
    kappa: float | None
    kappa_items: int
    kappa_ratings: int
    reason: str = ""


def agreement(votes: Array) -> Agreement:
    """Agreement of raters whose votes [N, M] are numbers of classes, NaN where there is none."""
    counts = (~np.isnan(votes)).sum(0)
    paired = votes[:, counts >= 2]
    if not paired.size:
        return Agreement(None, 0, None, 0, 0, "no item has two ratings")
    usual = _most_frequent(counts[counts >= 2])
    equal = votes[:, counts == usual]
    alpha, kappa = _alpha(paired), _kappa(equal)
    reason = "all ratings are the same, so that chance would agree as well" if alpha is None or kappa is None else ""
    return Agreement(alpha, paired.shape[1], kappa, equal.shape[1], usual, reason)


def _most_frequent(counts: Numbers) -> int:
    """The value that most have; of several the largest."""
    values, often = np.unique(counts, return_counts=True)
    return int(values[often == often.max()].max())


def _alpha(votes: Array) -> float | None:
    if _classes(votes).size < 2:
        return None
    return float(library("krippendorff").alpha(reliability_data=votes, level_of_measurement="nominal"))


def _kappa(votes: Array) -> float | None:
    """Of items with equal numbers of ratings."""
    classes = _classes(votes)
    if classes.size < 2:
        return None
    table = (votes[:, :, None] == classes).sum(0)  # [items, classes]
    return float(library("statsmodels.stats.inter_rater").fleiss_kappa(table, method="fleiss"))


def _classes(votes: Array) -> Array:
    return np.unique(votes[~np.isnan(votes)])
