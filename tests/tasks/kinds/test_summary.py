"""Summaries: ROUGE against its library and by hand for Korean, what is read of a text that is too long, and a whole run."""

import csv
import json
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo import world
from gyebo.models.family import FAMILIES
from gyebo.tasks import text_answers
from gyebo.tasks.kinds.table import KINDS, own_files
from gyebo.tasks.metrics.metrics import METRICS, measure, signatures
from gyebo.tasks.reading import Reader
from gyebo.tasks.registry import find
from gyebo.tasks.task import Example
from gyebo.tasks.wording import text_task
from gyebo.text.roles import roles_of
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer
from tests.extending.commands import gyebo

rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")

NAMES = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
READER = Reader(context=512, start=1)
TEXTS = st.text(st.sampled_from("abAB19 .,_-'\n"), max_size=24)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3))
def test_english_rouge_is_that_of_the_library(pairs):
    scorer = rouge_scorer.RougeScorer(list(NAMES.values()))
    examples = [Example("1", "x", label=reference) for _, reference in pairs]
    for name, theirs in NAMES.items():
        expected = [scorer.score(reference, written)[theirs].fmeasure for written, reference in pairs]
        found = METRICS[name].function([written for written, _ in pairs], examples, None)
        assert found == {name: pytest.approx(sum(expected) / len(expected), abs=1e-12)}


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_korean_rouge_counts_syllables(form):
    """나 는 밥 을 먹 었 다 / 나 는 밥 을 먹 는 다: six of seven syllables, four of six pairs, a subsequence of six."""
    written, reference = (unicodedata.normalize(form, text) for text in ("나는 밥을 먹었다.", "나는 밥을 먹는다"))
    found = measure(find("world-summary"), [written], [Example("1", "x", label=reference)])
    assert found == pytest.approx({"rouge_1": 6 / 7, "rouge_2": 4 / 6, "rouge_l": 6 / 7})


def test_other_scripts_have_words_and_mixed_text_has_both():
    score = METRICS["rouge_1"].function
    assert score(["Élan größer"], [Example("1", "x", label="élan GRÖSSER")], None)["rouge_1"] == pytest.approx(1 / 2)
    assert score(["GPT2는 빨라"], [Example("1", "x", label="gpt2 빠르다")], None)["rouge_1"] == pytest.approx(2 * 1 / (4 + 4))


def test_a_summary_without_reference_is_not_scored():
    with pytest.raises(ValueError, match="^1 has no label"):
        measure(find("world-summary"), ["a"], [Example("1", "x")])


def test_the_signature_says_how_tokens_are_made():
    (found,) = signatures(["rouge_l", "accuracy"], [], []).values()
    assert found.startswith("rouge-score ") and "rougeL" in found and "Hangul syllables" in found


# ---- what is read


@pytest.fixture
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["transformer"]))


def test_a_family_that_reads_prefixes_is_told_to_summarize():
    for task in (find("world-summary"), own_files()["summary"].task(None, None, None)):
        example = Example("1", "나무 바다", label="나무")
        told, bare = (KINDS["summary"].text.of(text_task(task, prefixes=prefixes)) for prefixes in (True, False))
        assert told.source(example) == "summarize: 나무 바다" and bare.source(example) == "나무 바다"
        assert told.target(example) == "나무" and told.target(Example("1", "x")) is None
        assert told.answer(" 나무\n", example) == "나무"


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.sampled_from("나무하늘é a.\n힣𝄞"), min_size=1, max_size=60),
    room=st.integers(14, 40),
    cut=st.sampled_from(["end", "start"]),
    prefixes=st.booleans(),
)
def test_a_text_that_is_too_long_loses_one_end(text, room, cut, prefixes, tokenizer_folder):
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["transformer"]))
    form = KINDS["summary"].text.of(text_task(find("world-summary"), prefixes=prefixes))
    form = replace(form, cut=cut)
    whole = Example("1", text, label="나무")
    features = text_answers.encode(form, [whole], tokenizer, max_length=room, reader=READER, skip_long=True)
    row = features.columns["input_ids"][0].tolist()
    assert len(features) == 1 and len(row) <= room
    ids = tokenizer.encode(form.source(whole))
    fits = len(ids) <= template_of(tokenizer).room(room, 1)
    assert features.too_long == (not fits)
    read = tokenizer.decode(row[:-1])
    if fits:
        assert row[:-1] == ids
    else:
        before = "summarize: " if prefixes else ""
        assert read.startswith(before.rstrip())
        kept = read[len(before) :].rstrip("\ufffd")  # a character may be cut in two
        normal = tokenizer.normalize(text)
        assert (normal.startswith if cut == "end" else normal.endswith)(kept) and kept != normal


