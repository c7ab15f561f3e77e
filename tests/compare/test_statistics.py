"""Spread and verdicts: against scipy, against textbook tables, and against simulated tables without any difference."""

import math
import random

import pytest
from scipy import special, stats

from gyebo.compare.statistics import against, difference, incomplete_beta, summarise, t_quantile, verdicts


def test_t_quantile_is_scipys_for_whole_and_broken_degrees_of_freedom():
    for freedom in (0.7, 1, 1.3, 2, 2.77, 3, 4, 9.5, 30, 1000):
        for probability in (0.001, 0.3, 0.6, 0.9, 0.975, 0.99, 0.9991):
            assert t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-9)
    assert t_quantile(0.5, 3) == 0


def test_t_quantile_is_that_of_printed_tables():
    assert [round(t_quantile(0.975, freedom), 3) for freedom in (1, 2, 4, 10)] == [12.706, 4.303, 2.776, 2.228]


def test_incomplete_beta_is_scipys():
    draw = random.Random(1)
    for _ in range(300):
        a, b, x = draw.uniform(0.2, 60), draw.uniform(0.2, 60), draw.random()
        assert incomplete_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("probability", "freedom"), [(0, 3), (1, 3), (0.9, 0), (math.nan, 2)])
def test_t_quantile_refuses_what_has_no_answer(probability, freedom):
    with pytest.raises(ValueError, match="t_quantile needs"):
        t_quantile(probability, freedom)


def test_summary_by_hand():
    summary = summarise([1.0, 2.0, 3.0])  # mean 2, deviation 1, t(2) = 4.303, so 2 +- 4.303 / sqrt(3)
    assert (summary.count, summary.mean, summary.deviation) == (3, 2.0, 1.0)
    assert summary.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert summary.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)


def test_one_seed_has_no_spread():
    summary = summarise([1.5])
    assert summary.mean == 1.5
    assert summary.deviation is summary.low is summary.high is None
    assert not difference([1.5], [9.0, 9.1]).shown


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_scores_must_be_finite(values):
    with pytest.raises(ValueError, match="finite"):
        summarise(values)


def test_difference_is_scipys_welch_interval():
    draw = random.Random(2)
    for _ in range(50):
        first = [draw.gauss(1, 0.1) for _ in range(draw.randint(2, 6))]
        second = [draw.gauss(1.1, 0.5) for _ in range(draw.randint(2, 6))]
        ours = difference(first, second, confidence=0.9)
        theirs = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.9)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-8)


def test_groups_without_variance():
    assert difference([1.0, 1.0], [2.0, 2.0]).shown
    assert not difference([1.0, 1.0], [1.0, 1.0]).shown
    tiny = difference([1e-200, 2e-200], [3e-200, 4e-200])  # squares of these vanish
    assert tiny.low is not None and math.isfinite(tiny.low)


def test_best_only_when_the_interval_excludes_the_next():
    apart = {"a": [1.00, 1.01, 0.99], "b": [1.10, 1.11, 1.09]}
    assert verdicts(apart) == {"a": "best", "b": "behind"}
    # means 1.00 and 1.03, deviations 0.02: t = 0.03 / sqrt(2 * 0.02**2 / 3) = 1.84 < t(4) = 2.776
    close = {"a": [0.98, 1.00, 1.02], "b": [1.01, 1.03, 1.05]}
    assert set(verdicts(close).values()) == {"no difference shown"}
    # means 1.00 and 1.05: t = 3.06 > 2.776
    assert verdicts({"a": [0.98, 1.00, 1.02], "b": [1.03, 1.05, 1.07]}) == {"a": "best", "b": "behind"}


def test_many_candidates_need_more():
    """t = 3.06 shows a difference between two; among three the bar is t(4) at 1 - 0.05 / 3: 3.96."""
    groups = {"a": [0.98, 1.00, 1.02], "b": [1.03, 1.05, 1.07], "c": [1.98, 2.00, 2.02]}
    assert verdicts(groups) == {"a": "no difference shown", "b": "no difference shown", "c": "behind"}


def test_one_seed_shows_nothing_and_one_candidate_is_no_comparison():
    assert set(verdicts({"a": [1.0], "b": [2.0]}).values()) == {"no difference shown"}
    assert verdicts({"a": [1.0, 1.1]}) == {"a": "nothing to compare with"}
    assert verdicts({}) == {}


@pytest.mark.parametrize("candidates", [2, 5])
def test_false_verdicts_are_rare_where_nothing_differs(candidates):
    """Equal candidates, 3 seeds: a table that says anything but "no difference shown" comes at most once in 20."""
    draw = random.Random(3)
    tables = 600
    wrong = 0
    for _ in range(tables):
        groups = {str(name): [draw.gauss(1, 0.01) for _ in range(3)] for name in range(candidates)}
        wrong += set(verdicts(groups).values()) != {"no difference shown"}
    assert wrong <= 0.05 * tables + 3 * math.sqrt(tables * 0.05 * 0.95)
    assert wrong > 0  # and it can be said at all


def test_higher_is_better_is_the_mirror_image():
    groups = {"a": [0.80, 0.81, 0.82], "b": [0.90, 0.91, 0.92], "c": [0.905, 0.915, 0.925]}
    mirrored = {name: [1 - score for score in scores] for name, scores in groups.items()}
    assert verdicts(groups, higher=True) == verdicts(mirrored)
    assert verdicts(groups, higher=True) == {"a": "behind", "b": "no difference shown", "c": "no difference shown"}
    assert verdicts({"a": [0.1, 0.2], "b": [0.9, 0.91]}, higher=True) != verdicts({"a": [0.1, 0.2], "b": [0.9, 0.91]})


def test_equal_counts_of_two_seeds_are_no_proof_of_no_spread():
    """Twice 950 and twice 951 of 1,000 right: without the steps of counting this would be an interval of width 0."""
    close = ([0.950, 0.950], [0.951, 0.951])
    assert difference(*close).shown
    assert not difference(*close, resolution=1 / 1000).shown
    # 20 examples apart: the variance of rounding is 1e-6 / 12, so t = 0.02 / sqrt(2 * 8.3e-8 / 2) = 69 > t(2) = 4.3
    assert difference([0.95, 0.95], [0.97, 0.97], resolution=1 / 1000).shown
    half = difference([0.95, 0.95], [0.97, 0.97], resolution=1 / 1000)
    assert half.high - half.mean == pytest.approx(4.302653 * math.sqrt(1e-6 / 12), rel=1e-5)
    assert set(verdicts({"a": close[0], "b": close[1]}, higher=True, resolution=1e-3).values()) == {"no difference shown"}


def test_against_a_fixed_figure_is_scipys_interval():
    draw = random.Random(4)
    for _ in range(20):
        values = [draw.gauss(0.9, 0.02) for _ in range(draw.randint(2, 6))]
        ours = against(values, 0.85, confidence=0.98)
        theirs = stats.ttest_1samp(values, 0.85).confidence_interval(0.98)
        assert (ours.low, ours.high) == pytest.approx((theirs.low - 0.85, theirs.high - 0.85), rel=1e-8)
    assert against([0.9], 0.5).low is None
    assert not against([0.950, 0.950], 0.951, resolution=1e-3).shown
    assert against([0.950, 0.950], 0.951).shown
