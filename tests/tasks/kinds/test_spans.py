"""Answers in contexts: labels in every window, answers back from scores, n-best, no answer."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gyebo.tasks.kinds import spans
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.task import Example
from tests.tasks.feature_texts import KINDS, LAYOUTS, TEXTS, tokenizer_of

CONTEXT = (
    "경찰은 딸과 비틀즈가 서울역에서 노래를 불렀다 " * 6 + "The Beatles sang in Café " + "박씨의 딸과 알선 자금을 관리한 " * 6
)


def peaks(features, value=10.0):
    """Scores of a perfect model: `value` at each row's labels, 0 elsewhere."""
    starts, ends = [], []
    for row, length in enumerate(features.lengths):
        for lists, name in ((starts, "start_positions"), (ends, "end_positions")):
            scores = np.zeros(length, np.float32)
            scores[features.fixed[name][row]] = value
            lists.append(scores)
    return starts, ends


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_answer_is_found_in_every_window_that_holds_it(layout, monkeypatch):
    monkeypatch.setattr(spans, "STRIDE", 8)
    tokenizer = tokenizer_of("bpe", layout)
    at = CONTEXT.index("The Beatles")
    example = Example("a", CONTEXT, "누가 불렀다", answers=((at, "The Beatles"),))
    features = encode("spans", [example], tokenizer, None, 40)
    assert len(features) > 5
    batch = features.batch(np.arange(len(features)))
    assert batch["input_ids"].shape[1] <= 40
    found, null = 0, {"bert": "cls", "roberta": "cls", "xlnet": "cls", "t5": "eos", "gpt": "eos"}[layout]
    for row in range(len(features)):
        ids = features.columns["input_ids"][row].tolist()
        start, end = int(batch["start_positions"][row]), int(batch["end_positions"][row])
        assert ids[features.notes["null"][row]] == tokenizer.role_ids[null]
        held = "The Beatles" in tokenizer.decode(ids)
        if held:
            assert tokenizer.decode(ids[start : end + 1]).strip() == "The Beatles"
        else:
            assert start == end == features.notes["null"][row]
        found += held
    assert found >= 2
    assert spans.decode(features, [example], peaks(features)) == ["The Beatles"]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=50, deadline=None)
@given(text=TEXTS.filter(str.strip), question=TEXTS, data=st.data())
def test_answers_on_piece_borders_come_back_as_characters(kind, text, question, data):
    tokenizer = tokenizer_of(kind)
    offsets = tokenizer.offsets(text)
    # Borders inside a character's bytes are no borders of the text.
    clean = [i for i in range(len(offsets) + 1) if i in (0, len(offsets)) or offsets[i - 1][1] <= offsets[i][0]]
    spells = [(i, j) for i in clean for j in clean if i < j <= i + 30 and text[offsets[i][0] : offsets[j - 1][1]].strip()]
    assume(spells)
    first, after = data.draw(st.sampled_from(spells))
    start, end = offsets[first][0], offsets[after - 1][1]
    answer = text[start:end]
    example = Example("a", text, question, answers=((start, answer),))
    features = encode("spans", [example], tokenizer, None, 2 * len(offsets) + 160)
    assert len(features) == 1
    assert spans.decode(features, [example], peaks(features)) == [answer.strip()]
    best = spans.n_best(features, *peaks(features), [example])[0][0][0]
    assert text[best.start : best.end] == best.text and best.score == 20.0


def test_an_answer_inside_a_piece_gives_the_piece():
    text = "딸과 비틀즈가 노래를"
    tokenizer = tokenizer_of()
    example = Example("a", text, "누가", answers=((4, "틀"),))
    features = encode("spans", [example], tokenizer, None, 64)
    (answer,) = spans.decode(features, [example], peaks(features))
    assert "틀" in answer and answer in text and answer == answer.strip()


def one(text="a b c d e", question="q", length=64):
    tokenizer = tokenizer_of("byte")
    example = Example("a", text, question)
    return encode("spans", [example], tokenizer, None, length), [example]


