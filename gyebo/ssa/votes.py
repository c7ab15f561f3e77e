"""From ratings to figures: votes as arrays, the majority over raters, sensibleness, specificity and SSA as published.

Each response has two yes/no questions, and what is not sensible is not specific (Adiwardana et al. 2020, section 2). The
majority decides each question, more than half of those who answered it: the paper's five raters can't be at a tie, other
numbers can, and a tie is a no. Sensibleness and specificity are the shares of responses, SSA their plain average.

Letters: N raters, M items, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gyebo.ssa.ratings import Rating
from gyebo.ssa.sheet import Item

Array = np.ndarray[Any, np.dtype[np.float64]]
Numbers = np.ndarray[Any, np.dtype[Any]]
FIGURES = ("sensibleness", "specificity", "ssa")


@dataclass(frozen=True)
class Votes:
    """What raters answered about items: 1 yes, 0 no, NaN not known. `sensible`, `specific`: [N, M]."""

    sensible: Array
    specific: Array
    raters: tuple[str, ...]

    def of(self, items: Numbers) -> Votes:
        """Those about some items, a mask [M]."""
        return Votes(self.sensible[:, items], self.specific[:, items], self.raters)

    def by(self, raters: Numbers) -> Votes:
        """Those by some raters, a mask [N]."""
        names = tuple(name for name, kept in zip(self.raters, raters) if kept)
        return Votes(self.sensible[raters], self.specific[raters], names)


def votes_of(items: Sequence[Item], ratings: Sequence[Rating]) -> Votes:
    """The votes about these items; a rater who does not find a response sensible does not find it specific, whatever was
    said."""
    raters = tuple(sorted({rating.rater for rating in ratings}))
    row, column = {name: i for i, name in enumerate(raters)}, {item.id: j for j, item in enumerate(items)}
    sensible, specific = np.full((2, len(raters), len(items)), np.nan)
    for rating in ratings:
        if rating.item in column:
            place = row[rating.rater], column[rating.item]
            sensible[place] = rating.sensible
            second = rating.specific if rating.sensible else False
            specific[place] = np.nan if second is None else second
    return Votes(sensible, specific, raters)


def majority(votes: Array, weights: Array | None = None) -> Array:
    """Of votes [N, M]: 1 where more than half say yes, 0 where not, NaN where nobody answered: [M].

    `weights` [R, N]: how often each rater counts in each resample; gives [R, M].
    """
    counted = np.ones((1, len(votes))) if weights is None else weights
    yes, answered = counted @ np.nan_to_num(votes), counted @ (~np.isnan(votes)).astype(np.float64)
    decided = np.where(answered > 0, (2 * yes > answered).astype(np.float64), np.nan)
    return decided[0] if weights is None else decided


def ties(votes: Array) -> int:
    """Number of items about which as many said yes as no."""
    answered = (~np.isnan(votes)).sum(0)
    return int(((2 * np.nansum(votes, 0) == answered) & (answered > 0)).sum())


def figures(votes: Votes, rater_weights: Array | None = None, item_weights: Array | None = None) -> Array:
    """Sensibleness, specificity and SSA as fractions of 1: [3], or with weights [R, N] and [R, M] of resamples [R, 3].

    A figure is NaN where no item has an answer to its question.
    """
    decided = [majority(answers, rater_weights) for answers in (votes.sensible, votes.specific)]
    weights = np.ones(votes.sensible.shape[1]) if item_weights is None else item_weights
    means = [_mean(values, weights) for values in decided]
    return np.stack([*means, (means[0] + means[1]) / 2], axis=-1)


def _mean(values: Array, weights: Array) -> Array:
    counted = weights * ~np.isnan(values)
    total = counted.sum(-1)
    with np.errstate(invalid="ignore"):  # 0 / 0: NaN
        return (counted * np.nan_to_num(values)).sum(-1) / total
