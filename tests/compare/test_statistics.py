"""Mean, intervals and verdicts: by hand, and against scipy."""

import math
import random

import numpy as np
import pytest
from scipy import stats

from gyebo.compare.statistics import (
    Sample,
    against_fixed,
    against_leader,
    includes_examples,
    studentized_range,
    summarise,
    verdicts,
)


def of(values, **fields):
    return Sample(values=values, **fields)


def judged(groups, **options):
    return verdicts({name: of(values) for name, values in groups.items()}, **options)


def test_summary_by_hand():
    summary = summarise(of([1.0, 2.0, 3.0]))  # mean 2, deviation 1, t(2) = 4.303, so 2 +- 4.303 / sqrt(3)
    assert (summary.count, summary.mean, summary.deviation) == (3, 2.0, 1.0)
    assert summary.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert summary.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_one_seed_has_no_spread():
    summary = summarise(of([1.5]))
    assert summary.mean == 1.5
    assert summary.deviation is summary.low is summary.high is None
    assert set(judged({"a": [1.0], "b": [2.0]}).values()) == {"no difference shown"}
    assert against_fixed({"a": of([0.9])}, "a", of([0.5])).low is None


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_scores_must_be_finite(values):
    with pytest.raises(ValueError, match="finite"):
        summarise(of(values))
    with pytest.raises(ValueError, match="finite"):
        judged({"a": values, "b": [1.0, 2.0]})


