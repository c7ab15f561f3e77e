"""What `gyebo inspect corruption` shows: the very batches of a pretraining, as text whose columns are aligned."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.data.batches import IGNORE
from gyebo.data.streams import SOURCE, TARGET, BatchField
from gyebo.jobs.inspection.corruption import inspect_corruption
from gyebo.jobs.inspection.shown import Inspection, ShownExample, ShownField, ShownStream, examples_of, lines_of
from gyebo.jobs.pretraining.build import set_up
from gyebo.models.family import FAMILIES, model_class
from gyebo.objectives import table
from gyebo.text.tokenizer import Tokenizer
from tests.refusals import option_error

OF_PICTURES = [name for name in FAMILIES if model_class(name).sees]
READING = {name: facts for name, family in FAMILIES.items() if (facts := table.find(family.objective)).of == "text"}
OF_CORPUS = [name for name, facts in READING.items() if not facts.kind and name not in OF_PICTURES]
OF_PAIRS = [name for name in READING if name not in (*OF_CORPUS, *OF_PICTURES)]


@pytest.fixture
def inspect(corpus, tokenizer_folder):
    """A function (family, options) -> inspection of the small corpus."""

    def make(family, **options):
        return inspect_corruption(family, [str(corpus)], **{"tokenizer": str(tokenizer_folder), "context": 32, **options})

    return make


@pytest.mark.parametrize("family", OF_CORPUS)
def test_it_shows_what_a_pretraining_reads(family, inspect, run_options, tmp_path):
    """The first rows of the first batch, each place and each field of it; in random order, which a carried state has not."""
    cls = model_class(family)
    order = {"order": "shuffled"} if cls.carries_state and not cls.has_memory else {}
    model = {"memory": 0} if cls.has_memory else {}
    setup = set_up(run_options(family=family, seed=3, model=model, data={"valid_share": 0.01, **order}), tmp_path, None)
    batch = setup.rows.step(0, 4, 3)
    rows = [row for row in range(4) for _ in range(batch[setup.rows.streams[0].document_ids][row].max())]
    found = inspect(family, seed=3, examples=len(rows))
    assert len(found.examples) == len(rows)
    for stream in setup.rows.streams:
        for field in (field for field in setup.objective.fields if field.stream == stream):
            here = batch[stream.document_ids]
            shown = [
                value
                for example in found.examples
                for own in example.streams
                if own.name == stream.name
                for line in own.fields
                if line.name == field.name
                for value in line.values
            ]
            real = batch[field.name][here > 0].tolist()
            assert shown == [None if field.fill == IGNORE and value == IGNORE else value for value in real], field.name


@pytest.mark.parametrize("family", OF_PICTURES)
def test_texts_with_pictures_are_shown_with_what_is_hidden_of_both(family, tokenizer_folder):
    found = inspect_corruption(family, ["world:pictures,ko,40"], tokenizer=str(tokenizer_folder), context=32, examples=6)
    for example in found.examples:
        tokens, regions = example.streams
        assert tokens.name == "tokens" and regions.name == "regions" and regions.length >= 1
        assert regions.arrays["visual_feats"] == (3 * 16 * 16,) and len(regions.arrays["visual_pos"]) == 1
        assert {field.name for field in regions.fields} >= {"region_masked", "region_labels"}
        assert (example.values.keys() & {"match", "alignment"}) and str(found)
    assert any(field.count for example in found.examples for field in example.streams[0].fields if field.name == "labels")


def test_masked_tokens_are_put_back_by_the_labels(inspect, tokenizer_folder):
    tokenizer = Tokenizer.load(tokenizer_folder)
    found = inspect("bert", objective={"format": "doc-sentences", "rate": 0.4}, examples=6)
    for example in found.examples:
        (stream,) = example.streams
        inputs, labels = stream.fields
        restored = [label if label is not None else read for read, label in zip(inputs.values, labels.values)]
        assert tokenizer.decode(restored) == example.texts[0]
        assert {inputs.words[place] for place, kind in enumerate(inputs.kinds) if kind == "mask"} <= {"[MASK]"}
        assert inputs.kinds[0] == inputs.kinds[-1] == "special" and (inputs.words[0], inputs.words[-1]) == ("[CLS]", "[SEP]")
    assert any("mask" in example.streams[0].fields[0].kinds for example in found.examples)
    counts = [example.streams[0].fields[1].count for example in found.examples]
    sizes = [example.streams[0].length for example in found.examples]
    total = f"6 examples: {sum(sizes)} tokens; labels {sum(counts)} ({sum(counts) / sum(sizes):.0%})"
    assert str(found).splitlines()[-1] == total


def test_pairs_say_whether_the_second_segment_is_the_next(tmp_path, tokenizer_folder):
    (tmp_path / "two.txt").write_text("".join(f"나무 {n}. 바다 {n}.\n" for n in range(200)), encoding="utf-8")
    found = inspect_corruption("bert", [str(tmp_path / "two.txt")], tokenizer=str(tokenizer_folder), examples=8)
    for example in found.examples:
        (stream,) = example.streams
        second = next(field for field in stream.fields if field.name == "next_sentence")
        assert second.words[0] == ("next", "random")[second.values[0]] and set(second.words[1:]) == {""}
    assert {example.streams[0].fields[3].words[0] for example in found.examples} == {"next", "random"}


@pytest.mark.parametrize("family", OF_PAIRS)
def test_a_source_stands_above_its_target(family):
    found = inspect_corruption(family, examples=3, vocab_size=300, seed=1)
    assert [len(example.texts) for example in found.examples] == [2, 2, 2]
    for example in found.examples:
        source, target = example.streams
        (reads,), (writes, labels) = source.fields, target.fields
        assert reads.words[-1] == "</s>" and "".join(labels.words).replace("▁", " ") == example.texts[1] + "</s>"
        assert writes.values[1:] == labels.values[:-1] and labels.words[-1] == "</s>"
    lines = str(found).splitlines()
    assert lines.index(next(line for line in lines if line.startswith("input_ids"))) < lines.index(
        next(line for line in lines if line.startswith("decoder_input_ids"))
    )


def test_every_form_of_a_field_is_shown(tokenizer_folder):
    """Two streams, classes, numbers, one value for the row, and an array at each place."""
    tokenizer = Tokenizer.load(tokenizer_folder)
    fields = (
        BatchField("input_ids", SOURCE),
        BatchField("order", SOURCE, -1),
        BatchField("seen", SOURCE, 0, shape=(3, 2)),
        BatchField("kind", SOURCE, IGNORE, names=("first", "other")),
        BatchField("labels", TARGET, IGNORE),
        BatchField("share", None, dtype="float32"),
    )
    ids = tokenizer.encode("나무 바다")
    size = len(ids)
    row = np.array([[*ids, 0]])
    batch = {
        "input_ids": row,
        "document_ids": np.array([[*[1] * (size - 1), 2, 0]]),
        "order": np.arange(size + 1)[None],
        "seen": np.zeros((1, size + 1, 3, 2)),
        "kind": np.array([[1, *[IGNORE] * (size - 2), 0, IGNORE]]),
        "labels": np.array([[ids[0], IGNORE]]),
        "decoder_document_ids": np.array([[2, 2]]),
        "share": np.array([0.5], np.float32),
    }
    first, second = examples_of(batch, fields, tokenizer, [{1: ("a",), 2: ("b", "c")}])
    assert [stream.length for stream in first.streams] == [size - 1, 0]
    assert [stream.length for stream in second.streams] == [1, 2]
    source, target = second.streams
    assert source.fields[1].words == (str(size - 1),) and source.fields[2].words == ("first",)
    assert first.streams[0].fields[2].words[0] == "other" and source.arrays == {"seen": (3, 2)}
    assert target.fields[0].values == (ids[0], None) and second.values == {"share": 0.5}
    text = str(Inspection("X", "much", "", (first, second)))
    assert text.splitlines()[0] == "X learns much"
    assert "share      0.5" in text and "(3 x 2 numbers at each place, not shown)" in text
    assert f"2 examples: source {size} tokens, target 2 tokens; kind 2 ({2 / size:.0%}), labels 1 (50%)" in text


def width_of(text):
    """Cells of Hangul, ASCII and the mark of a space, by Unicode's own table."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


