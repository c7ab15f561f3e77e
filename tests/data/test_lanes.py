"""Lanes: each row goes on where the lane's last one ended, and an epoch reads every position once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.data.batches import IGNORE, Rows
from gyebo.data.lanes import lanes
from gyebo.objectives.causal import Causal
from tests.data.test_plan_and_order import Fake
from tests.refusals import option_error

FRAMED = Causal(-1, -2)
lengths_strategy = st.lists(st.integers(0, 60), min_size=1, max_size=30).filter(lambda lengths: sum(lengths) > 40)


def positions(plan, index):
    """(document, position) of each token of a row."""
    return [(int(d), p) for d, first, size, _, _ in plan.row(index) for p in range(first, first + size)]


@given(lengths_strategy, st.integers(2, 9), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_an_epoch_reads_every_position_once_but_for_the_rest(lengths, context, count, seed):
    plan = lanes(Fake(lengths), context, extra=1, count=count, plan_seed=seed, seed=seed)
    total = sum(n + 1 for n in lengths)
    for epoch in range(2):
        rows = range(epoch * len(plan), (epoch + 1) * len(plan))
        read = [place for row in rows for place in positions(plan, row)]
        assert len(set(read)) == len(read) == plan.positions
        assert 0 <= total - plan.positions < count  # what is left over when the stream is cut into lanes
        assert all(p <= lengths[d] for d, p in read)
        assert all(0 < plan.row(row)[:, 2].sum() <= context for row in rows)
    assert plan.mean_tokens * len(plan) == pytest.approx(plan.positions)


@given(lengths_strategy, st.integers(2, 9), st.integers(1, 4), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_a_row_goes_on_where_the_lane_was(lengths, context, count, seed):
    plan = lanes(Fake(lengths), context, extra=1, count=count, plan_seed=seed, seed=seed)
    for step in range(1, 2 * plan.windows):
        rows, epochs = plan.order(step, count, seed)
        assert rows.tolist() == [step * count + lane for lane in range(count)] and set(epochs) == {step // plan.windows}
        for row in rows:
            *_, (document, place) = positions(plan, row - count)
            first = positions(plan, row)[0]
            if not plan.continues(row):
                assert step % plan.windows == 0
            elif first[1] > 0:
                assert first == (document, place + 1)
            else:
                assert place == lengths[document], "a document was left before its end"


def test_the_order_depends_on_the_seed_and_the_epoch():
    split = Fake([9] * 30)
    one = lanes(split, 6, extra=1, count=3, plan_seed=0, seed=0)
    for other in (
        lanes(split, 6, extra=1, count=3, plan_seed=1, seed=0),
        lanes(split, 6, extra=1, count=3, plan_seed=0, seed=1),
    ):  # the documents' order, and where it is turned
        assert [positions(one, r) for r in range(len(one))] != [positions(other, r) for r in range(len(other))]
    again = lanes(split, 6, extra=1, count=3, plan_seed=0, seed=0)
    assert all(np.array_equal(one.row(r), again.row(r)) for r in range(2 * len(one)))
    first, second = (sorted(positions(one, r)[0] for r in range(e * len(one), (e + 1) * len(one))) for e in (0, 1))
    assert first != second  # windows begin elsewhere


def test_batches_say_which_rows_go_on():
    split = Fake([25, 3, 40, 17])
    for whole in (False, True):
        objective = Causal(-1, -2, one_document=whole)
        plan = lanes(split, 8, extra=objective.extra, count=2, plan_seed=0, seed=5)
        rows = Rows(split, plan, objective, pad=-9)
        for step in range(2 * plan.windows):
            batch = rows.step(step, 2, seed=5)
            for lane in range(2):
                index = step * 2 + lane
                inside = plan.row(index)[0][1] > 0
                assert batch["continues"][lane] == (step % plan.windows > 0 and (inside or whole))
                size = int(plan.row(index)[:, 2].sum())
                assert (batch["document_ids"][lane] > 0).sum() == size
                assert (batch["labels"][lane, size:] == IGNORE).all() and (batch["labels"][lane, :size] != IGNORE).all()
                if batch["continues"][lane] and step % plan.windows:
                    before = rows.step(step - 1, 2, seed=5)
                    assert before["labels"][lane][before["labels"][lane] != IGNORE][-1] == batch["input_ids"][lane, 0] or whole
        part = rows.step(3, 2, 5, first=1, count=1)
        assert np.array_equal(part["continues"], rows.step(3, 2, 5)["continues"][1:])


def test_too_little_text_is_refused():
    with option_error("context", "train.batch_tokens"):
        lanes(Fake([12]), 5, extra=1, count=4, plan_seed=0, seed=0)
    for batch, seed in ((3, 0), (2, 1)):
        with pytest.raises(ValueError, match=f"2 lanes .*seed 0.* {batch} .*seed {seed} "):
            lanes(Fake([40]), 5, extra=1, count=2, plan_seed=0, seed=0).order(0, batch, seed)


@given(lengths_strategy, st.integers(2, 9), st.integers(1, 4), st.integers(0, 3), st.data())
@settings(max_examples=60, deadline=None)
def test_lanes_can_be_read_from_their_end(lengths, context, count, seed, data):
    """Each reads what it would read forwards, every position once, and a row goes on where the lane was."""
    turned = data.draw(st.integers(0, count))
    options = {"extra": 1, "count": count, "plan_seed": seed, "seed": seed}
    forwards, plan = (lanes(Fake(lengths), context, **options, backwards=number) for number in (0, turned))
    places = {lane: [] for lane in range(2 * count)}
    for row in range(len(plan)):
        lane = row % count
        assert plan.is_backwards(row) == (lane >= count - turned)
        step = -1 if plan.is_backwards(row) else 1
        found = [(int(d), p) for d, first, size, *_ in plan.row(row) for p in range(first, first + size)[::step]]
        document, place = found[0]
        at_border = place == (lengths[document] if plan.is_backwards(row) else 0)
        assert plan.begins_inside(row) != at_border
        places[lane] += found
        places[count + lane] += positions(forwards, row)
    for lane in range(count):
        read, expected = places[lane], places[count + lane]
        assert read == (expected[::-1] if lane >= count - turned else expected)


def test_a_batch_holds_rows_that_are_read_backwards_and_says_which():
    split = Fake([9] * 30)
    options = {"extra": FRAMED.extra, "count": 4, "plan_seed": 0, "seed": 0}
    both = Rows(split, lanes(split, 6, **options, backwards=2), FRAMED, pad=-9)
    one = Rows(split, lanes(split, 6, **options), FRAMED, pad=-9)
    batches = [[rows.step(step, 4, 0) for step in range(both.plan.windows)] for rows in (both, one)]
    assert all(batch["backwards"].tolist() == [False, False, True, True] for batch in batches[0])
    assert "backwards" not in batches[1][0]
    for name in ("input_ids", "labels"):
        turned, straight = (np.concatenate([batch[name] for batch in found], 1) for found in batches)
        for row in range(4):
            read, expected = (values[row][values[row] != -9] for values in (turned, straight))
            if name == "labels":
                read, expected = (values[values != IGNORE] for values in (read, expected))
            assert np.array_equal(read, expected[::-1] if row >= 2 else expected)