def scores(features, row=0, **places):
    out = np.zeros(features.lengths[row])
    for place, value in places.items():
        out[int(place[1:])] = value
    return out


def test_the_best_span_wins_and_the_null_score_by_the_threshold():
    features, examples = one()  # [CLS] q [SEP] a _ b _ c _ d _ e [SEP]: the context is 3 to 11
    starts, ends = scores(features, p3=5, p5=4, p0=4), scores(features, p5=3, p3=1, p0=3.5)
    assert spans.decode(features, examples, [[starts], [ends]]) == ["a b"]  # 8 against 7.5
    assert spans.decode(features, examples, [[starts], [scores(features, p5=3, p0=5)]]) == [""]  # 8 against 9
    assert spans.decode(features, examples, [[starts], [scores(features, p5=3, p0=5)]], threshold=1.0) == ["a b"]
    assert spans.decode(features, examples, [[starts], [scores(features, p5=3, p0=4)]]) == ["a b"]  # equal: the answer
    ranked, null = spans.n_best(features, [starts], [ends], examples)
    assert null == [7.5]
    assert [(answer.text, answer.score) for answer in ranked[0][:3]] == [("a b", 8.0), ("b", 7.0), ("a", 6.0)]
    assert len(ranked[0]) <= 20 and len({(answer.start, answer.end) for answer in ranked[0]}) == len(ranked[0])


def test_no_span_ends_before_it_starts_or_is_too_long_or_outside_the_context():
    features, examples = one("abcdefgh")  # 3 to 10
    starts, ends = scores(features, p9=9, p4=5, p1=99), scores(features, p5=9, p10=2, p2=99, p11=99)
    assert spans.decode(features, examples, [[starts], [ends]]) == ["bc"]  # 14, not 18 (backwards), not the question
    assert spans.decode(features, examples, [[starts], [ends]], longest=1) in (["g"], ["c"])
    for longest in (1, 2, 3):
        ranked, _ = spans.n_best(features, [starts], [ends], examples, longest=longest)
        assert max(len(answer.text) for answer in ranked[0]) == longest
    assert len(spans.n_best(features, [starts], [ends], examples, best=4)[0][0]) == 4


def test_the_null_score_is_the_lowest_of_all_windows(monkeypatch):
    monkeypatch.setattr(spans, "STRIDE", 5)
    features, examples = one("abcdefghijklmnopqrst", length=14)
    assert len(features) == 3
    starts = [scores(features, row, p0=value) for row, value in enumerate((4.0, 1.0, 3.0))]
    ends = [scores(features, row) for row in range(3)]
    starts[2][8] = 2.0  # "p", whose home is the last window
    ranked, null = spans.n_best(features, starts, ends, examples)
    assert null == [1.0] and ranked[0][0].score == 2.0
    assert {answer.text[0] for answer in ranked[0] if answer.score == 2.0} == {"p"}
    assert spans.decode(features, examples, [starts, ends]) == [ranked[0][0].text]
    starts[1][0] = 2.5
    assert spans.decode(features, examples, [starts, ends]) == [""]


@pytest.mark.parametrize("layout", ["bert", "roberta"])
@pytest.mark.parametrize("length, stride", [(40, 8), (64, 31), (30, 128), (400, 128)])
def test_windows_are_those_of_the_tokenizers_library(layout, length, stride, tmp_path, monkeypatch):
    monkeypatch.setattr(spans, "STRIDE", stride)
    tokenizer = tokenizer_of("bpe", layout)
    tokenizer.save(tmp_path)
    reference = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    question = "누가 불렀다"
    room = length - reference.num_special_tokens_to_add(True) - len(tokenizer.encode(question))
    reference.enable_truncation(length, stride=max(0, room - stride), strategy="only_second")
    first = reference.encode(question, CONTEXT)
    features = encode("spans", [Example("a", CONTEXT, question)], tokenizer, None, length)
    rows = [features.columns["input_ids"][row].tolist() for row in range(len(features))]
    assert rows == [first.ids, *(window.ids for window in first.overflowing)]
    if layout == "bert":
        types = [features.columns["token_type_ids"][row].tolist() for row in range(len(features))]
        assert types == [first.type_ids, *(window.type_ids for window in first.overflowing)]


