"""Intervals: against exact distributions where there are any, and how often they hold in simulations."""

import numpy as np
import pytest
from scipy import stats

from gyebo.ssa.bootstrap import contexts_of, differences, intervals
from gyebo.ssa.votes import FIGURES, Votes, figures

NAN = np.nan


def of(sensible, specific=None):
    sensible = np.array(sensible, dtype=float)
    specific = sensible if specific is None else np.array(specific, dtype=float)
    return Votes(sensible, specific, tuple(f"rater {n}" for n in range(len(sensible))))


def ends(figure):
    return figure.low, figure.high


def test_contexts_are_numbered():
    np.testing.assert_array_equal(contexts_of(["b", "a", "b", ("a", 1)]), [0, 1, 0, 2])


def test_one_rater_is_a_binomial_over_contexts():
    votes = [1] * 70 + [0] * 30
    found = intervals(of([votes]), np.arange(100), resamples=20_000)["sensibleness"]
    exact = stats.binom.ppf([0.025, 0.975], 100, 0.7) / 100
    assert found.value == pytest.approx(0.7) and ends(found) == pytest.approx(exact, abs=0.0101)  # one step of a count


def test_responses_of_one_context_are_drawn_together():
    votes = [[1, 1, 1, 1] * 7 + [0, 0, 0, 0] * 3]
    found = intervals(of(votes), np.repeat(np.arange(10), 4), resamples=20_000)["ssa"]
    assert ends(found) == pytest.approx(stats.binom.ppf([0.025, 0.975], 10, 0.7) / 10, abs=0.011)


def test_raters_are_drawn_too_and_the_interval_is_laid_around_the_estimate():
    """One response, three of five for it. Of five drawn raters a majority is for it with P(Binomial(5, 0.6) > 2), so
    resamples are 0 or 1 with this mean, and the interval begins so far below 1 as the mean is above 0."""
    found = intervals(of([[1], [1], [1], [0], [0]]), np.array([0]), resamples=20_000)["sensibleness"]
    assert found.value == 1 and found.high == 1
    assert found.low == pytest.approx(1 - stats.binom.sf(2, 5, 0.6), abs=0.01)


def test_resamples_follow_from_the_seed():
    votes = of(np.random.default_rng(3).integers(0, 2, (5, 40)))
    once, again, other = (intervals(votes, np.arange(40), resamples=250, seed=seed) for seed in (1, 1, 2))
    assert once == again != other and set(once) == set(FIGURES)


def test_who_never_judged_a_bot_is_not_drawn():
    votes = np.random.default_rng(0).integers(0, 2, (3, 30)).astype(float)
    more = np.concatenate([votes, np.full((4, 30), NAN)])
    assert intervals(of(votes), np.arange(30)) == intervals(of(more), np.arange(30))


def test_a_bot_that_nobody_judged_has_no_interval():
    found = intervals(of(np.full((2, 3), NAN)), np.arange(3))
    assert all(figure.value is figure.low is figure.high is None for figure in found.values())
    against = differences(of(np.full((2, 3), NAN)), of(np.ones((2, 3))), (np.arange(3), np.arange(3)), paired=True)
    assert against["ssa"].value is None


def test_equal_answers_to_the_same_contexts_differ_by_nothing():
    votes, contexts = of(np.random.default_rng(0).integers(0, 2, (5, 60))), np.arange(60)
    paired = differences(votes, votes, (contexts, contexts), paired=True)["ssa"]
    assert (paired.value, paired.low, paired.high) == (0, 0, 0)
    apart = differences(votes, votes, (contexts, contexts), paired=False)["ssa"]
    assert apart.value == 0 and apart.low < -0.05 and apart.high > 0.05


def test_the_order_of_responses_does_not_undo_the_pairing():
    draw = np.random.default_rng(1)
    votes, contexts, order = draw.integers(0, 2, (5, 60)).astype(float), np.arange(60), draw.permutation(60)
    found = differences(of(votes), of(votes[:, order]), (contexts, contexts[order]), paired=True)["specificity"]
    assert ends(found) == pytest.approx((0, 0), abs=1e-12)


# ---- simulations


def simulated(draw, raters, contexts, bias=(0.0, 0.0)):
    """Two bots on the same contexts; a rater is more or less lenient, a context harder or easier. [2] votes [N, M]."""
    lenient, easy = draw.normal(0, 0.7, (raters, 1)), draw.normal(0, 1.0, contexts)
    own = [draw.normal(0.8 + more, 0.8, contexts) for more in bias]
    chance = [lenient + easy + bot + draw.normal(0, 1.0, (raters, contexts)) for bot in own]
    return [of(values > 0, (values > 0) & (values > 1.0)) for values in chance]


@pytest.mark.slow
@pytest.mark.parametrize(("raters", "contexts", "least"), [(5, 50, 0.9), (5, 400, 0.9), (3, 50, 0.85), (3, 400, 0.7)])
def test_intervals_hold_as_often_as_they_say(raters, contexts, least):
    """What is estimated: the mean over all contexts and all groups of so many raters. Standard error of a share: 0.013; three
    raters tell too little of how raters differ, which counts where there are many contexts."""
    draw = np.random.default_rng(0)
    many = [figures(simulated(draw, raters, 2000)[0]) for _ in range(1000)]
    truth = dict(zip(FIGURES, np.mean(many, 0)))
    held = dict.fromkeys(FIGURES, 0)
    for _ in range(300):
        found = intervals(simulated(draw, raters, contexts)[0], np.arange(contexts), resamples=300)
        for name in FIGURES:
            held[name] += found[name].low <= truth[name] <= found[name].high
    shares = {name: float(count) / 300 for name, count in held.items()}
    print(f"{raters} raters, {contexts} contexts: {shares}")
    assert all(least <= share <= 0.99 for share in shares.values()), shares


@pytest.mark.slow
def test_equal_bots_are_seldom_told_apart_and_unequal_ones_are():
    draw, contexts = np.random.default_rng(0), np.arange(80)
    apart = [0, 0]
    for _ in range(300):
        for number, bias in enumerate([(0.0, 0.0), (0.0, 0.6)]):
            first, second = simulated(draw, 5, 80, bias)
            found = differences(first, second, (contexts, contexts), paired=True, resamples=300)["ssa"]
            apart[number] += found.low > 0 or found.high < 0
    print(f"told apart: {apart[0] / 300:.3f} of equal bots, {apart[1] / 300:.3f} of unequal ones")
    assert apart[0] / 300 <= 0.07 and apart[1] / 300 >= 0.5
