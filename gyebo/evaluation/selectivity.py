"""Which units of a network answer to a concept in every way that it is shown: as a word, in a picture, in another style.

Stimuli of one condition (the words, the pictures of one style) belong to concepts, and concepts to groups: the others of its
group are what a concept has to be told from. For unit u, concept c and condition k

    AUC(u, c, k) = P(u is higher for c than for another concept of its group), ties counted half (Mann & Whitney 1947)
    z(u, c, k)   = (AUC - 1/2) / sqrt((N + 1) / (12 n m)), n stimuli of c, m of the others, N = n + m

The score of a unit for a concept is the smallest AUC over conditions, or the smallest 1 - AUC where that is larger: it has to
answer in all of them, and in the same direction.

Significance: labels are permuted within a group of a condition, the same way for all units, so that how units depend on each
other stays as it is. Of each permutation the largest |z| over all units and concepts is kept (Westfall & Young 1993, single
step):

    p(u, c, k) = (1 + number of permutations with a largest |z| of at least |z(u, c, k)|) / (1 + permutations)
    p(u, c)    = the largest p(u, c, k) over conditions, 1 where directions differ

That is a test of the conjunction (Nichols et al. 2005): it is at most as probable as the level says that any unit is found for
a concept to which it does not answer in one of the conditions, whatever it does in the others. Permuting all conditions at
once and comparing the smallest statistics would test that a unit answers to nothing at all, and finds too many units that
answer to words alone.

Being told apart is not yet being known. A word is always the same few tokens, so random weights answer to it, too; a unit that
is highest for one of C words and for one of C kinds of pictures has the same one in both with a probability of 1 / C, by
coincidence. `coincidences` counts how many units would be found if words named other concepts of their group than they do: what
the number of units that were found has to be compared with.

K conditions, S stimuli, U units, C concepts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AT_ONCE = 1 << 24  # numbers of a matrix of rank sums
NAMINGS = 1000  # of concepts at random, to count coincidences
SLACK = 1e-9  # two statistics of the same ranks are equal, however they were rounded


@dataclass(frozen=True)
class Selectivity:
    """`conditions`, and `concepts` with their `groups`, in the order of the arrays. `auc` [K, U, C]; `score` [U, C];
    `direction` [U, C], 1: higher for the concept, -1: lower; `p` [U, C], corrected for all units and concepts, and `p_each`
    [K, U, C] of each condition."""

    conditions: tuple[str, ...]
    groups: tuple[str, ...]
    concepts: tuple[str, ...]
    auc: Floats
    p_each: Floats
    score: Floats
    direction: NDArray[np.int64]
    p: Floats


@dataclass(frozen=True)
class _Block:
    """A group in a condition. `ranks` [U, s], centred; `members` [s, c]: which stimulus is of which concept; `places` [c]: the
    concepts' numbers; `scale` [c]: by which a centred rank sum becomes an AUC - 1/2; `unit` [c]: by which that becomes a z."""

    ranks: NDArray[np.floating]
    members: NDArray[np.floating]
    places: NDArray[np.int64]
    scale: Floats
    unit: Floats

    def shifts(self, members: NDArray[np.floating]) -> Floats:
        """AUC - 1/2 of each unit and column of members [s, n * c]: [U, n, c]."""
        sums = (self.ranks @ members).reshape(len(self.ranks), -1, len(self.places))
        return sums * self.scale


