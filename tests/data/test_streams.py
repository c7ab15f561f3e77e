"""Examples as arrays of a batch, against rows that are written out place by place."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.data.streams import TOKENS, BatchField, Stream, laid_out, packed, streams_of, tokens_seen

IMAGE = Stream("image", "image_document_ids", counted=False)
FIELDS = (
    BatchField("input_ids"),
    BatchField("labels", TOKENS, -100),
    BatchField("pixels", IMAGE, 7, "uint8", (2, 3)),
    BatchField("score", None, dtype="float32"),
)
sizes_strategy = st.lists(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=4), min_size=1, max_size=5
)


def examples_of(sizes):
    """Rows of examples with different values everywhere; the first of a row has its score."""
    count = iter(range(10_000))
    rows = []
    for row in sizes:
        rows.append([])
        for number, (tokens, pictures) in enumerate(row):
            example = {name: np.array([next(count) for _ in range(tokens)], np.int64) for name in ("input_ids", "labels")}
            if pictures:
                values = [next(count) % 256 for _ in range(pictures * 6)]
                example["pixels"] = np.array(values, np.uint8).reshape(pictures, 2, 3)
            rows[-1].append(example | ({"score": next(count) / 2} if number == 0 else {}))
    return rows


@given(sizes_strategy, st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_pieces_stand_one_after_the_other_in_their_streams(sizes, fixed, one):
    rows = examples_of(sizes)
    lengths = {"tokens": 20, "image": 8} if fixed else None
    batch = laid_out(packed(rows, FIELDS, one_document=one), FIELDS, pad=-3, lengths=lengths)
    most = [max(sum(piece[stream] for piece in row) for row in sizes) for stream in (0, 1)]
    tokens, pictures = (20, 8) if fixed else most
    assert {name: (array.shape, array.dtype.name) for name, array in batch.items()} == {
        "document_ids": ((len(rows), tokens), "int64"),
        "image_document_ids": ((len(rows), pictures), "int64"),
        "input_ids": ((len(rows), tokens), "int64"),
        "labels": ((len(rows), tokens), "int64"),
        "pixels": ((len(rows), pictures, 2, 3), "uint8"),
        "score": ((len(rows),), "float32"),
    }
    for r, row in enumerate(rows):
        for name, ids, fill in (
            ("input_ids", "document_ids", -3),
            ("labels", "document_ids", -100),
            ("pixels", "image_document_ids", 7),
        ):
            expected = [(value, 1 if one else n) for n, piece in enumerate(row, 1) for value in piece.get(name, [])]
            for place, (value, number) in enumerate(expected):
                assert np.array_equal(batch[name][r, place], value) and batch[ids][r, place] == number
            assert (batch[name][r, len(expected) :] == fill).all() and not batch[ids][r, len(expected) :].any()
        assert batch["score"][r] == row[0]["score"]
    assert tokens_seen(batch, streams_of(FIELDS)) == sum(tokens for row in sizes for tokens, _ in row)


def test_streams_come_once_in_the_order_of_the_fields():
    assert streams_of(FIELDS) == (TOKENS, IMAGE)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[{"input_ids": [1], "labels": [1], "score": 1, "label": [1]}]], "field 'label'"),
        ([[{"input_ids": [1], "labels": [1, 2], "score": 1}, {"input_ids": [1, 2], "labels": [1]}]], "field 'labels'"),
        ([[{"input_ids": [1], "score": 1}]], "field 'labels'"),
        ([[{"input_ids": [1], "labels": [1], "score": 1}], [{"input_ids": [1], "labels": [1]}]], "field 'score'"),
        ([[{"input_ids": [1], "labels": [1], "score": 1}] * 2], "field 'score'"),
    ],
)
def test_examples_that_do_not_fit_their_fields_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        packed(rows, FIELDS)


def test_a_row_that_is_fuller_than_its_stream_is_refused():
    pieces = packed(examples_of([[(3, 1), (2, 1)], [(1, 0)]]), FIELDS)
    for lengths, message in (
        ({"tokens": 4, "image": 2}, "'tokens' has 4 .* fill 5"),
        ({"tokens": 5, "image": 1}, "'image' has 1"),
    ):
        with pytest.raises(ValueError, match=message):
            laid_out(pieces, FIELDS, pad=0, lengths=lengths)
    assert laid_out(pieces, FIELDS, pad=0, lengths={"tokens": 5, "image": 2})["input_ids"].shape == (2, 5)