LETTERS = st.sampled_from("가힣나ㅏ한a1.[▁")
READ, LABEL = st.text(LETTERS, min_size=1, max_size=6), st.text(LETTERS, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(READ, LABEL, LABEL), min_size=1, max_size=12), st.integers(20, 60))
def test_columns_are_aligned(places, width):
    def field(name, number):
        words = tuple(words[number] for words in places)
        return ShownField(name, tuple(word or None for word in words), words, ("",) * len(words), number > 0)

    fields = tuple(field(name, number) for number, name in enumerate(("input_ids", "labels", "previous")))
    example = ShownExample((), (ShownStream("tokens", len(places), fields, {}),), {})
    lines = [line.plain for line in lines_of(Inspection("X", "much", "", (example,)), width)][
        3:-2
    ]  # without the heading and the sums
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n")]
    begin = 0
    margin = len("input_ids") + 2
    for block in blocks:
        assert [line.split()[0] for line in block] == ["input_ids", "labels", "previous"]
        cells, at, count = [cells_of(line) for line in block], margin, 0
        while begin + count < len(places) and at < max(map(len, cells)):
            words = places[begin + count]
            for line, word in zip(cells, words):
                found = "".join(line[at : at + width_of(word)])
                assert found == word
            at += max(map(width_of, words)) + 2
            count += 1
        assert max(map(len, cells)) <= max(width, margin + max(map(width_of, places[begin])))
        begin += count
    assert begin == len(places)


