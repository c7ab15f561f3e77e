"""Agreement against published examples, formulas written out, and cases that have no figure."""

import numpy as np
import pytest

from gyebo.ssa.agreement import agreement

NAN = np.nan

# Fleiss 1971, table 1: of each of 30 patients, how many of six psychiatrists gave each of five diagnoses.
FLEISS = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
# Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section C: four observers, twelve units, missing data.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]


def votes_from(table):
    """Votes [N, M] of counts of classes for each item."""
    return np.array([[c for c, count in enumerate(item) for _ in range(int(count))] for item in table], dtype=float).T


def test_fleiss_table():
    found = agreement(votes_from(FLEISS.split()))
    assert found.kappa == pytest.approx(0.430, abs=0.0005)
    assert (found.kappa_items, found.kappa_ratings, found.alpha_items) == (30, 6, 30)


def test_krippendorffs_example():
    found = agreement(np.array(KRIPPENDORFF))
    assert found.alpha == pytest.approx(0.743, abs=0.0005) and found.alpha_items == 11  # the last unit has one value
    assert found.kappa_ratings == 4 and found.kappa_items == 8


def test_krippendorffs_binary_example():
    """The same paper, section A: two observers, ten units."""
    votes = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
    assert agreement(np.array(votes, float)).alpha == pytest.approx(0.095, abs=0.0005)


def by_the_formulas(votes):
    """Alpha over pairs of values, one by one; kappa from observed and expected agreement; both of nominal values."""
    pairs, values = [], []
    for item in votes.T:
        own = item[~np.isnan(item)]
        if len(own) < 2:
            continue
        values += own.tolist()
        pairs += [(a != b, 1 / (len(own) - 1)) for i, a in enumerate(own) for j, b in enumerate(own) if i != j]
    observed = sum(differ * weight for differ, weight in pairs) / len(values)
    expected = (
        sum(a != b for i, a in enumerate(values) for j, b in enumerate(values) if i != j) / len(values) / (len(values) - 1)
    )
    return 1 - observed / expected


@pytest.mark.parametrize("seed", range(5))
def test_alpha_by_its_formula_with_missing_votes(seed):
    draw = np.random.default_rng(seed)
    votes = draw.integers(0, 2, (4, 12)).astype(float)
    votes[draw.random(votes.shape) < 0.4] = NAN
    assert agreement(votes).alpha == pytest.approx(by_the_formulas(votes))


def test_kappa_is_over_items_with_the_usual_number_of_ratings():
    full = votes_from(["30", "03", "21", "12", "30"])
    votes = np.concatenate([full, [[1, NAN, 0], [0, NAN, NAN], [NAN, NAN, NAN]]], axis=1)  # then two ratings, none, one
    alone, found = agreement(full), agreement(votes)
    assert found.kappa == pytest.approx(alone.kappa) and (found.kappa_items, found.kappa_ratings) == (5, 3)
    assert found.alpha_items == 6
    # by hand: 5 items, 3 raters; P_i = 1, 1, 1/3, 1/3, 1; p = 9/15, 6/15; P_e = 117/225
    assert alone.kappa == pytest.approx((11 / 15 - 117 / 225) / (1 - 117 / 225))


def test_what_has_no_figure_says_why():
    single = agreement(np.array([[1, NAN], [NAN, 0.0]]))
    assert single.alpha is single.kappa is None and single.reason == "no item has two ratings"
    same = agreement(np.ones((3, 4)))
    assert same.alpha is same.kappa is None and "all ratings are the same" in same.reason
    rare = agreement(np.array([[1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, NAN]], float))  # those with three ratings are all the same
    assert rare.alpha is not None and rare.kappa is None and rare.reason
    perfect = agreement(np.array([[1, 0, 1], [1, 0, 1]], float))
    assert perfect.alpha == perfect.kappa == 1 and not perfect.reason
