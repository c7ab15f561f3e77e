"""Which differences between candidates are larger than chance explains: chance between random seeds, and between test examples.

Every candidate is compared with the leader by Tukey's studentized range, so that all verdicts by one metric together keep one
level. The variance of a difference is

    that between seeds         shared by all candidates, but never below that of the two compared;
    + that between examples    of the difference of the two means, by a bootstrap that draws the same examples for all;
    - what stands in both      the part that seeds and examples have in common.

Simulations in `tests/compare/test_verdicts.py` hold what this gives: how often a verdict is false, and how often a real
difference is found.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

CONFIDENCE = 0.95
LEAST_PAIRED = 3  # seeds
BEST, BEHIND, OPEN, ALONE = "best", "behind", "no difference shown", "nothing to compare with"

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The scores of one candidate by one metric.

    `values`: one a seed. `resampled` [seeds, R]: each seed's score on R resamples of the examples, the same resamples for all
    candidates; None where only the score is known. `block`: candidates of the same block (not None) have the same family and
    shape, so that a seed means the same start for them.
    """

    values: Sequence[float]
    resampled: Array | None = None
    block: Hashable = None


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of one metric over seeds; with one seed the deviation is unknown and its fields are None.

    `deviation`: sample standard deviation (divisor n - 1). `low`, `high`: the 95 % interval of the mean.
    """

    count: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of one candidate minus mean of another, with a confidence interval; its ends are None where either has one seed."""

    mean: float
    low: float | None
    high: float | None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero: a difference larger than chance explains."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarise(sample: Sample) -> Summary:
    """Mean, sample standard deviation and 95 % interval; ValueError for no values or one that is not finite.

    The interval is Student's over seeds; where resamples are known, it has the examples' part too.
    """
    values = _checked(sample)
    mean, count = float(values.mean()), len(values)
    if count == 1:
        return Summary(1, mean, None, None, None)
    deviation = float(values.std(ddof=1))
    half = _half_width(*_with_examples((deviation**2 / count, count - 1.0), [sample]), 1 - CONFIDENCE)
    return Summary(count, mean, deviation, mean - half, mean + half)


def against_leader(
    samples: Mapping[str, Sample], *, higher: bool = False, resolution: float = 0.0
) -> tuple[str, dict[str, Difference]]:
    """The name with the best mean, and every other one's difference to it: intervals that hold together with 95 % confidence.

    `higher`: whether higher scores are better. `resolution`: the step in which scores are counted (1 / examples): equal counts
    of two seeds are no proof of no variance, so that of rounding to these steps, resolution^2 / 12, is added to each one's.
    Raises ValueError where numbers of seeds differ, or a value is not finite.
    """
    seeds = _Seeds(samples, resolution)
    pick = max if higher else min
    leader = pick(samples, key=lambda name: float(seeds.values[name].mean()))
    found = {}
    for name in samples:
        if name == leader:
            continue
        gap = seeds.gap(name, leader)
        if seeds.count == 1:
            found[name] = Difference(gap, None, None)
            continue
        variance, freedom = _with_examples(seeds.of_difference(name, leader), [samples[name], samples[leader]])
        half = studentized_range(len(samples), freedom) * math.sqrt(variance / 2)
        found[name] = Difference(gap, gap - half, gap + half)
    return leader, found


def verdicts(samples: Mapping[str, Sample], *, higher: bool = False, resolution: float = 0.0) -> dict[str, str]:
    """The verdict of each name: "best", "no difference shown" or "behind". Arguments and errors as in `against_leader`.

    A candidate is "behind" where its difference to the leader is shown, or where one that is called behind scores better. The
    leader is "best" where all others are behind; otherwise it shares "no difference shown" with those that are not. One name
    alone is "nothing to compare with".
    """
    if len(samples) < 2:
        return dict.fromkeys(samples, ALONE)
    _, found = against_leader(samples, higher=higher, resolution=resolution)
    gaps = [abs(difference.mean) for difference in found.values() if difference.shown]
    nearest = min(gaps, default=math.inf)
    said = {name: BEHIND if abs(difference.mean) >= nearest else OPEN for name, difference in found.items()}
    return {name: said.get(name, BEST if set(said.values()) == {BEHIND} else OPEN) for name in samples}


def against_fixed(
    samples: Mapping[str, Sample], name: str, fixed: Sample, *, comparisons: int = 1, resolution: float = 0.0
) -> Difference:
    """A candidate's mean minus a score without chance between seeds (a baseline's: one value), by Student's t.

    The variance between seeds is that of `against_leader`. `comparisons`: intervals that hold together (Bonferroni).
    """
    seeds = _Seeds(samples, resolution)
    gap = float(seeds.values[name].mean()) - float(fixed.values[0])
    if seeds.count == 1:
        return Difference(gap, None, None)
    variance, freedom = seeds.of_difference(name, name)
    total = _with_examples((variance / 2, freedom), [samples[name]], fixed)
    half = _half_width(*total, (1 - CONFIDENCE) / comparisons)
    return Difference(gap, gap - half, gap + half)


def includes_examples(samples: Mapping[str, Sample]) -> bool:
    """Whether chance between examples is known, and so a part of the verdicts."""
    return bool(samples) and all(sample.resampled is not None for sample in samples.values())


def studentized_range(candidates: int, freedom: float) -> float:
    """The quantile at 0.95 of Tukey's studentized range, to 0.3 %: log q is nearly linear in 1 / freedom."""
    inverse, logarithms = _exact_ranges(candidates)
    return math.exp(float(np.interp(1 / max(freedom, 1.0), inverse, logarithms)))


