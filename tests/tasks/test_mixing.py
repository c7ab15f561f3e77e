"""Mixing of tasks: the rates of Raffel et al. 2020, section 3.5.2, draws that follow them, an order that can be resumed."""

import numpy as np
import pytest
from scipy.stats import chisquare

from gyebo.objectives.source_target import FIELDS
from gyebo.tasks.features import Features, ragged
from gyebo.tasks.mixing import BLOCK, MixedRows, joined, mixing_rates

SIZES = (400_000, 2_500, 60_000)


def test_rates_are_those_of_the_paper():
    assert mixing_rates(SIZES, by="equal") == pytest.approx([1 / 3] * 3)
    assert mixing_rates(SIZES, by="proportional") == pytest.approx(np.array(SIZES) / sum(SIZES))
    limited = mixing_rates(SIZES, by="proportional", limit=2**14)
    assert limited == pytest.approx(np.array([2**14, 2_500, 2**14]) / (2 * 2**14 + 2_500))
    share = [size / sum(SIZES) for size in SIZES]
    heated = [each ** (1 / 2) / sum(other ** (1 / 2) for other in share) for each in share]
    assert mixing_rates(SIZES, by="proportional", temperature=2.0) == pytest.approx(heated)
    assert mixing_rates(SIZES, by="proportional", temperature=1e9) == pytest.approx([1 / 3] * 3)


def features(count, first, name):
    lists = [[first + number] * (1 + number % 3) for number in range(count)]
    columns = {column: ragged(lists) for column in ("input_ids", "decoder_input_ids", "labels")}
    ids = tuple(f"{name}{number}" for number in range(count))
    return Features(columns, {}, np.arange(count), ids, 0, fields=FIELDS)


@pytest.fixture
def mixed():
    parts = [features(50, 1000, "a"), features(7, 2000, "b"), features(300, 3000, "c")]
    return MixedRows(joined(parts), (50, 7, 300), mixing_rates((50, 7, 300), by="proportional", limit=60), 117)


def test_tasks_are_drawn_at_their_rates(mixed):
    rows = mixed.rows(0, 5 * BLOCK, seed=3)
    counts = np.histogram(rows, bins=[0, 50, 57, 357])[0]
    assert chisquare(counts, mixed.rates * len(rows)).pvalue > 0.001
    halves = [np.histogram(half, bins=[0, 50, 57, 357])[0] for half in (rows[::2], rows[1::2])]
    assert all(chisquare(half, mixed.rates * half.sum()).pvalue > 0.001 for half in halves)


def test_each_task_reads_all_of_its_rows_before_any_twice_and_in_another_order_each_time(mixed):
    rows = mixed.rows(0, 2 * BLOCK, seed=0)
    for first, size in ((0, 50), (50, 7), (57, 300)):
        own = rows[(rows >= first) & (rows < first + size)]
        passes = [own[start : start + size].tolist() for start in range(0, len(own) - size + 1, size)]
        assert len(passes) > 2 and all(sorted(one) == list(range(first, first + size)) for one in passes)
        assert passes[0] != passes[1]


def test_a_batch_follows_from_its_number_alone(mixed):
    """Read in order, from the middle, and by parts; across the border of a block, with another seed another order."""
    whole = mixed.rows(0, BLOCK + 70, seed=5)
    fresh = MixedRows(mixed.features, mixed.sizes, mixed.rates, mixed.epoch)
    step = BLOCK // 33
    assert (fresh.rows(step * 33, 33, seed=5) == whole[step * 33 : step * 33 + 33]).all()
    batch, part = fresh.step(step, 33, 5), fresh.step(step, 33, 5, 10, 4)
    assert (batch["input_ids"][10:14, : part["input_ids"].shape[1]] == part["input_ids"]).all()
    assert batch["input_ids"].shape[0] == 33
    assert (mixed.rows(0, 100, seed=6) != whole[:100]).any()
    first = {int(row[0]) for row in mixed.step(0, 33, 5)["input_ids"]}
    named = {"a": 1000, "b": 2000, "c": 3000}
    assert {named[name[0]] + int(name[1:]) for name in mixed.ids(0, 33, 5)} == first


def test_a_task_without_rows_is_refused(mixed):
    with pytest.raises(ValueError, match="each needs a row"):
        MixedRows(mixed.features, (357, 0), np.array([1.0, 0.0]), 1)
