"""Thresholds hold the stated rate on the texts they were chosen on, exactly, for all checks together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gyebo.generation.guard.calibration import fires, thresholds

SCORES = st.integers(1, 4).flatmap(
    lambda checks: st.integers(1, 60).flatmap(
        lambda texts: arrays(np.float64, (checks, texts), elements=st.integers(-3, 3).map(float) | st.floats(-5, 5))
    )
)
RATES = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 0.99])


@given(SCORES, RATES)
def test_at_most_the_rate_is_blocked(scores, rate):
    blocked = fires(scores, thresholds(scores, rate)).any(0).sum()
    assert blocked <= rate * scores.shape[1] + 1e-9


@given(SCORES, RATES)
def test_no_lower_common_rank_would_hold_the_rate(scores, rate):
    """By counting: thresholds at every rank, the largest that holds the rate."""
    count = scores.shape[1]
    chosen = thresholds(scores, rate)
    holding = []
    for rank in range(count):
        limits = np.array([sorted(row, reverse=True)[rank] for row in scores])
        if sum(any(scores[:, text] > limits) for text in range(count)) <= rate * count + 1e-9:
            holding.append(limits)
    assert (chosen == holding[-1]).all()


def test_one_check_without_ties_blocks_exactly_the_rate():
    scores = np.random.default_rng(0).permutation(200)[None].astype(float)
    assert fires(scores, thresholds(scores, 0.05)).sum() == 10


def test_checks_share_the_rate_by_rank_not_by_score():
    """A check whose scores are a thousand times larger gets no larger part of the false alarms."""
    rng = np.random.default_rng(0)
    scores = np.stack([rng.permutation(1000), rng.permutation(1000) * 1000.0])
    each = fires(scores, thresholds(scores, 0.1)).sum(1)
    assert each[0] == each[1] and 50 <= each[0] <= 60


def test_what_cannot_be_chosen():
    with pytest.raises(ValueError, match="there are none"):
        thresholds(np.zeros((2, 0)), 0.05)
    with pytest.raises(ValueError, match="below 1, but is 1.5"):
        thresholds(np.zeros((1, 2)), 1.5)