def cells_of(line):
    """The characters of a line by cell; the second cell of a wide one is empty."""
    return [cell for char in line for cell in ([char, ""] if width_of(char) == 2 else [char])]


def test_the_tokenizer_is_trained_on_what_is_shown(corpus):
    found = inspect_corruption("gpt2", [str(corpus)], examples=1, vocab_size=300)
    assert all(value < 300 for field in found.examples[0].streams[0].fields for value in field.values)
    again = inspect_corruption("gpt2", [str(corpus)], examples=1, vocab_size=300)
    assert found == again and found != inspect_corruption("gpt2", [str(corpus)], examples=1, vocab_size=300, seed=1)


@pytest.mark.parametrize(
    ("family", "options", "message"),
    [
        ("brt", {}, "unknown family 'brt'"),
        ("bert", {"objective": {"rat": 0.3}}, "unknown option 'objective.rat'; did you mean objective.rate"),
        ("bert", {"objective": {"rate": 2.0}}, "objective.rate must be less than 1"),
        ("bert", {"vocab_size": 300}, "vocab_size has no effect with tokenizer"),
        ("bert", {"data": {"valid_share": 0.5}}, "data.valid_share has no effect on what an example looks like"),
        ("bert", {"data": {"text_field": "body"}}, "data.text_field=body has no effect"),
        ("bert", {"context": 3}, "leaves no room for text"),
        ("transformer", {}, "learns from the pairs of a task, not from a corpus: name one of world-ko-en, world-en-ko"),
        ("transformer", {"objective": {"rate": 0.3}}, "objective.rate has no effect: transformer learns from pairs"),
    ],
)
def test_what_does_not_fit_is_refused(family, options, message, inspect):
    with pytest.raises(ValueError, match=message):
        inspect(family, **options)


def test_a_corpus_without_text_is_named(tmp_path, tokenizer_folder):
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match=r"empty\.txt: no training text"):
        inspect_corruption("bert", [str(tmp_path / "empty.txt")], tokenizer=str(tokenizer_folder))


def test_texts_of_pictures_are_shown_as_texts(tokenizer_folder):
    options = {"tokenizer": str(tokenizer_folder), "context": 64}
    found = inspect_corruption("gpt2", ["world:pictures,en,60"], examples=2, data={"picture_size": 16}, **options)
    assert len(found.examples) == 2
    with option_error("data.picture_size"):
        inspect_corruption("gpt2", ["world:en,60"], data={"picture_size": 16}, **options)
