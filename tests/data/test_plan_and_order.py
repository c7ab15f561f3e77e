"""Rows, their order, and the batches made of them."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.config.run import DataOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.order import permuted, shuffled
from gyebo.data.plan import ROOM, SIZE, Plan, pack, stored
from gyebo.data.prepare import open_corpus, prepare
from gyebo.data.shards import DOCUMENT, Split
from gyebo.data.streams import TOKENS, BatchField, Stream
from gyebo.objectives.causal import Causal
from gyebo.text.tokenizer import Tokenizer


class Fake(Split):
    """Documents of given lengths whose token i is 100 * document + i."""

    def __new__(cls, lengths):
        return super().__new__(cls)

    def __init__(self, lengths):
        table = np.zeros(len(lengths), DOCUMENT)
        table["tokens"] = lengths
        for name, value in {"documents": table, "name": "train"}.items():
            object.__setattr__(self, name, value)

    def read(self, document, start, stop):
        return 100 * document + np.arange(start, stop)


FRAMED = Causal(-1, -2)

lengths_strategy = st.lists(st.integers(1, 60), min_size=1, max_size=40)


@given(lengths_strategy, st.integers(2, 20), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_every_position_is_in_exactly_one_row(lengths, context, seed):
    split = Fake(lengths)
    plan = FRAMED.plan(split, context, seed)
    seen = []
    for r in range(len(plan)):
        assert 0 < plan.row(r)[:, 2].sum() <= context
        seen += [(int(d), p) for d, start, size, _, _ in plan.row(r) for p in range(start, start + size)]
    assert sorted(seen) == [(d, p) for d, n in enumerate(lengths) for p in range(n + 1)]
    assert plan.positions == sum(n + 1 for n in lengths) == round(plan.mean_tokens * len(plan))
    cut = {int(d) for d, start, _, _, _ in plan.pieces if start}
    assert all(lengths[d] + 1 > context for d in cut), "a document that fits was cut"


@given(lengths_strategy, st.integers(2, 20))
@settings(max_examples=80, deadline=None)
def test_evaluation_scores_every_position_once_with_context(lengths, context):
    plan = FRAMED.held_out(Fake(lengths), context)
    scored = sorted((int(d), p) for d, start, size, skip, _ in plan.pieces for p in range(start + skip, start + size))
    assert scored == [(d, p) for d, n in enumerate(lengths) for p in range(n + 1)]
    for _, start, size, skip, _ in plan.pieces:
        assert size <= context and (start == 0) == (skip == 0)
        assert skip >= (context // 2 if start else 0)


@given(lengths_strategy, st.integers(2, 20))
@settings(max_examples=40, deadline=None)
def test_pieces_join_to_the_framed_document(lengths, context):
    split = Fake(lengths)
    plan = FRAMED.plan(split, context, 0)
    for document, n in enumerate(lengths):
        pieces = sorted(plan.pieces[plan.pieces[:, 0] == document].tolist(), key=lambda p: p[1])
        whole = [-1, *(100 * document + np.arange(n)).tolist(), -2]
        got = [FRAMED.read(split, p, 0)["input_ids"].tolist() for p in pieces]
        assert all(a[-1] == b[0] for a, b in zip(got, got[1:])), "a piece starts with the token that the last one predicted"
        assert [got[0][0], *(i for part in got for i in part[1:])] == whole


def test_without_roles_the_frame_is_missing():
    def framed(start, end, first, size):
        return Causal(start, end).read(Fake([5]), np.array([0, first, size, 0, size]), 0)["input_ids"].tolist()

    assert framed(None, None, 0, 4) == [0, 1, 2, 3, 4]
    assert framed(None, -2, 0, 5) == [0, 1, 2, 3, 4, -2]
    assert framed(None, None, 2, 2) == [2, 3, 4]


def test_plan_depends_on_its_seed_only_and_is_kept(tmp_path):
    split = Fake(list(range(1, 200)))
    a, b = (FRAMED.plan(split, 64, 3) for _ in range(2))
    kept = FRAMED.plan(split, 64, 3, tmp_path)
    again = FRAMED.plan(split, 64, 3, tmp_path)
    for plan in (b, kept, again):
        assert np.array_equal(a.pieces, plan.pieces) and np.array_equal(a.rows, plan.rows)
    assert not np.array_equal(a.pieces, FRAMED.plan(split, 64, 4).pieces)


def test_a_kept_plan_is_that_of_its_streams(tmp_path):
    beside = Stream("beside", "beside_ids")

    def plan_of(streams, lengths):
        def make():
            sizes = [[0, 0, size, 0] + [size] * len(streams) for size in (3, 2)]
            return pack(np.array(sizes), 8, np.random.default_rng(0), streams, lengths)

        return stored(tmp_path, ["train"], 8, make, streams=streams, lengths=lengths)

    for streams, lengths, rows in (
        ((TOKENS,), None, 1),
        ((TOKENS, beside), {"tokens": 8, "beside": 8}, 1),
        ((TOKENS, beside), {"tokens": 8, "beside": 4}, 2),
        ((beside, TOKENS), {"tokens": 8, "beside": 4}, 2),
    ):
        for _ in range(2):
            plan = plan_of(streams, lengths)
            assert (plan.pieces.shape[1], len(plan), plan.streams) == (ROOM + len(streams), rows, streams)
    assert len(list(tmp_path.iterdir())) == 4
    with pytest.raises(ValueError, match="lengths"):
        plan_of((TOKENS, beside), None)


def test_a_plan_of_one_stream_keeps_its_name(tmp_path):
    """Runs of earlier versions have kept theirs: the first half of the sum of everything that it depends on."""
    FRAMED.plan(Fake([5, 6]), 8, 3, tmp_path)
    digest = hashlib.sha256(b'["train", "continuous", 1, 3, 8]').hexdigest()[:16]
    assert [path.name for path in tmp_path.iterdir()] == [f"plan-{digest}.npz"]


@dataclass(frozen=True)
class Named(Causal):
    """The next token, in a field of another name."""

    fields: ClassVar = (BatchField("input_ids"), BatchField("next", TOKENS, IGNORE, scored_once=True))

    def corrupt(self, example, rng, draw):
        found = super().corrupt(example, rng, draw)
        return {"input_ids": found["input_ids"], "next": found["labels"]}


def test_only_declared_labels_are_ignored_where_a_window_before_scored_them():
    split, objective = Fake([20]), Named(-1, -2)
    rows = Rows(split, objective.held_out(split, 8), objective)
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    scored = sorted(batch["next"][batch["next"] != IGNORE].tolist())
    assert scored == sorted([*range(20), -2]) and (batch["input_ids"] >= -2).all()


@dataclass(frozen=True)
class Unlabelled(Named):
    fields: ClassVar = (BatchField("input_ids"), BatchField("next", TOKENS, IGNORE))


def test_context_only_positions_need_a_field_that_is_scored_once():
    split, objective = Fake([20]), Unlabelled(-1, -2)
    with pytest.raises(ValueError, match="scored_once"):
        Rows(split, objective.held_out(split, 8), objective).batch(np.arange(2), [[0]] * 2)
    Rows(split, objective.plan(split, 8, 0), objective).batch(np.arange(2), [[0]] * 2)


def test_rows_are_nearly_full():
    lengths = np.random.default_rng(0).geometric(0.04, 5000)
    plan = FRAMED.plan(Fake(lengths), 256, 0)
    assert plan.mean_tokens / 256 > 0.98


def _best_fit(pieces, context):
    """Rows of one window, written out: the largest piece first, into the fullest row that has room, the oldest among equals."""
    rows = []
    for piece in sorted(pieces, key=lambda piece: -piece[4]):
        left = [context - sum(other[4] for other in row) for row in rows]
        fits = [number for number, room in enumerate(left) if room >= piece[4] and room]
        if fits:
            rows[min(fits, key=lambda number: (left[number], number))].append(piece)
        else:
            rows.append([piece])
    return rows


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.integers(20, 45), st.integers(0, 5))
@settings(max_examples=80, deadline=None)
def test_pieces_of_one_stream_are_packed_best_fit_first(sizes, context, seed):
    pieces = np.array([[number, 0, size, 0, size] for number, size in enumerate(sizes)])
    shuffled_pieces = pieces[np.random.default_rng(seed).permutation(len(pieces))]
    plan = pack(pieces, context, np.random.default_rng(seed))
    assert [plan.row(r).tolist() for r in range(len(plan))] == _best_fit(shuffled_pieces.tolist(), context)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), min_size=1, max_size=60), st.integers(20, 45))
@settings(max_examples=80, deadline=None)
def test_rows_of_several_streams_have_room_in_each(sizes, context):
    pieces = np.array([[number, 0, a, 0, a, b] for number, (a, b) in enumerate(sizes)])
    streams = TOKENS, Stream("image", "image_document_ids", counted=False)
    plan = pack(pieces, context, np.random.default_rng(0), streams, {"tokens": context, "image": 5})
    assert sorted(plan.pieces[:, 0].tolist()) == list(range(len(sizes)))
    assert all((plan.row(row)[:, ROOM:].sum(0) <= [context, 5]).all() and len(plan.row(row)) for row in range(len(plan)))
    assert plan.positions == sum(a for a, _ in sizes)


def test_what_fills_most_of_a_stream_is_packed_first():
    """Two texts of a word and nine pictures, four of five words and one: each of the first has room for one of the others, but
    these by themselves would leave none."""
    pieces = np.array([[number, 0, a, 0, a, b] for number, (a, b) in enumerate([(1, 9)] * 2 + [(5, 1)] * 4)])
    streams = TOKENS, Stream("image", "image_document_ids", counted=False)
    assert len(pack(pieces, 10, np.random.default_rng(0), streams, {"tokens": 10, "image": 10})) == 3


def test_pictures_are_spread_over_rows_that_have_room_for_them():
    """Twelve texts with a picture and twelve without; a row has 40 tokens and two pictures."""
    pieces = np.array([[number, 0, 10, 0, 10, int(number < 12)] for number in range(24)])
    streams = TOKENS, Stream("image", "image_document_ids", counted=False)
    plan = pack(pieces, 40, np.random.default_rng(0), streams, {"tokens": 40, "image": 2})
    assert len(plan) == 6 and plan.mean_tokens == 40


@given(st.integers(1, 3000), st.integers(0, 2**40), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_the_order_is_a_permutation(count, seed, epoch):
    assert sorted(permuted(np.arange(count), count, seed, epoch).tolist()) == list(range(count))


def test_the_order_looks_random_and_changes_with_seed_and_epoch():
    count = 5000
    orders = [permuted(np.arange(count), count, seed, epoch) for seed in range(3) for epoch in range(3)]
    for i, a in enumerate(orders):
        assert abs(np.corrcoef(np.arange(count), a)[0, 1]) < 0.05
        assert abs(np.corrcoef(a[:-1], a[1:])[0, 1]) < 0.05
        for b in orders[:i]:
            assert (a == b).sum() < 12  # one match is expected by chance


def test_an_epoch_ends_inside_a_batch():
    rows, epochs = zip(*(shuffled(t, 7, 10, 5) for t in range(10)))
    flat, epoch = np.concatenate(rows), np.concatenate(epochs)
    for e in range(7):
        assert sorted(flat[epoch == e].tolist()) == list(range(10))
    assert epochs[1].tolist() == [0, 0, 0, 1, 1, 1, 1]


@pytest.fixture
def rows(corpus, tokenizer_folder):
    tokenizer = Tokenizer.load(tokenizer_folder)
    ready = prepare(open_corpus(DataOptions(corpus=[str(corpus)])), tokenizer)
    objective = Causal(1, 2)
    return Rows(ready.train, objective.plan(ready.train, 32, 0), objective, pad=0)


def test_a_part_of_a_batch_is_that_part(rows):
    whole = rows.step(5, 8, seed=1)
    parts = [rows.step(5, 8, 1, first, count) for first, count in ((0, 3), (3, 4), (7, 1))]
    for name, values in whole.items():
        assert np.array_equal(values, np.concatenate([p[name] for p in parts]))


def test_rows_hold_whole_framed_documents_and_padding(rows):
    batch = rows.step(0, 16, seed=0)
    for ids, labels, documents in zip(batch["input_ids"], batch["labels"], batch["document_ids"]):
        for number in range(1, documents.max() + 1):
            here = documents == number
            assert np.array_equal(ids[here][1:], labels[here][:-1])
        pad = documents == 0
        assert (ids[pad] == 0).all() and (labels[pad] == IGNORE).all()
        assert set(documents) - {0} == set(range(1, documents.max() + 1))


def test_one_document_where_asked(rows):
    import dataclasses

    batch = dataclasses.replace(rows, objective=Causal(1, 2, one_document=True)).step(0, 16, seed=0)
    assert set(np.unique(batch["document_ids"])) <= {0, 1}


def test_a_plan_that_is_kept_is_that_of_its_key_and_context(tmp_path):
    made = []

    def plan(key, context):
        piece = np.array([[0, 0, context, 0, context]])
        found = stored(tmp_path, [key], context, lambda: made.append((key, context)) or Plan(context, piece, np.array([0, 1])))
        assert found.context == found.pieces[0, SIZE] == context

    for which in (("a", 8), ("a", 9), ("b", 8), ("a", 8), ("a", 9)):
        plan(*which)
    assert made == [("a", 8), ("a", 9), ("b", 8)]


@pytest.mark.parametrize("damage", ["empty", "cut short", "flipped"])
def test_a_damaged_plan_of_the_cache_is_made_again(tmp_path, damage):
    pieces, rows = np.arange(50).reshape(10, 5), np.arange(11)

    def plan():
        return stored(tmp_path, ["train"], 8, lambda: Plan(8, pieces, rows))

    plan()
    (path,) = tmp_path.iterdir()
    raw = path.read_bytes()
    at = raw.index(pieces.tobytes())
    whole = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
    path.write_bytes({"empty": b"", "cut short": raw[:-20], "flipped": whole}[damage])
    assert (plan().pieces == pieces).all() and (plan().rows == rows).all()
    assert [found.name for found in tmp_path.iterdir()] == [path.name] and path.stat().st_size == len(raw)
