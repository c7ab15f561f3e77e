"""Plans of sentences, against what can be counted on documents made up by hand."""

from types import SimpleNamespace

import numpy as np

from gyebo.data import input_formats
from gyebo.data.plan import DOCUMENT, FIRST, ROOM, SIZE

CONTEXT, SPECIAL = 40, 3


def split_of(*documents):
    """A split whose documents are given by the lengths of their sentences; a sentence is 1, 0, 0, ..."""
    ids = [np.concatenate([[1] + [0] * (size - 1) for size in sizes]) for sizes in documents]
    lengths = {"tokens": np.array([len(document) for document in ids])}
    return SimpleNamespace(documents=lengths, read=lambda number, first, size: ids[number][first : first + size])


def starts(ids):
    return ids == 1


def test_a_span_of_one_sentence_leaves_room_for_a_random_next_segment():
    """Two sentences of 30 never share a row of 40, so that every span is one of a sentence, and none has a second segment."""
    plan = input_formats.segment_pair(split_of(*[[30] * 5] * 40), CONTEXT, special=SPECIAL, starts=starts, seed=0)
    whole = plan.pieces[plan.pieces[:, SIZE] == 30]
    assert len(whole) > 150  # some spans were meant to be short, and cut sentences
    assert (whole[:, ROOM] > SPECIAL + 30).mean() > 0.9 and (whole[:, ROOM] <= CONTEXT).all()


def test_a_span_of_several_sentences_takes_no_more_room_than_its_own():
    plan = input_formats.segment_pair(split_of(*[[9] * 8] * 40), CONTEXT, special=SPECIAL, starts=starts, seed=0)
    several = plan.pieces[plan.pieces[:, SIZE] > 9]
    assert len(several) and (several[:, ROOM] == SPECIAL + several[:, SIZE]).all()


def test_full_sentences_leave_no_row_empty_and_no_token_out():
    for last in range(1, 40):  # the corpus ends at every place of a row
        split = split_of([7, 12, 9], [50, 3], [last])
        plan = input_formats.full_sentences(split, CONTEXT, starts)
        assert (np.diff(plan.rows) > 0).all() and plan.rows[-1] == len(plan.pieces)
        read = sorted((d, first + i) for d, first, size, *_ in plan.pieces.tolist() for i in range(size))
        assert read == [(d, i) for d, n in enumerate(split.documents["tokens"].tolist()) for i in range(n)]
        assert plan.pieces[:, DOCUMENT].max() == 2 and plan.pieces[:, FIRST].min() == 0


def test_a_tenth_of_the_documents_is_cut_into_shorter_spans():
    """BERT's short sequences. Sentences of one token, so that a span is as long as its target."""
    plan = input_formats.segment_pair(split_of(*[[1] * 80] * 2000), CONTEXT, special=SPECIAL, starts=starts, seed=0)
    first = plan.pieces[plan.pieces[:, FIRST] == 0]
    assert len(first) == 2000 and first[:, SIZE].max() == CONTEXT - SPECIAL
    short = (first[:, SIZE] < CONTEXT - SPECIAL).sum()
    assert 150 < short < 240  # a tenth, without those that drew the whole; 3.5 standard deviations are 47