def selectivity(
    activations: NDArray[np.floating],
    conditions: Sequence[str],
    groups: Sequence[str],
    concepts: Sequence[str],
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> Selectivity:
    """The selectivity of units for concepts.

    activations: [S, U]. conditions, groups, concepts: of each stimulus. A concept is named by its group and itself, so two
    groups may use a name. Raises ValueError for activations that are not finite, a concept without stimuli in one of the
    conditions, and a group of a single concept.
    """
    if not np.isfinite(activations).all():
        raise ValueError("activations are not finite: the model gives infinite or undefined numbers for some stimulus")
    named = list(dict.fromkeys(zip(groups, concepts)))
    order = list(dict.fromkeys(conditions))
    rng, units = np.random.default_rng(seed), activations.shape[1]
    auc = np.full((len(order), units, len(named)), 0.5)
    p_values = np.ones_like(auc)
    for k, condition in enumerate(order):
        blocks = [_block(activations, conditions, groups, concepts, named, condition, g) for g in dict.fromkeys(groups)]
        z = np.zeros((units, len(named)))
        for block in blocks:
            shift = block.shifts(block.members)[:, 0]
            auc[k][:, block.places] += shift
            z[:, block.places] = shift * block.unit
        largest = _largest(blocks, permutations, rng)
        reached = permutations - np.searchsorted(largest, np.abs(z) - SLACK)
        p_values[k] = (1 + reached) / (1 + permutations)
    up, down = auc.min(0), (1 - auc).min(0)
    direction = np.where(up >= down, 1, -1)
    score = np.maximum(up, down)
    p = np.where(score > 0.5, p_values.max(0), 1.0)
    of, called = zip(*named)
    return Selectivity(tuple(order), of, called, auc, p_values, score, direction, p)


@dataclass(frozen=True)
class Coincidences:
    """Of a group of concepts: how many of its pairs of a unit and a concept were `found`; how many would be if words named its
    concepts at random, on average (`expected`) and at `most` of all draws; `p`: (1 + number of draws with at least as many as
    found) / (1 + draws). Of C concepts it is at least about 1 / C!, so two or three concepts show nothing."""

    group: str
    concepts: int
    found: int
    expected: float
    most: int
    p: float


def coincidences(
    result: Selectivity, words: Collection[str], level: float, *, draws: int = NAMINGS, seed: int = 0
) -> list[Coincidences]:
    """How many units are found in each group, and how many by coincidence. words: the conditions whose concepts are exchanged
    with each other within a group, all of them in the same way."""
    rng, found = np.random.default_rng(seed), []
    chosen = np.array([condition in words for condition in result.conditions])
    hit = np.where(result.p_each <= level, np.sign(result.auc - 0.5), 0.0)  # [K, U, C]: in which direction, 0: not
    told, seen = (_agreed(hit[some]) for some in (chosen, ~chosen))
    for group in dict.fromkeys(result.groups):
        at = np.flatnonzero([of == group for of in result.groups])
        both = told[:, at].T @ seen[:, at]  # [c, c]: units that answer to these words and those pictures, less opposite ones
        agree = (both + np.abs(told[:, at]).T @ np.abs(seen[:, at])) / 2
        every = np.arange(len(at))
        counts = np.array([agree[rng.permutation(every), every].sum() for _ in range(draws)])
        own = round(float(np.trace(agree)))
        reached = int((counts >= own - SLACK).sum())
        mean = float(counts.mean())
        found.append(Coincidences(group, len(at), own, mean, round(float(counts.max())), (1 + reached) / (1 + draws)))
    return found


def _agreed(hit: Floats) -> Floats:
    """Directions [K, U, C] that are the same in all conditions, otherwise 0: [U, C]."""
    return np.where((hit == hit[0]).all(0), hit[0], 0.0)


def _block(
    activations: NDArray[np.floating],
    conditions: Sequence[str],
    groups: Sequence[str],
    concepts: Sequence[str],
    named: list[tuple[str, str]],
    condition: str,
    group: str,
) -> _Block:
    """The stimuli of a group in a condition, as ranks."""
    from scipy.stats import rankdata

    places = np.array([number for number, (of, _) in enumerate(named) if of == group])
    at = [i for i, (k, g) in enumerate(zip(conditions, groups)) if k == condition and g == group]
    if len(places) < 2:
        only = named[places[0]][1]
        raise ValueError(f"{only!r} is the only concept of its group {group!r}: there is nothing to tell it from")
    members = np.array([[concepts[i] == named[place][1] for place in places] for i in at], np.float64).reshape(-1, len(places))
    count = members.sum(0)
    if not count.all():
        missing = named[places[int(np.argmin(count))]][1]
        raise ValueError(f"the concept {missing!r} has no stimulus in the condition {condition!r}: it needs one in each")
    total = len(at)
    others = total - count
    ranks = rankdata(activations[at], axis=0).T - (total + 1) / 2
    exact = np.float32 if total * total < 1 << 23 else np.float64  # sums of halves that float32 holds exactly
    unit = 1 / np.sqrt((total + 1) / (12 * count * others))
    return _Block(ranks.astype(exact), members.astype(exact), places, 1 / (count * others), unit)


def _largest(blocks: Sequence[_Block], permutations: int, rng: np.random.Generator) -> Floats:
    """The largest |z| over all units and concepts of a condition, of each permutation, ascending."""
    found = np.zeros(permutations)
    for block in blocks:
        step = max(1, AT_ONCE // max(1, block.ranks.shape[0] * block.members.shape[1]))
        for first in range(0, permutations, step):
            count = min(step, permutations - first)
            drawn = np.concatenate([block.members[rng.permutation(len(block.members))] for _ in range(count)], 1)
            z = np.abs(block.shifts(drawn)).max(0) * block.unit
            found[first : first + count] = np.maximum(found[first : first + count], z.max(1))
    return np.sort(found)
