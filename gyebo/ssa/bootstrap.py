"""Intervals of SSA by chance in both which contexts and which raters there were: both are drawn anew, with replacement.

A resample draws as many contexts (of an interactive sheet: conversations) as there are and, independently, as many raters; a
vote counts as often as its context and its rater were drawn together (the pigeonhole bootstrap of Owen 2007, whose variance
for two ways of sampling is never much too small). Raters who are drawn twice agree with themselves, so a majority of drawn
raters turns out otherwise more often than one of other raters: the resampled figures are shifted towards the middle, by more
than their spread where there are many contexts. So the interval is the spread of the resamples around their own mean, laid
around the estimate.

Letters: N raters, M items, C contexts, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gyebo.ssa.votes import FIGURES, Array, Numbers, Votes, figures

CONFIDENCE = 0.95
RESAMPLES = 2000
CHUNK = 100  # resamples at a time


@dataclass(frozen=True)
class Figure:
    """A fraction of 1, or a difference of two, with its interval of 95 %; None where it can't be given."""

    value: float | None
    low: float | None
    high: float | None


def contexts_of(names: Sequence[object]) -> Numbers:
    """The number of each item's context [M], counted from 0 in the order in which they come."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], dtype=np.int64)


def intervals(votes: Votes, contexts: Numbers, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Figure]:
    """`FIGURES` of some items with their intervals; `contexts` [M]: the number of each one's context."""
    votes = votes.by(_voted(votes))
    chance = np.random.default_rng(seed)
    found = []
    for size in _chunks(resamples):
        raters, drawn = _draw(chance, len(votes.raters), size), _draw(chance, int(contexts.max()) + 1, size)
        found.append(figures(votes, raters, drawn[:, contexts]))
    return _around(figures(votes), np.concatenate(found), low=0.0)


def differences(
    first: Votes, second: Votes, contexts: tuple[Numbers, Numbers], *, paired: bool, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Figure]:
    """`FIGURES` of the first bot minus those of the second, by the same raters.

    `contexts`: the numbers of both bots' contexts. `paired`: these are the same contexts, and drawn together.
    """
    either = _voted(first) | _voted(second)
    first, second = first.by(either), second.by(either)
    chance = np.random.default_rng(seed)
    found = []
    for size in _chunks(resamples):
        raters = _draw(chance, len(first.raters), size)
        drawn = _draw(chance, int(contexts[0].max()) + 1, size)
        other = drawn if paired else _draw(chance, int(contexts[1].max()) + 1, size)
        found.append(figures(first, raters, drawn[:, contexts[0]]) - figures(second, raters, other[:, contexts[1]]))
    return _around(figures(first) - figures(second), np.concatenate(found), low=-1.0)


def _voted(votes: Votes) -> Numbers:
    """The raters who answered anything [N]."""
    return np.any(~np.isnan(votes.sensible), axis=1, keepdims=True)[:, 0]


def _chunks(resamples: int) -> list[int]:
    return [min(CHUNK, resamples - start) for start in range(0, resamples, CHUNK)]


def _draw(chance: np.random.Generator, count: int, resamples: int) -> Array:
    """How often each of `count` is drawn in each resample [R, count]."""
    if count == 0:  # a bot that nobody rated
        return np.zeros((resamples, 0))
    return chance.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def _around(estimates: Array, resampled: Array, low: float) -> dict[str, Figure]:
    """Estimates [3] with the spread of their resamples [R, 3], within the range of what such a figure can be."""
    found = {}
    for name, estimate, values in zip(FIGURES, estimates, resampled.T):
        values = values[~np.isnan(values)]  # a resample may draw no rater of any item
        if np.isnan(estimate) or not len(values):
            found[name] = Figure(None, None, None)
            continue
        tail = (1 - CONFIDENCE) / 2
        ends = estimate + np.quantile(values - values.mean(), [tail, 1 - tail])
        found[name] = Figure(float(estimate), *(float(end) for end in np.clip(ends, low, 1.0)))
    return found