def test_a_window_needs_the_whole_answer(monkeypatch):
    monkeypatch.setattr(spans, "STRIDE", 5)
    example = Example("a", "abcdefghijklmnopqrst", "q", answers=((8, "ijk"),))
    features = encode("spans", [example], tokenizer_of("byte"), None, 14)  # a-j, f-o, k-t; text begins at 3
    assert features.fixed["start_positions"].tolist() == [0, 6, 0] and features.fixed["end_positions"].tolist() == [0, 8, 0]
    for text, last in (("hij", 12), ("fghij", 12)):
        example = Example("a", example.text, "q", answers=((example.text.index(text), text),))
        features = encode("spans", [example], tokenizer_of("byte"), None, 14)
        assert features.fixed["end_positions"].tolist() == [last, 7, 0]


def test_a_span_starts_in_one_window_only(monkeypatch):
    monkeypatch.setattr(spans, "STRIDE", 5)
    features, examples = one("abcdefghijklmnopqrst", length=14)
    total = sum(int((features.notes["last"][row] > 0).sum()) for row in range(len(features)))
    assert total == len(examples[0].text)


def test_several_examples_keep_apart():
    tokenizer = tokenizer_of("bpe", "gpt")
    examples = [
        Example("a", CONTEXT, "누가", answers=((0, "경찰은"),)),
        Example("b", "딸과 비틀즈가", "누가"),
        Example("c", "딸과 비틀즈가", "누가", answers=((3, "비틀즈가"), (0, "딸과"))),
    ]
    features = encode("spans", examples, tokenizer, None, 400)
    assert features.example.tolist() == [0, 1, 2]
    assert spans.decode(features, examples, peaks(features)) == ["경찰은", "", "비틀즈가"]


def test_a_long_question_is_cut_and_counted():
    tokenizer = tokenizer_of("byte")
    features = encode("spans", [Example("a", "x" * 9, "q" * 80), Example("b", "x", "q" * 64)], tokenizer, None, 140)
    assert features.too_long == 1 and features.lengths.tolist() == [64 + 9 + 3, 64 + 1 + 3]
    features = encode("spans", [Example("a", "x" * 9, "q" * 80)], tokenizer, None, 11)  # half of what is left, at most
    assert (features.columns["input_ids"][0] == tokenizer.encode("q")[0]).sum() == 4 and features.lengths.max() == 11


@pytest.mark.parametrize(
    "example, length, message",
    [
        (Example("m", "가나다"), 64, "example m: no question"),
        (Example("m", "가나다", "누가", answers=((1, "가"),)), 64, "example m: the answer '가' is not at character 1"),
        (Example("m", "가나다", "누가", answers=((-1, "다"),)), 64, "not at character -1"),
        (Example("m", "가나다", "누가"), 4, "max_length: 4 leaves 1 tokens"),
    ],
)
def test_questions_that_are_refused(example, length, message):
    with pytest.raises(ValueError, match=message):
        encode("spans", [example], tokenizer_of(), None, length)


def test_scores_that_do_not_fit_are_refused():
    features, examples = one()
    with pytest.raises(ValueError, match="0 starts and 1 ends given for 1 rows"):
        spans.decode(features, examples, [[], [scores(features)]])


def test_a_new_window_starts_every_128_tokens():
    """`doc_stride` of BERT's run_squad.py. A token here is a character."""
    features, _ = one("a" * 600, length=300)
    rows = [features.notes["first"][row] for row in range(1, len(features))]
    starts = [int(first[first > 0].min()) for first in rows]
    assert starts == [128, 256, 384][: len(starts)] and len(starts) >= 2
