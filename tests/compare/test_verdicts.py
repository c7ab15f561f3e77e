"""How often verdicts are false, and how often a real difference is found, in simulated comparisons (see `statistics.py`)."""

import numpy as np
import pytest
from scipy.stats import norm

from gyebo.compare.statistics import Sample, verdicts


def deviations(candidates, ratio):
    """Standard deviations of seeds, up to `ratio` times apart."""
    one, two = np.ones(candidates), np.ones(candidates)
    one[0], two[:2] = ratio, ratio
    return [one, two, ratio + 1 - one, np.geomspace(1, ratio, candidates)]


def judged(scores, resampled=None):
    samples = {
        str(number): Sample(values=values, resampled=None if resampled is None else resampled[number])
        for number, values in enumerate(scores)
    }
    return verdicts(samples, higher=True)


def false_verdicts(candidates, seeds, ratio, tables, *, behind=None):
    """The largest share of tables with a false verdict; `behind`: all but the first two are so many deviations behind."""
    draw, worst = np.random.default_rng(candidates * seeds), 0.0
    offset = np.zeros((candidates, 1))
    if behind is not None:
        offset[2:] = -behind * ratio
    for spread in deviations(candidates, ratio):
        wrong = 0
        for _ in range(tables):
            said = judged(draw.standard_normal((candidates, seeds)) * spread[:, None] + offset)
            equal = ("0", "1") if behind is not None else said
            wrong += any(said[name] in ("behind", "best") for name in equal)
        worst = max(worst, wrong / tables)
    return worst


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "ratio", "most"),
    [(2, 2, 0.07), (2, 4, 0.10), (3, 1, 0.07), (3, 4, 0.07), (5, 4, 0.07)],
)
@pytest.mark.parametrize("candidates", [2, 7])
def test_false_verdicts_are_rare(candidates, seeds, ratio, most):
    """All means equal, then the two best alone."""
    tables = 10_000 if candidates < 4 else 3000
    assert false_verdicts(candidates, seeds, ratio, tables) <= most
    if candidates > 2:
        for behind in (3, 100):
            assert false_verdicts(candidates, seeds, ratio, tables // 3, behind=behind) <= most


def test_false_verdicts_are_rare_and_possible():
    assert 0 < false_verdicts(3, 3, 2, 400) <= 0.07


def power(candidates, seeds, tables):
    """Shares of tables in which each candidate 5 deviations behind is called so (the least), and the leader best."""
    draw, behind, best = np.random.default_rng(seeds), np.zeros(candidates - 1), 0
    offset = np.full((candidates, 1), -5.0)
    offset[0] = 0
    for _ in range(tables):
        said = judged(draw.standard_normal((candidates, seeds)) + offset)
        behind += [said[str(number)] == "behind" for number in range(1, candidates)]
        best += said["0"] == "best"
    return behind.min() / tables, best / tables


@pytest.mark.slow
@pytest.mark.parametrize("candidates", range(2, 8))
def test_real_differences_are_found(candidates):
    behind, best = power(candidates, 3, 2000)
    assert behind >= 0.9
    assert best >= 0.8
    behind, _ = power(candidates, 2, 2000)
    assert behind >= 0.5


def test_a_real_difference_is_found():
    behind, best = power(4, 3, 200)
    assert behind >= 0.9
    assert best >= 0.8


def families(draw, candidates, seeds, examples, *, own, each_seed, between):
    """Correct answers [candidates, seeds, examples] of families equal in the population: how hard an example is has a part
    that all share, one of each family (`own`) and one of each seed; `between`: deviation of seeds."""
    shared = draw.standard_normal(examples) * np.sqrt(1 - own - each_seed)
    family = draw.standard_normal((candidates, 1, examples)) * np.sqrt(own)
    seed = draw.standard_normal((candidates, seeds, examples)) * np.sqrt(each_seed)
    level = draw.standard_normal((candidates, seeds, 1)) * between
    return (shared + family + seed + level < norm.ppf(0.8) * np.sqrt(1 + between**2)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("examples", "seeds"), [(1000, 2), (1000, 5), (10_000, 3)])
@pytest.mark.parametrize(
    ("own", "each_seed", "between"), [(0.3, 0.1, 0.0), (0.3, 0.1, 0.02), (0.2, 0.3, 0.05), (0.1, 0.5, 0.0)]
)
def test_families_equal_in_the_population_are_rarely_told_apart(examples, seeds, own, each_seed, between):
    tables = 1200
    draw = np.random.default_rng(seeds)
    weights = draw.multinomial(examples, np.full(examples, 1 / examples), size=200).astype(np.float32).T / examples
    wrong, by_seeds_alone = 0, 0
    for _ in range(tables):
        right = families(draw, 2, seeds, examples, own=own, each_seed=each_seed, between=between)
        wrong += set(judged(right.mean(2), right @ weights).values()) != {"no difference shown"}
        by_seeds_alone += set(judged(right.mean(2)).values()) != {"no difference shown"}
    assert wrong / tables <= 0.07
    if between == 0 and own > 0.2 and seeds > 2:
        assert by_seeds_alone / tables > 0.15  # the fault that this mends
