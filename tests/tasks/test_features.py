"""Examples as rows: templates, truncation, padding, orders, choices, markers of relations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.data.streams import TOKENS, BatchField, Stream
from gyebo.tasks.features import ExampleRows, Features, in_order, ragged
from gyebo.tasks.kinds.relation import MARKERS, marking, with_markers
from gyebo.tasks.kinds.table import encode
from gyebo.tasks.task import Example
from gyebo.text.template import null_position, template_of, window_of_token, windows, with_null_token
from gyebo.text.tokenizer import Tokenizer
from tests.tasks.feature_texts import KINDS, LAYOUTS, TEXTS, published, tokenizer_of

LABELS = ("중립", "긍정", "부정")


def labelled(texts, pairs=None):
    pairs = pairs or [None] * len(texts)
    return [Example(str(i), text, pair, LABELS[i % 3]) for i, (text, pair) in enumerate(zip(texts, pairs))]


# -- templates and rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.tuples(TEXTS, st.none() | TEXTS), min_size=1, max_size=4), length=st.integers(4, 30))
def test_rows_are_what_the_tokenizer_gives(layout, texts, length):
    tokenizer = tokenizer_of("bpe", layout)
    examples = labelled([text for text, _ in texts], [pair for _, pair in texts])
    features = encode("classification", examples, tokenizer, LABELS, length)
    batch = features.batch(np.arange(len(examples)))
    cut = 0
    for row, (text, pair) in enumerate(texts):
        expected = tokenizer(text, pair, truncation=True, max_length=length)
        whole = tokenizer(text, pair)["input_ids"]
        cut += len(whole) > length
        real = batch["document_ids"][row] == 1
        assert batch["document_ids"][row].tolist() == sorted(batch["document_ids"][row], reverse=True)
        ids = batch["input_ids"][row]
        assert (ids[~real] == tokenizer.role_ids["pad"]).all()
        if whole:
            assert ids[real].tolist() == expected["input_ids"]
        else:  # nothing to read from: one token stands for the empty text
            assert ids[real].tolist() == [tokenizer.role_ids["bos"]]
        if "token_type_ids" in tokenizer.model_inputs:
            assert batch["token_type_ids"][row][real].tolist() == expected["token_type_ids"]
    assert ("token_type_ids" in batch) == ("token_type_ids" in tokenizer.model_inputs)
    assert features.too_long == cut
    assert batch["labels"].tolist() == [i % 3 for i in range(len(examples))]
    assert batch["input_ids"].shape[1] == features.lengths.max()


@pytest.mark.parametrize("kind", KINDS)
def test_frames_of_all_kinds(kind):
    template = template_of(tokenizer_of(kind, "bert"), 2)
    ids = tokenizer_of(kind, "bert").role_ids
    assert template.special == ((ids["cls"],), (ids["sep"],), (ids["sep"],))
    assert template.special_types == ((0,), (0,), (1,)) and template.text_types == (0, 1) and template.added == 3


@pytest.mark.parametrize("layout, place", [("bert", 0), ("roberta", 0), ("xlnet", -1), ("t5", -1), ("gpt", -1)])
def test_every_family_has_an_anchor(layout, place):
    tokenizer = tokenizer_of("bpe", layout)
    template = with_null_token(template_of(tokenizer, 2), tokenizer)
    row = template.apply([100, 101], [102]).ids
    assert null_position(template, len(row)) == place % len(row)
    role = {"bert": "cls", "roberta": "cls", "xlnet": "cls", "t5": "eos", "gpt": "eos"}[layout]
    assert row[place] == tokenizer.role_ids[role]
    assert len(row) == 3 + template.added


def test_labels_scores_and_no_labels():
    tokenizer = tokenizer_of()
    examples = [Example("a", "경찰은", label=2.5), Example("b", "딸과", label="0.5")]
    scores = encode("regression", examples, tokenizer, None, 16).batch([1, 0])["labels"]
    assert scores.dtype == np.float32 and scores.tolist() == [0.5, 2.5]
    assert "labels" not in encode("regression", [Example("a", "경찰은")], tokenizer, None, 16).batch([0])
    numbers = encode("classification", [Example("a", "경찰은", label=1.0)], tokenizer, ["0.0", "1.0"], 16).batch([0])["labels"]
    assert numbers.tolist() == [1] and numbers.dtype == np.int64


@pytest.mark.parametrize(
    "change, message",
    [
        ({"name": "parsing"}, "unknown kind of task 'parsing'"),
        ({"name": "dialogue-state"}, "no head"),
        ({"labels": None}, "needs the names"),
        ({"name": "regression"}, "labels have no effect"),
        ({"max_length": 1}, "max_length: 1 leaves -1"),
        ({"examples": [Example("x7", "딸", label="몰라")]}, "example x7: label '몰라' is none of 중립"),
        ({"examples": [Example("x7", "딸", label="중립"), Example("x8", "딸")]}, "example x8 has no label"),
        (
            {"examples": [Example("x7", "딸", label="딸")], "name": "regression", "labels": None},
            "x7: label '딸' is not a number",
        ),
        ({"examples": [Example("x7", "딸", label="nan")], "name": "regression", "labels": None}, "not a number"),
    ],
)
def test_what_is_refused(change, message):
    arguments = {"name": "classification", "examples": labelled(["딸"]), "tokenizer": tokenizer_of(), "labels": LABELS}
    with pytest.raises(ValueError, match=message):
        encode(**{**arguments, "max_length": 16, **change})


def test_role_strings_of_a_user_are_text():
    tokenizer = tokenizer_of()
    ids = encode("classification", labelled(["[CLS] [SEP] <subj>"]), tokenizer, LABELS, 64).batch([0])["input_ids"][0]
    assert [i for i in ids.tolist() if i in tokenizer.all_role_ids] == [tokenizer.role_ids["cls"], tokenizer.role_ids["sep"]]


# -- orders ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), min_size=1, max_size=8), st.data())
def test_ragged_lists_come_back(lists, data):
    store = ragged(lists)
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    numbers = np.array(rows, np.int64)
    assert store.joined(numbers).tolist() == [value for row in rows for value in lists[row]]
    assert store.lengths_of(numbers).tolist() == [len(lists[row]) for row in rows]
    assert [store[i].tolist() for i in range(len(store))] == lists


def test_a_column_that_stands_in_no_stream_is_refused():
    features = rows_of(2).features
    features.columns["weights"] = ragged([[1], [2]])
    with pytest.raises(ValueError, match="'weights'"):
        features.batch([0])


IMAGE = Stream("image", "image_document_ids", counted=False)


def with_columns(options=1, **columns):
    """Rows of tokens with a float beside each, and pictures in a stream of their own."""
    fields = (
        BatchField("input_ids"),
        BatchField("weights", TOKENS, 0, "float32"),
        BatchField("pixels", IMAGE, 0, "uint8", (2, 3)),
    )
    stored = {name: ragged(values) for name, values in columns.items()}
    count = len(columns["input_ids"]) // options
    return Features(stored, {}, np.arange(count), ("a",) * count, 0, options, fields=fields)


def test_a_column_is_cast_to_the_type_of_its_field():
    pictures = [np.arange(12, dtype=np.uint8).reshape(2, 2, 3), np.zeros((0, 2, 3), np.uint8)]
    features = with_columns(input_ids=[[1, 2], [3]], weights=[[0.5, 1.75], [2]], pixels=pictures)
    batch = features.batch([0, 1])
    assert batch["weights"].tolist() == [[0.5, 1.75], [2, 0]] and batch["weights"].dtype == np.float32
    assert np.array_equal(batch["pixels"][0], pictures[0]) and not batch["pixels"][1].any()
    assert batch["pixels"].dtype == np.uint8 and features.columns["pixels"].values.dtype == np.uint8
    assert features.columns["input_ids"].values.dtype == np.int32 and batch["input_ids"].dtype == np.int64
    chosen = with_columns(2, input_ids=[[1, 2], [3]], pixels=pictures).batch([0])
    assert chosen["pixels"].shape == (1, 2, 2, 2, 3) and chosen["input_ids"].tolist() == [[[1, 2], [3, 0]]]


def test_a_column_that_its_field_cannot_store_is_refused():
    with pytest.raises(ValueError, match=r"'input_ids' .*float64.*int64"):
        with_columns(input_ids=[[1.5, 2], []]).batch([0])
    with pytest.raises(ValueError, match="32 bits"):
        ragged([np.array([2**40])])


def test_empty_lists_leave_integers_alone():
    assert ragged([[], [1, 2]]).values.dtype == np.int32
    empty = with_columns(input_ids=[[1]], weights=[[0.5]], pixels=[np.zeros((0, 2, 3), np.uint8)]).batch([0])
    assert empty["pixels"].shape == (1, 0, 2, 3)


def rows_of(count):
    texts = ["딸과 " * (1 + i * 7 % 11) for i in range(count)]
    return ExampleRows(encode("classification", labelled(texts), tokenizer_of(), LABELS, 64))


def test_an_epoch_is_a_permutation_and_batches_go_on_into_the_next():
    rows, batch = rows_of(10), 4
    seen = [rows.ids(step, batch, 5) for step in range(5)]  # 20 places: two epochs
    whole = [rows.step(step, batch, 5) for step in range(5)]
    flat = [tuple(line[line != 0]) for arrays in whole for line in arrays["input_ids"]]
    expected = sorted(tuple(rows.features.columns["input_ids"][i].tolist()) for i in range(10))
    assert sorted(tuple(map(int, line)) for line in flat[:10]) == expected
    assert sorted(tuple(map(int, line)) for line in flat[10:]) == expected
    assert flat[:10] != flat[10:]
    assert [len(arrays["labels"]) for arrays in whole] == [4] * 5
    assert all(set(names) <= {str(i) for i in range(10)} for names in seen)


def test_parts_of_a_step_are_the_step():
    rows = rows_of(10)
    whole = rows.step(3, 6, 1)["labels"].tolist()
    assert rows.step(3, 6, 1, 0, 2)["labels"].tolist() + rows.step(3, 6, 1, 2, 4)["labels"].tolist() == whole
    assert rows.step(3, 6, 1, 4)["labels"].tolist() == whole[4:]
    assert any(rows.ids(step, 6, 2) != rows.ids(step, 6, 1) for step in range(3))


def test_batches_by_length_and_the_way_back():
    rows = rows_of(23)
    lengths = rows.features.lengths
    parts, longest = [], 10**9
    for numbers, arrays in rows.by_length(60):
        assert arrays["input_ids"].size <= 60 or len(numbers) == 1
        assert lengths[numbers].max() <= longest
        longest = lengths[numbers].min()
        parts.append((numbers, arrays["input_ids"] * 2))
    back = in_order(parts, lengths)
    assert [row.tolist() for row in back] == [(rows.features.columns["input_ids"][i] * 2).tolist() for i in range(23)]
    padding = sum(arrays.size for _, arrays in parts) - sum(lengths)
    assert padding < 0.2 * sum(lengths)
    with pytest.raises(ValueError, match="row 3 .* twice"):
        in_order([parts[0], parts[0]])
    with pytest.raises(ValueError, match="must occur once"):
        in_order(parts[1:], lengths)
    assert rows.mean_tokens == pytest.approx(lengths.mean())


def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        ExampleRows(encode("classification", [], tokenizer_of(), LABELS, 16))


# -- windows -----------------------------------------------------------------------------------------------------------


@given(count=st.integers(0, 60), room=st.integers(1, 20), step=st.integers(1, 30))
def test_windows_lose_nothing(count, room, step):
    cuts = windows(count, room, step)
    assert cuts[0][0] == 0 and cuts[-1][1] == count
    assert all(0 <= end - start <= room for start, end in cuts)
    assert all(after[0] <= before[1] for before, after in zip(cuts, cuts[1:]))
    home = window_of_token(cuts)
    assert len(home) == count

    def context(place, start, end):
        return min(place - start if start else count, end - 1 - place if end < count else count)

    for place, number in enumerate(home):
        inside = {n: context(place, *cut) for n, cut in enumerate(cuts) if cut[0] <= place < cut[1]}
        assert number == min(n for n in inside if inside[n] == max(inside.values()))


# -- choices -----------------------------------------------------------------------------------------------------------


def test_choices_are_pairs_side_by_side():
    tokenizer = tokenizer_of()
    options = ("노래를 불렀다", "비틀즈가", "서울역에서 노래를 불렀다")
    examples = [
        Example("a", "경찰은", options=options, label=2),
        Example("b", "딸과 비틀즈가", options=options[::-1], label="0"),
    ]
    features = encode("choice", examples, tokenizer, None, 32)
    batch = features.batch([1, 0])
    assert batch["input_ids"].shape == batch["document_ids"].shape == batch["token_type_ids"].shape
    assert batch["input_ids"].shape[:2] == (2, 3) and batch["labels"].tolist() == [0, 2]
    for row, example in enumerate(reversed(examples)):
        for number, option in enumerate(example.options):
            real = batch["document_ids"][row, number] == 1
            assert batch["input_ids"][row, number][real].tolist() == tokenizer(example.text, option)["input_ids"]
    numbers, _ = next(ExampleRows(features).by_length(3 * batch["input_ids"].shape[2]))
    assert len(numbers) == 1  # a row is all its options


def test_choices_are_cut_once_an_example():
    tokenizer = tokenizer_of("byte")
    examples = [
        Example("a", "x" * 9, options=("y", "z")),
        Example("b", "x", options=("y" * 9, "z")),
        Example("c", "x", options=("y", "z")),
    ]
    features = encode("choice", examples, tokenizer, None, 10)
    assert features.too_long == 2 and features.lengths.tolist() == [10, 10, 5]
    assert "labels" not in features.batch([0])
    assert tokenizer.decode(features.batch([1])["input_ids"][0, 0]) == "x" + "y" * 6


@pytest.mark.parametrize(
    "example, message",
    [
        (Example("z", "a", options=("b",)), "z: 1 options"),
        (Example("z", "a", options=("b", "c"), label=2), "z: label 2 is not the index of an option, 0 to 1"),
        (Example("z", "a", options=("b", "c"), label="b"), "z: label 'b'"),
        (Example("z", "a", options=("b", "c"), label=-1.0), "z: label -1.0"),
    ],
)
def test_choices_that_are_refused(example, message):
    with pytest.raises(ValueError, match=message):
        encode("choice", [example], tokenizer_of(), None, 32)


# -- relations ---------------------------------------------------------------------------------------------------------

SENTENCE = "딸과 비틀즈가 서울역에서 노래를 불렀다"
ANSWERS = ((3, "비틀즈"), (8, "서울역"))


def shown(tokenizer, ids):
    """The text of ids with markers written out."""
    names = {id: tokenizer.token(id) for id in ids if id in tokenizer.all_role_ids}
    text, plain = "", []
    for id in [*ids, None]:
        if id is None or id in names:
            text += b"".join(tokenizer.piece_bytes(piece) for piece in plain).decode()
            text += names.get(id, "")
            plain = []
        else:
            plain.append(id)
    return text


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "byte"])
def test_markers_stand_around_the_entities(kind):
    tokenizer = with_markers(tokenizer_of(kind))
    ids = marking(tokenizer)(Example("a", SENTENCE, answers=ANSWERS))
    assert shown(tokenizer, ids) == "딸과<subj> 비틀즈</subj>가<obj> 서울역</obj>에서 노래를 불렀다"
    swapped = marking(tokenizer)(Example("a", SENTENCE, answers=ANSWERS[::-1]))
    assert shown(tokenizer, swapped) == "딸과<obj> 비틀즈</obj>가<subj> 서울역</subj>에서 노래를 불렀다"
    assert with_markers(tokenizer) is tokenizer


@pytest.mark.parametrize(
    "text, answers, expected",
    [
        ("비틀즈딸", ((0, "비틀즈"), (3, "딸")), "<subj>비틀즈</subj><obj>딸</obj>"),
        ("비틀즈딸", ((0, "비틀즈딸"), (3, "딸")), "<subj>비틀즈<obj>딸</obj></subj>"),
        ("비틀즈딸", ((0, "비틀즈"), (0, "비틀즈딸")), "<obj><subj>비틀즈</subj>딸</obj>"),
        ("<subj> 딸.", ((7, "딸"), (0, "<subj>")), "<obj><subj></obj><subj> 딸</subj>."),
    ],
)
def test_markers_touch_and_nest(text, answers, expected):
    tokenizer = with_markers(tokenizer_of())
    ids = marking(tokenizer)(Example("a", text, answers=answers))
    assert shown(tokenizer, ids) == expected
    assert sum(id in tokenizer.all_role_ids for id in ids) == 4


def test_a_word_goes_on_after_an_entity_as_it_does_in_running_text():
    tokenizer = with_markers(tokenizer_of("wordpiece"))
    after = marking(tokenizer)(Example("a", SENTENCE, answers=ANSWERS))
    close = next(id for id in tokenizer.all_role_ids if tokenizer.token(id) == "</subj>")
    assert tokenizer.token(after[after.index(close) + 1]).startswith("##")
    inside = marking(tokenizer)(Example("a", "제비틀즈가 딸", answers=((1, "비틀즈"), (6, "딸"))))
    assert tokenizer.token(inside[inside.index(close) - 1]).startswith("##")
    start = next(place for place, id in enumerate(inside) if tokenizer.token(id) == "<subj>")
    assert not tokenizer.token(inside[start + 1]).startswith("##")  # as in KLUE, only what follows an entity is mended
    dot = marking(tokenizer)(Example("a", "비틀즈.딸", answers=((0, "비틀즈"), (4, "딸"))))
    assert tokenizer.token(dot[dot.index(close) + 1]) == "."


def test_klues_own_example(tmp_path):
    """The sentence and the pieces that KLUE's baseline gives for its marked form."""
    tokenizer = with_markers(published(tmp_path, "조지 해리 ##슨 이 ##이 쓰 ##고 비틀즈 가 ##가"))
    example = Example("a", "조지 해리슨이 쓰고 비틀즈가", answers=((11, "비틀즈"), (0, "조지 해리슨")))
    pieces = [tokenizer.token(id) for id in marking(tokenizer)(example)]
    assert pieces == "<obj> 조지 해리 ##슨 </obj> ##이 쓰 ##고 <subj> 비틀즈 </subj> ##가".split()


