"""Majority, ties, missing answers and the three figures: by hand, and as properties of random votes."""

import numpy as np
import pytest

from gyebo.ssa.ratings import Rating
from gyebo.ssa.sheet import Item
from gyebo.ssa.votes import Votes, figures, majority, ties, votes_of

NAN = np.nan
ITEMS = [Item(str(i), "a", str(i), ("Hi!",), "x") for i in range(4)]


def test_the_table_of_votes_by_hand():
    ratings = [
        Rating("0", "B", True, True),
        Rating("0", "A", False, True),  # not sensible is not specific, whatever was said
        Rating("1", "A", True, None),  # sensible, the second answer is missing
        Rating("3", "B", False, None),
        Rating("9", "C", True, True),  # about another sheet's item: C has no vote here
    ]
    votes = votes_of(ITEMS, ratings)
    assert votes.raters == ("A", "B", "C")
    np.testing.assert_array_equal(votes.sensible, [[0, 1, NAN, NAN], [1, NAN, NAN, 0], [NAN] * 4])
    np.testing.assert_array_equal(votes.specific, [[0, NAN, NAN, NAN], [1, NAN, NAN, 0], [NAN] * 4])


def test_majority_by_hand():
    votes = np.array(
        [  # 3:2, 2:3, 2:2 with one missing, 2:1, nobody, all
            [1, 1, 1, 1, NAN, 1],
            [1, 1, 1, 1, NAN, 1],
            [1, 0, 0, 0, NAN, 1],
            [0, 0, 0, NAN, NAN, 1],
            [0, 0, NAN, NAN, NAN, 1],
        ],
        dtype=float,
    )
    np.testing.assert_array_equal(majority(votes), [1, 0, 0, 1, NAN, 1])
    assert ties(votes) == 1


def test_ssa_by_hand():
    """Five raters, four responses: sensible 5, 3, 3 and 2 times; specific 4, 3, 2 and 2 times. So 3/4 and 2/4, on average
    5/8."""
    sensible = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=float)
    specific = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=float)
    np.testing.assert_allclose(figures(Votes(sensible, specific, tuple("ABCDE"))), [0.75, 0.5, 0.625])


def test_a_response_that_nobody_answered_does_not_count():
    sensible = np.array([[1, NAN, 0], [1, NAN, 0]])
    specific = np.array([[1, NAN, 0], [NAN, NAN, 0]])
    np.testing.assert_allclose(figures(Votes(sensible, specific, ("A", "B"))), [0.5, 0.5, 0.5])
    nothing = np.full((2, 3), NAN)
    assert np.isnan(figures(Votes(nothing, nothing, ("A", "B")))).all()
    unknown = figures(Votes(sensible, nothing, ("A", "B")))
    assert unknown[0] == 0.5 and np.isnan(unknown[1:]).all()


def random_votes(draw):
    """One to seven raters, one to six items, a third of the answers missing."""
    return draw.choice([0.0, 1.0, NAN], (draw.integers(1, 8), draw.integers(1, 7)))


@pytest.mark.parametrize("seed", range(5))
def test_what_is_specific_is_sensible(seed):
    """By majority too, though ratings may lack the second answer, which leaves fewer for the second question."""
    draw = np.random.default_rng(seed)
    for _ in range(200):
        sensible = random_votes(draw)
        specific = np.where(sensible == 1, draw.choice([0.0, 1.0, NAN], sensible.shape), sensible)
        assert (majority(sensible)[majority(specific) == 1] == 1).all(), (sensible, specific)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_repeated_raters_and_items(seed):
    draw = np.random.default_rng(seed)
    for _ in range(50):
        votes = random_votes(draw)
        raters, items = (draw.integers(0, 4, count) for count in votes.shape)
        weighted = figures(Votes(votes, votes, ()), raters[None].astype(float), items[None].astype(float))[0]
        repeated = np.repeat(np.repeat(votes, raters, 0), items, 1)
        plain = figures(Votes(repeated, repeated, ())) if repeated.size else np.full(3, NAN)
        np.testing.assert_allclose(weighted, plain)


@pytest.mark.parametrize(("yes", "no"), [(0, 0), (1, 0), (0, 1), (2, 2), (3, 2), (2, 3), (100, 99)])
def test_more_than_half(yes, no):
    votes = np.array([1.0] * yes + [0.0] * no + [NAN])[:, None]
    expected = NAN if yes + no == 0 else float(yes > no)
    np.testing.assert_array_equal(majority(votes), [expected])
