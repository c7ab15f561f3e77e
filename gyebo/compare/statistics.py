"""Mean, standard deviation and verdicts from a few seeds, by Student's t distribution (no dependency)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean and standard deviation of one metric over seeds; with one seed the deviation is unknown and its fields are None.

    `deviation`: sample standard deviation (divisor n - 1). `low`, `high`: the 95 % t-interval of the mean.
    """

    count: int
    mean: float
    deviation: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of one group minus mean of another, with a confidence interval; its ends are None where a group has one value."""

    mean: float
    low: float | None
    high: float | None

    @property
    def shown(self) -> bool:
        """Whether the interval excludes zero: a difference larger than the seeds alone explain."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def summarise(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and t-interval; ValueError for no values or one that is not finite."""
    mean, variance = _moments(values)
    if variance is None:
        return Summary(1, mean, None, None, None)
    half = t_quantile((1 + CONFIDENCE) / 2, len(values) - 1) * math.sqrt(variance / len(values))
    return Summary(len(values), mean, math.sqrt(variance), mean - half, mean + half)


def difference(
    first: Sequence[float], second: Sequence[float], *, confidence: float = CONFIDENCE, resolution: float = 0.0
) -> Difference:
    """Welch's interval of mean(first) - mean(second): the groups may differ in variance and size.

    Degrees of freedom after Welch 1947 (Satterthwaite). Two groups without any variance give an interval of width 0, unless
    `resolution` gives the step in which the values are counted (1 / examples): equal counts of two seeds are no proof of no
    variance, so the variance of rounding to these steps, resolution^2 / 12, is added to each group's.
    """
    (mean_a, variance_a), (mean_b, variance_b) = _moments(first, resolution), _moments(second, resolution)
    gap = mean_a - mean_b
    if variance_a is None or variance_b is None:
        return Difference(gap, None, None)
    error_a, error_b = variance_a / len(first), variance_b / len(second)
    error = error_a + error_b
    if error == 0:
        return Difference(gap, gap, gap)
    # shares of the error instead of the errors: their squares can't underflow
    share_a, share_b = error_a / error, error_b / error
    freedom = 1 / (share_a**2 / (len(first) - 1) + share_b**2 / (len(second) - 1))
    half = t_quantile((1 + confidence) / 2, freedom) * math.sqrt(error)
    return Difference(gap, gap - half, gap + half)


def against(values: Sequence[float], fixed: float, *, confidence: float = CONFIDENCE, resolution: float = 0.0) -> Difference:
    """Student's interval of mean(values) - fixed, for a figure without chance in it; unknown for one value.

    `resolution` as in `difference`.
    """
    mean, variance = _moments(values, resolution)
    gap = mean - fixed
    if variance is None:
        return Difference(gap, None, None)
    half = t_quantile((1 + confidence) / 2, len(values) - 1) * math.sqrt(variance / len(values))
    return Difference(gap, gap - half, gap + half)


def verdicts(groups: Mapping[str, Sequence[float]], higher: bool = False, resolution: float = 0.0) -> dict[str, str]:
    """The verdict of each name: "best", "no difference shown" or "behind".

    `higher`: whether higher scores are better, otherwise lower. `resolution` as in `difference`. The leader has the best
    mean. A candidate is "behind" where the Welch interval of its difference to the leader excludes 0. The leader is "best"
    where that holds for every other candidate; otherwise it shares "no difference shown" with those that it doesn't exclude.
    The leader is picked by looking at the scores, so each interval has confidence 1 - 0.05 / number of pairs (Bonferroni):
    all verdicts by one metric together are wrong at most once in 20 tables. With two candidates this is the plain 95 %
    interval. A name alone is "nothing to compare with".
    """
    if len(groups) == 1:
        return dict.fromkeys(groups, "nothing to compare with")
    if not groups:
        return {}
    confidence, sign = pair_confidence(len(groups)), -1 if higher else 1
    leader = min(groups, key=lambda name: sign * _moments(groups[name])[0])
    said = {
        name: "behind"
        if difference(scores, groups[leader], confidence=confidence, resolution=resolution).shown
        else "no difference shown"
        for name, scores in groups.items()
        if name != leader
    }
    return said | {leader: "best" if set(said.values()) == {"behind"} else "no difference shown"}


def pair_confidence(candidates: int) -> float:
    """Confidence of one pair's interval so that the table's verdicts together keep 95 % (Bonferroni over all pairs)."""
    return 1 - (1 - CONFIDENCE) / max(1, math.comb(candidates, 2))


def t_quantile(probability: float, freedom: float) -> float:
    """The t with P(T <= t) = probability for Student's t with `freedom` degrees of freedom (need not be whole)."""
    if not 0 < probability < 1 or not freedom > 0:
        raise ValueError(f"t_quantile needs 0 < probability < 1 and freedom > 0, but got {probability} and {freedom}")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while _t_tail(high, freedom) > 1 - probability:
        low, high = high, high * 2
    while high - low > 1e-13 * high:  # the tail falls in t, so halving the bracket is exact and needs no derivative
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _t_tail(middle, freedom) > 1 - probability else (low, middle)
    return (low + high) / 2


def _moments(values: Sequence[float], resolution: float = 0.0) -> tuple[float, float | None]:
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"scores must be finite numbers, at least one, but are {list(values)} instead")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) + resolution**2 / 12


def _t_tail(t: float, freedom: float) -> float:
    """P(T > t) for t >= 0."""
    return 0.5 * incomplete_beta(freedom / (freedom + t * t), freedom / 2, 0.5)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side only
        return 1 - incomplete_beta(1 - x, b, a)
    log_front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    tiny = 1e-300
    value, c, d = 1.0, 1.0, 0.0
    for step in range(1, 1000):  # modified Lentz
        m = step // 2
        if step == 1:
            term = 1.0
        elif step % 2:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            k = m - 1
            term = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        d = 1 / (1 + term * d or tiny)
        c = 1 + term / c or tiny
        value *= c * d
        if step > 2 and abs(c * d - 1) < 1e-16:
            break
    return math.exp(log_front) / a * (value - 1)