@settings(max_examples=100, deadline=None)
@given(text=TEXTS.filter(str.strip), data=st.data())
def test_markers_change_no_text(text, data):
    answers = []
    for _ in range(2):
        start = data.draw(st.integers(0, len(text) - 1))
        answers.append((start, text[start : data.draw(st.integers(start + 1, len(text)))]))
    tokenizer = with_markers(tokenizer_of("byte"))
    ids = marking(tokenizer)(Example("a", text, answers=tuple(answers)))
    roles = [tokenizer.token(id) for id in ids if id in tokenizer.all_role_ids]
    assert sorted(roles) == sorted(MARKERS)
    assert roles.index("<subj>") < roles.index("</subj>") and roles.index("<obj>") < roles.index("</obj>")
    parts = b"".join(tokenizer.piece_bytes(id) for id in ids if id not in tokenizer.all_role_ids).decode()
    assert tokenizer.normalize(parts) == tokenizer.normalize(text)


def test_relations_as_features():
    plain = tokenizer_of()
    example = Example("r", SENTENCE, label="per:title", answers=ANSWERS)
    labels = ("no_relation", "per:title")
    with pytest.raises(ValueError, match=r"has no <subj>.*with_markers"):
        encode("classification", [example], plain, labels, 64)
    tokenizer = with_markers(plain)
    batch = encode("classification", [example], tokenizer, labels, 64).batch([0])
    assert batch["labels"].tolist() == [1]
    ids = batch["input_ids"][0].tolist()
    assert [ids[0], ids[-1]] == [tokenizer.role_ids["cls"], tokenizer.role_ids["sep"]]
    assert ids[1:-1] == marking(tokenizer)(example)
    with pytest.raises(ValueError, match="example r: the entity '비틀' is not at character 4"):
        encode("classification", [replace(example, answers=((4, "비틀"), (0, "딸")))], tokenizer, labels, 64)
    with pytest.raises(ValueError, match="1 entities"):
        encode("classification", [replace(example, answers=ANSWERS[:1])], tokenizer, labels, 64)


def test_padding_is_the_pad_token_of_type_zero_wherever_its_id_stands(tmp_path):
    """In the tokenizers above it has id 0, so that nothing would be told apart."""
    (tmp_path / "vocab.txt").write_text("\n".join(["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "가", "나"]), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}', encoding="utf-8")
    tokenizer = Tokenizer.load(tmp_path).for_family(LAYOUTS["bert"])
    assert tokenizer.role_ids["pad"] == 4
    examples = [Example("a", "가", tags=("O",)), Example("b", "가 나", tags=("O", "O", "O"))]
    batch = encode("tagging", examples, tokenizer, ["O"], 16).batch([0, 1])
    assert batch["input_ids"][0].tolist() == [1, 5, 2, 4] and batch["document_ids"][0].tolist() == [1, 1, 1, 0]
    assert batch["token_type_ids"].tolist() == [[0] * 4] * 2 and batch["labels"][0].tolist() == [-100, 0, -100, -100]