@lru_cache
def _exact_ranges(candidates: int) -> tuple[Array, Array]:
    """1 / freedom, ascending, and log q; scipy's quantile takes a tenth of a second."""
    from scipy import stats

    inverse = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0])
    freedom = [1 / found if found else math.inf for found in inverse]
    return inverse, np.log([stats.studentized_range.ppf(CONFIDENCE, candidates, found) for found in freedom])


# ---- variances


class _Seeds:
    """The variances between seeds of all candidates that one metric ranks.

    `resolution`: as in `against_leader`. Raises ValueError where numbers of seeds differ, or a value is not finite.
    """

    def __init__(self, samples: Mapping[str, Sample], resolution: float) -> None:
        self.values = {name: _checked(sample) for name, sample in samples.items()}
        self.blocks = {name: sample.block for name, sample in samples.items()}
        counts = [len(values) for values in self.values.values()]
        if len(set(counts)) > 1:
            raise ValueError(f"candidates need the same number of seeds, but have {counts}")
        self.count, self.rounding = counts[0], resolution**2 / 12
        if self.count > 1:
            self.each = {name: float(values.var(ddof=1)) + self.rounding for name, values in self.values.items()}
            self.shared = _pooled(list(self.each.values()), self.count)

    def gap(self, first: str, second: str) -> float:
        """Mean of the first minus mean of the second."""
        return float(self.values[first].mean() - self.values[second].mean())

    def of_difference(self, first: str, second: str) -> tuple[float, float]:
        """Variance of the difference of two means, and its degrees of freedom.

        Shared by all candidates; where the pair's own variance is larger, that, with degrees of freedom between the two.
        """
        block = self.blocks[first]
        if block is not None and block == self.blocks[second] and self.count >= LEAST_PAIRED and first != second:
            return self._paired(first, second)
        return self._larger(self.shared, _pooled([self.each[name] for name in dict.fromkeys((first, second))], self.count))

    def _paired(self, first: str, second: str) -> tuple[float, float]:
        """As `of_difference`, within one block: what a seed does to all of the block is taken out first."""
        table = np.stack([values for name, values in self.values.items() if self.blocks[name] == self.blocks[first]])
        left = (len(table) - 1) / len(table)  # of the degrees of freedom, once a mean is taken out for each seed
        each = (table - table.mean(0)).var(1, ddof=1) / left + self.rounding
        shared, freedom = _pooled(each.tolist(), self.count)
        own = float((self.values[first] - self.values[second]).var(ddof=1)) / 2 + self.rounding
        return self._larger((shared, freedom * left), (own, self.count - 1.0))

    def _larger(self, shared: tuple[float, float], own: tuple[float, float]) -> tuple[float, float]:
        variance, freedom = shared
        if own[0] > variance:
            share = variance / own[0]
            variance, freedom = own[0], 1 / (share / freedom + (1 - share) / own[1])
        return 2 * variance / self.count, freedom


def _pooled(variances: Sequence[float], seeds: int) -> tuple[float, float]:
    """The mean of sample variances, which may differ in the population, and its degrees of freedom (Satterthwaite 1946, with
    the unbiased estimate of squared variances): from those of one candidate, where one variance is all, to those of all."""
    total, most = math.fsum(variances), len(variances) * (seeds - 1.0)
    if total == 0:
        return 0.0, most
    effective = 1 / math.fsum((variance / total) ** 2 for variance in variances)  # squares of shares can't underflow
    return total / len(variances), min(max((seeds + 1) * effective - 2, seeds - 1.0), most)


def _with_examples(between: tuple[float, float], samples: Sequence[Sample], fixed: Sample | None = None) -> tuple[float, float]:
    """(variance, degrees of freedom) between seeds, with the examples' part added where it is known.

    A seed's scores differ from another's on the same examples partly because it errs on other examples: that part is in both
    variances, so it is taken out once. `fixed`: what a single candidate is compared with.
    """
    variance, freedom = between
    involved = [*samples, *([fixed] if fixed else [])]
    if any(sample.resampled is None for sample in involved):
        return variance, freedom
    means = [np.asarray(sample.resampled).mean(0) for sample in involved]
    examples = float((means[0] - means[1] if len(means) > 1 else means[0]).var(ddof=1))
    common = sum(map(_seeds_on_examples, samples))
    total = max(variance + examples - common, examples)
    if variance == 0 or total == 0:
        return total, freedom if total == 0 else math.inf
    return total, freedom * max(1.0, total / variance) ** 2  # where the common part is larger, no freedom is lost with it


def _seeds_on_examples(sample: Sample) -> float:
    """The part of the variance of a mean over seeds that comes from seeds which err on different examples."""
    resampled = np.asarray(sample.resampled)
    seeds = len(resampled)
    if seeds < 2:
        return 0.0
    apart = resampled - resampled.mean(0)
    return float(apart.var(1, ddof=1).sum()) / (seeds - 1) / seeds


def _half_width(variance: float, freedom: float, level: float) -> float:
    from scipy import stats

    return float(stats.t.ppf(1 - level / 2, freedom)) * math.sqrt(variance)


def _checked(sample: Sample) -> Array:
    values = np.asarray(sample.values, dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise ValueError(f"scores must be finite numbers, at least one, but are {list(sample.values)} instead")
    return values