def test_all_need_the_same_number_of_seeds():
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        judged({"a": [1.0, 2.0], "b": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize("candidates", [2, 10])
def test_studentized_range_is_scipys(candidates):
    for freedom in (1, 1.3, 2.6, 6.5, 90, math.inf):
        exact = stats.studentized_range.ppf(0.95, candidates, freedom)
        assert studentized_range(candidates, freedom) == pytest.approx(exact, rel=0.004)


def test_two_candidates_of_equal_variance_are_tukeys_test():
    first, second = [1.0, 2.0, 3.0], [11.0, 12.0, 13.0]  # variance 1 each, so 4 degrees of freedom
    leader, found = against_leader({"a": of(first), "b": of(second)}, higher=True)
    theirs = stats.tukey_hsd(first, second).confidence_interval(0.95)
    assert leader == "b"
    assert (found["a"].mean, found["a"].low, found["a"].high) == pytest.approx(
        (-10.0, theirs.low[0, 1], theirs.high[0, 1]), rel=0.004
    )


def test_several_candidates_of_equal_variance_are_tukeys_test():
    groups = {"a": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 4.0], "c": [5.0, 6.0, 7.0], "d": [1.5, 2.5, 3.5]}
    _, found = against_leader({name: of(values) for name, values in groups.items()}, higher=True)
    theirs = stats.tukey_hsd(*groups.values()).confidence_interval(0.95)
    for row, name in ((0, "a"), (1, "b"), (3, "d")):
        half = (theirs.high[row, 2] - theirs.low[row, 2]) / 2
        assert (found[name].high - found[name].low) / 2 == pytest.approx(half, rel=0.004)


def test_a_pair_that_varies_more_than_all_together_has_its_own_variance():
    steady = {name: [5.0, 5.001, 4.999] for name in "cdef"}
    groups = {"a": [10.0, 12.0, 14.0], "b": [8.0, 10.0, 12.0], **steady}  # variance 4 of both; shared by all 4 / 3
    _, found = against_leader({name: of(values) for name, values in groups.items()}, higher=True)
    # degrees of freedom: all together (4 * 2 effective - 2 = 6), the pair 4; a third of the variance is shared
    freedom = 1 / ((1 / 3) / 6 + (2 / 3) / 4)
    half = stats.studentized_range.ppf(0.95, 6, freedom) * math.sqrt(4 / 3)
    assert found["b"].high - found["b"].mean == pytest.approx(half, rel=0.005)


def test_best_only_when_the_interval_excludes_the_next():
    assert judged({"a": [1.00, 1.01, 0.99], "b": [1.10, 1.11, 1.09]}) == {"a": "best", "b": "behind"}
    # means 1.00 and 1.03, deviations 0.02: 0.03 / sqrt(0.02**2 / 3) = 2.6 < q(2, 4) = 3.93
    assert set(judged({"a": [0.98, 1.00, 1.02], "b": [1.01, 1.03, 1.05]}).values()) == {"no difference shown"}
    # means 1.00 and 1.05: 4.33 > 3.93
    assert judged({"a": [0.98, 1.00, 1.02], "b": [1.03, 1.05, 1.07]}) == {"a": "best", "b": "behind"}


def test_whoever_is_below_one_behind_is_behind():
    """c varies so much that its own interval includes the leader; but b, which is better, is behind."""
    steady = {"a": [1.0, 1.0001, 0.9999], "b": [1.5, 1.5001, 1.4999], "c": [1.37, 1.55, 1.73]} | {
        name: [9.0, 9.0001, 8.9999] for name in "defghij"
    }
    samples = {name: of(values) for name, values in steady.items()}
    _, found = against_leader(samples)
    assert found["b"].shown
    assert not found["c"].shown
    assert verdicts(samples)["c"] == "behind"


def test_one_candidate_is_no_comparison():
    assert judged({"a": [1.0, 1.1]}) == {"a": "nothing to compare with"}
    assert judged({}) == {}


def test_higher_is_better_is_the_mirror_image():
    groups = {"a": [0.80, 0.81, 0.82], "b": [0.90, 0.91, 0.92], "c": [0.905, 0.915, 0.925]}
    mirrored = {name: [1 - score for score in scores] for name, scores in groups.items()}
    assert judged(groups, higher=True) == judged(mirrored)
    assert judged(groups, higher=True) == {"a": "behind", "b": "no difference shown", "c": "no difference shown"}


def test_equal_counts_of_two_seeds_are_no_proof_of_no_spread():
    """Twice 950 and twice 951 of 1,000 right: without the steps of counting this would be an interval of width 0."""
    close = {"a": of([0.950, 0.950]), "b": of([0.951, 0.951])}
    assert verdicts(close, higher=True) == {"a": "behind", "b": "best"}
    assert set(verdicts(close, higher=True, resolution=1e-3).values()) == {"no difference shown"}
    _, found = against_leader({"a": of([0.95, 0.95]), "b": of([0.97, 0.97])}, higher=True, resolution=1e-3)
    half = stats.studentized_range.ppf(0.95, 2, 2) * math.sqrt(1e-6 / 12 / 2)  # variance of rounding, two seeds
    assert found["a"].high - found["a"].mean == pytest.approx(half, rel=0.004)


def test_against_a_fixed_figure_alone_is_students_interval():
    draw = random.Random(4)
    for _ in range(20):
        values = [draw.gauss(0.9, 0.02) for _ in range(draw.randint(2, 6))]
        ours = against_fixed({"a": of(values)}, "a", of([0.85]), comparisons=3)
        theirs = stats.ttest_1samp(values, 0.85).confidence_interval(1 - 0.05 / 3)
        assert (ours.low, ours.high) == pytest.approx((theirs.low - 0.85, theirs.high - 0.85), rel=1e-8)
    assert not against_fixed({"a": of([0.950, 0.950])}, "a", of([0.951]), resolution=1e-3).shown


# ---- blocks


def test_candidates_of_one_shape_are_compared_seed_by_seed():
    """A seed moves both by the same: the differences are steady, the scores are not."""
    first, second = [0.70, 0.80, 0.90], [0.711, 0.812, 0.910]
    alone = {"a": of(first), "b": of(second)}
    assert set(verdicts(alone, higher=True).values()) == {"no difference shown"}
    together = {name: of(sample.values, block="bert") for name, sample in alone.items()}
    assert verdicts(together, higher=True) == {"a": "behind", "b": "best"}
    _, found = against_leader(together, higher=True)
    theirs = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert (found["a"].low, found["a"].high) == pytest.approx((theirs.low, theirs.high), rel=0.004)


def test_no_pairs_with_two_seeds_or_between_shapes():
    two = {"a": of([0.7, 0.9], block="x"), "b": of([0.711, 0.912], block="x")}
    assert set(verdicts(two, higher=True).values()) == {"no difference shown"}
    apart = {"a": of([0.7, 0.8, 0.9], block="x"), "b": of([0.711, 0.812, 0.910], block="y")}
    assert set(verdicts(apart, higher=True).values()) == {"no difference shown"}


# ---- examples


def drawn(rows):
    """Scores of seeds on the same 2,000 resamples of examples. rows [seeds, m]"""
    weights = np.random.default_rng(0).multinomial(rows.shape[1], np.full(rows.shape[1], 1 / rows.shape[1]), size=2000)
    return rows @ weights.T / rows.shape[1]


def test_examples_add_their_variance_once():
    """Seeds whose errors are independent of each other: between seeds, and between examples, stands the same variance."""
    draw = np.random.default_rng(7)
    right = [draw.random((5, 500)) < 0.8 for _ in range(2)]  # every example alike, every seed independent
    samples = {str(number): of(list(rows.mean(1)), resampled=drawn(rows.astype(float))) for number, rows in enumerate(right)}
    assert includes_examples(samples)
    _, found = against_leader(samples, higher=True)
    (gap,) = found.values()
    plain = {name: of(sample.values) for name, sample in samples.items()}
    (seeds,) = against_leader(plain, higher=True)[1].values()
    width, alone = (found.high - found.low for found in (gap, seeds))
    # the truth: 2 * 0.16 / 500 / 5; counted twice, the interval would be 1.4 times as wide
    assert width < 1.25 * alone


def test_seeds_that_differ_only_as_they_err_on_other_examples_keep_a_finite_interval():
    """What is left of the variance between seeds must not have a share of a degree of freedom, whose t has no bounds."""
    rows = np.zeros((2, 100))
    rows[0, :70], rows[1, 40:] = 1, 1  # one errs where the other does not
    summary = summarise(of([0.7, 0.6], resampled=drawn(rows)))
    # between seeds 0.005 / 2; of the means 0.0525 / 100; common (0.69 / 100) / 4: t with one degree of freedom is 12.71
    half = 12.71 * math.sqrt(0.0025 + 0.000525 - 0.0069 / 4)
    assert summary.high - summary.mean == pytest.approx(half, rel=0.05)


def test_examples_widen_an_interval_where_seeds_agree():
    """All seeds answer alike, and the families differ on a tenth of 100 examples: only other examples are chance."""
    first = np.ones((3, 100))
    second = first.copy()
    second[:, :10] = 0
    samples = {"a": of([1.0] * 3, resampled=drawn(first)), "b": of([0.9] * 3, resampled=drawn(second))}
    _, found = against_leader(samples, higher=True)
    half = stats.studentized_range.ppf(0.95, 2, math.inf) * math.sqrt(0.1 * 0.9 / 100 / 2)
    assert found["b"].high - found["b"].mean == pytest.approx(half, rel=0.05)


def test_a_baseline_is_measured_on_the_same_examples():
    """The errors of the baseline and of the model are the same but for 4 of 100: their difference hardly varies."""
    fixed = np.zeros((1, 100))
    fixed[:, :80] = 1
    rows = np.repeat(fixed, 3, axis=0)
    rows[:, 80:84] = 1
    sample = of([0.84] * 3, resampled=drawn(rows))
    gap = against_fixed({"a": sample}, "a", of([0.80], resampled=drawn(fixed)))
    assert gap.high - gap.mean == pytest.approx(1.96 * math.sqrt(0.04 * 0.96 / 100), rel=0.05)
    assert not includes_examples({"a": sample, "b": of([0.1] * 3)})