def test_what_stands_behind_a_text_stays(tokenizer):
    form = KINDS["summary"].text.of(text_task(find("world-summary"), prefixes=False))
    around = replace(form, source=lambda example: f"바다 {example.text} 친구")
    row = text_answers.encode(around, [Example("1", "나무 " * 40)], tokenizer, max_length=20, reader=READER, targets=False)
    found = tokenizer.decode(row.columns["input_ids"][0].tolist())
    assert found.startswith("바다 나무") and found.endswith("나무 친구") and 12 < len(row.columns["input_ids"][0]) <= 20


def test_the_start_is_cut_between_lines(tokenizer):
    form = KINDS["summary"].text.of(text_task(find("world-summary"), prefixes=True))
    form = replace(form, cut="start")
    lines = [f"나무 {number}" for number in range(12)]
    row = text_answers.encode(form, [Example("1", "\n".join(lines))], tokenizer, max_length=32, reader=READER, targets=False)
    found = tokenizer.decode(row.columns["input_ids"][0].tolist()).removeprefix("summarize: ").split("\n")
    assert 1 < len(found) < 12 and found == lines[-len(found) :]


def test_a_long_target_is_still_left_out_of_training(tokenizer):
    form = KINDS["summary"].text.of(text_task(find("world-summary"), prefixes=False))
    examples = [Example("1", "나무 " * 40, label="나무"), Example("2", "나무", label="나무 " * 40)]
    found = text_answers.encode(form, examples, tokenizer, max_length=16, reader=READER, skip_long=True)
    assert found.example.tolist() == [0] and found.too_long == 2


# ---- a run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small model that has read a few stories of the world, cut to 24 tokens."""
    folder = tmp_path_factory.mktemp("summaries")
    with (folder / "stories.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "summary"])
        table.writerows([made.text, made.summary] for made in world.summaries(120, languages=("ko",)))
    words = ["finetune", "transformer:tiny", "summary", "--data", folder / "stories.csv", "--steps", 4, "--max-length", 24]
    words += ["--set", "translation.vocab_size=400", "--set", "translation.beams=1", "--set", "evaluations=0.5"]
    printed = gyebo(*words, "--precision", "float32", "--device", "cpu", "-o", folder / "run")
    return folder, printed


def test_a_model_learns_to_summarize(run):
    folder, printed = run
    assert "training examples are longer than 24 tokens and were truncated" in printed
    found = json.loads(gyebo("evaluate", folder / "run", "--json"))
    assert set(find("world-summary").metrics) <= set(found) and "Hangul" in found["rouge_l_signature"]
    card = (folder / "run" / "README.md").read_text(encoding="utf-8")
    assert (
        'pipeline_tag: "summarization"' in card and "ROUGE-L by length" in card and (folder / "run" / "lengths.png").is_file()
    )
    rows = [json.loads(line) for line in (folder / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows and all(set(row) == {"id", "label", "prediction"} for row in rows)


def test_lines_are_summarized(run):
    folder, _ = run
    (folder / "ask.txt").write_text("나무 정말 바다 좋아한다.\n" + "하늘 " * 100 + "\n", encoding="utf-8")
    found = [json.loads(line) for line in gyebo("predict", folder / "run", folder / "ask.txt").splitlines()]
    assert [set(row) for row in found] == [{"id", "prediction"}] * 2
