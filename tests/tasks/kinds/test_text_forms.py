"""Every kind as text: what is read is what T5 read, and what is learned to be written gives the label back."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.tasks.kinds import entity_list
from gyebo.tasks.kinds.entity_list import entities
from gyebo.tasks.kinds.regression import written
from gyebo.tasks.kinds.table import KINDS, find_kind
from gyebo.tasks.metrics.metrics import METRICS, measure
from gyebo.tasks.registry import TASKS, find
from gyebo.tasks.response import Response
from gyebo.tasks.task import INVALID, Example
from gyebo.tasks.text_task import TextTask
from gyebo.tasks.wording import text_task
from tests.tasks.task_files import DATA

WORLD = [name for name, task in TASKS.items() if task.world and find_kind(task.kind).text]
REAL = {
    "klue-sts": ("klue", "dev"),
    "klue-nli": ("klue", "dev"),
    "klue-ner": ("klue", "dev"),
    "klue-dp": ("klue", "dev"),
    "nsmc": ("nsmc", "test"),
    "korsts": ("korsts", "dev"),
    "kornli": ("kornli", "dev"),
    "question-pair": ("question_pair", "test"),
    "hate-speech": ("hate_speech", "dev"),
    "chatbot": ("chatbot", "dev"),
}


def texts(name, train=(), prefixes=True):
    task = find(name)
    return find_kind(task.kind).text.of(text_task(task, train, prefixes=prefixes))


def label_of(task, example):
    """What a perfect prediction is, as metrics take it."""
    return {
        "classification": example.label,
        "regression": example.label,
        "translation": example.label,
        "summary": example.label,
        "dialogue": Response(str(example.label)),
        "tagging": list(example.tags),
        "spans": example.answers[0][1].strip() if example.answers else "",
        "choice": example.label,
        "dependency": (example.heads, example.relations),
        "dialogue-state": example.state,
    }[task.kind]


def assert_given_back(name, examples):
    task, form = find(name), texts(name, examples)
    for example in examples:
        found = form.answer(form.target(example), example)
        if task.kind == "regression":
            assert abs(found - example.label) <= form.task.step / 2 + 1e-9, example
        else:
            assert found == label_of(task, example), example


@pytest.mark.parametrize("name", WORLD)
def test_the_label_of_every_task_of_the_world_is_given_back(name):
    assert_given_back(name, list(itertools.islice(find(name).world("dev"), 60)))


@pytest.mark.parametrize("name", REAL)
def test_the_label_of_real_examples_is_given_back(name):
    from gyebo.tasks.data import loading

    folder, split = REAL[name]
    if not (DATA / folder).is_dir():
        pytest.skip(f"no {folder} data here")
    assert_given_back(name, loading.load(find(name), split, str(DATA / folder)).examples[:800])


PAIR = Example("1", "A man eats.", "Someone eats.", "entailment")


@pytest.mark.parametrize(
    ("name", "example", "expected"),
    [
        ("glue-sst2", Example("1", "a fine film"), "sst2 sentence: a fine film"),
        ("glue-cola", Example("1", "The the."), "cola sentence: The the."),
        ("glue-mnli", PAIR, "mnli hypothesis: Someone eats. premise: A man eats."),
        ("glue-stsb", PAIR, "stsb sentence1: A man eats. sentence2: Someone eats."),
        ("glue-mrpc", PAIR, "mrpc sentence1: A man eats. sentence2: Someone eats."),
        ("glue-qqp", PAIR, "qqp question1: A man eats. question2: Someone eats."),
        ("glue-qnli", PAIR, "qnli question: A man eats. sentence: Someone eats."),
        ("glue-rte", PAIR, "rte sentence1: A man eats. sentence2: Someone eats."),
        ("multi30k-en-de", Example("1", "A man."), "translate English to German: A man."),
        ("world-ko-en", Example("1", "밥"), "translate Korean to English: 밥"),
        ("nsmc", Example("1", "좋다"), "nsmc document: 좋다"),
        ("klue-nli", PAIR, "klue-nli premise: A man eats. hypothesis: Someone eats."),
        ("klue-mrc", Example("1", "곳", "어디?"), "klue-mrc question: 어디? context: 곳"),
        ("klue-ner", Example("1", "곳"), "klue-ner text: 곳"),
        (
            "klue-re",
            Example("1", "조지의 비틀즈", answers=((4, "비틀즈"), (0, "조지"))),
            "klue-re subject: 비틀즈 object: 조지 sentence: 조지의 비틀즈",
        ),
        ("klue-dp", Example("1", "밥을 먹다", words=("밥을", "먹다")), "klue-dp words: 1 밥을 2 먹다"),
        ("klue-dst", Example("1", "user: 밥\nsys: 네"), "klue-dst dialogue: user: 밥\nsys: 네"),
    ],
)
def test_a_source_begins_as_published_or_with_the_tasks_name(name, example, expected):
    assert texts(name).source(example) == expected


@pytest.mark.parametrize(
    ("name", "example", "expected"),
    [
        ("nsmc", Example("1", "좋다"), "좋다"),
        ("world-ko-en", Example("1", "밥"), "밥"),
        ("world-sentiment", Example("1", "good"), "good"),
        ("klue-sts", PAIR, "sentence1: A man eats. sentence2: Someone eats."),
    ],
)
def test_a_family_of_one_task_reads_no_prefix_and_a_text_alone(name, example, expected):
    assert texts(name, prefixes=False).source(example) == expected


def test_users_own_files_are_read_by_the_names_of_their_columns():
    from gyebo.tasks.data.own_file import user_task

    def source(task, example):
        return find_kind(task.kind).text.of(text_task(task, prefixes=True)).source(example)

    assert source(user_task("classification", "review", None, "stars"), Example("1", "good")) == "classification review: good"
    assert source(user_task("pair", "one", "two", "same"), PAIR) == "pair one: A man eats. two: Someone eats."
    assert source(user_task("spans"), Example("1", "곳", "어디?")) == "question: 어디? context: 곳"
    assert source(user_task("translation", "en", None, "xx"), Example("1", "A man.")) == "translate English to xx: A man."
    options = Example("1", "2 + 2", options=("3", "4"))
    assert source(user_task("choice"), options) == "choice prompt: 2 + 2 choice1: 3 choice2: 4"


@pytest.mark.parametrize(
    ("score", "expected"),
    [(2.57, "2.6"), (0.3, "0.4"), (0.1, "0.0"), (-0.05, "0.0"), (5.0, "5.0"), (3.8, "3.8"), (1.75, "1.8")],
)
def test_similarities_are_rounded_to_the_nearest_fifth(score, expected):
    """Raffel et al. 2020, section 2.4: 2.57 is mapped to the string "2.6"."""
    train = [Example("a", label=0.0), Example("b", label=5.0)]
    form = texts("glue-stsb", train)
    assert form.task.step == 0.2 and form.target(Example("1", "a", "b", score)) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 3)), min_size=2, max_size=6))
def test_scores_of_any_range_have_at_least_25_steps_and_come_back(scores):
    train = [Example(str(n), "a", label=score) for n, score in enumerate(scores)]
    form = find_kind("regression").text
    step = form.step(train)
    if max(scores) - min(scores) > 0:
        assert (max(scores) - min(scores)) / 25 * 0.999 <= step <= (max(scores) - min(scores)) / 25 * 2.51
    task = TextTask(name="own", kind="regression", step=step)
    for example in train:
        text = form.target(example, task)
        assert abs(form.answer(text, example, task) - example.label) <= step * (0.5 + 1e-6), text
        assert len(text.lstrip("-").partition(".")[2]) == max(0, -math.floor(math.log10(step) + 1e-9))
    assert written(1.23456, None) == "1.23456"


NAMES = st.sampled_from(["나무", "무", "나", "a", "ab", "b a", "$$", "PS: a", "O", "none", " "])


@st.composite
def tagged(draw):
    """A text of words, some of which are entities."""
    text, tags = "", []
    for words in draw(st.lists(NAMES, min_size=1, max_size=8)):
        kind = draw(st.sampled_from(["O", "O", "PS", "per:LC"])) if words.strip() and "$" not in words else "O"
        tags += [kind] * len(words) if kind == "O" else [f"B-{kind}"] + [f"I-{kind}"] * (len(words) - 1)
        text += words
    return Example("1", text, tags=tuple(tags))


@settings(max_examples=300, deadline=None)
@given(tagged())
def test_entities_of_any_text_come_back_wherever_their_words_stand(example):
    task = TextTask(name="ner", kind="tagging", labels=("O", "B-PS", "I-PS", "B-per:LC", "I-per:LC"))
    assert entity_list.answer(entity_list.target(example, task), example, task) == list(example.tags)


def test_a_list_of_entities_by_hand():
    task = TextTask(name="ner", kind="tagging", labels=("O", "B-PS", "I-PS", "B-LC", "I-LC"))
    example = Example("1", "한강의 한강", tags=("O", "O", "O", "O", "B-PS", "I-PS"))
    assert entity_list.target(example, task) == "O: 한강 $$ PS: 한강"
    assert entity_list.target(Example("1", "한강", tags=("O", "O")), task) == "none"
    assert entity_list.target(Example("1", "한강"), task) is None
    assert entities(entity_list.answer("LC:한강$$PS:한강", example, task)) == [(0, 2, "LC"), (4, 6, "PS")]
    assert entities(entity_list.answer("한강 $$ LC: 한강", example, task)) == [(0, 2, "LC"), (2, 3, INVALID)]
    assert entities(entity_list.answer("LC: 한 강 의", example, task)) == [(0, 3, "LC")]  # spaces are not compared
    assert entities(entity_list.answer("PS: 한강 $$ LC: 한강", example, task)) == [(0, 2, "PS"), (4, 6, "LC")]


@pytest.mark.parametrize(
    ("name", "example", "wrong"),
    [
        ("world-sentiment", Example("1", "a", label="positive"), "positively"),
        ("world-similarity", Example("1", "a", "b", 5.0), "five"),
        ("world-similarity", Example("1", "a", "b", 0.0), "nan"),
        ("world-similarity", Example("1", "a", "b", 0.0), "inf"),
        ("world-entities", Example("1", "ab c", tags=("O",) * 4), "person: x"),
        ("world-entities", Example("1", "ab c", tags=("O",) * 4), "blah"),
        ("world-entities", Example("1", "ab c", tags=("O",) * 4), "person: ab $$ person: ab"),
        ("world-questions", Example("1", "a", "b", answers=((0, "b"),)), "unanswerable"),
        ("klue-dp", Example("1", "a b", words=("a", "b"), heads=(2, 0), relations=("NP", "VP")), "1:XX 9:VP"),
        ("klue-dp", Example("1", "a b", words=("a", "b"), heads=(2, 0), relations=("NP", "VP")), "?"),
        ("klue-re", Example("1", "a b", label="per:title", answers=((0, "a"), (2, "b"))), "title"),
        ("klue-dst", Example("1", "a", label="a-b-c", state=("a-b-c",)), "a b c"),
        ("klue-dst", Example("1", "a", label="a-b-c", state=("a-b-c",)), "a-b-c $$ a-d"),
        ("klue-dst", Example("1", "a", label="none"), ""),
        ("klue-dst", Example("1", "a", label="none"), "none $$ none"),
    ],
)
def test_what_is_no_answer_is_wrong_by_every_metric(name, example, wrong):
    """Beside an example that is right, and for which the metrics are as good as they can be."""
    task, form = find(name), texts(name)
    rest = {
        "regression": [Example("2", "a", "b", 1.0), Example("3", "a", "b", 4.0)],
        "tagging": [Example("2", "ab", tags=("B-person", "I-person"))],
        "classification": [Example("2", "a b", label="per:origin", answers=((0, "a"), (2, "b")))] if name == "klue-re" else [],
    }.get(task.kind, [])
    right, *others = (label_of(task, known) for known in (example, *rest))
    best = measure(task, [right, *others], [example, *rest])
    found = measure(task, [form.answer(wrong, example), *others], [example, *rest])
    assert found.keys() == best.keys()
    for metric in set(found) - UNAFFECTED.get(task.kind, set()):
        assert found[metric] < best[metric], metric
    score = METRICS[task.score]
    if score.parts and score.parts.rows and score.parts.of_sums:
        rows = score.parts.rows([form.answer(wrong, example), *others], [example, *rest], task.labels)
        assert score.parts.of_sums(rows.sum(0, keepdims=True))[0] == pytest.approx(found[task.score])


# No mean over types is lowered by an entity of no type; and in a sentence without entities there is nothing else.
UNAFFECTED = {"tagging": {"entity_macro_f1"}}


def test_a_mean_over_classes_has_no_part_for_what_is_no_class():
    examples = [Example(str(n), "a", label=label) for n, label in enumerate(["negative", "positive", "negative", "positive"])]
    task = find("nsmc")
    several = measure(task, ["negative", "positive", "bad", "worse"], examples)
    assert several == measure(task, ["negative", "positive", "x", "x"], examples)
    assert several["macro_f1"] == pytest.approx(2 / 3)  # precision 1, recall 1/2 for both


def test_options_are_named_by_their_numbers():
    form, task = find_kind("choice").text, TextTask(name="own", kind="choice")
    for label in range(3):
        example = Example("1", "which", options=("x", "y", "z"), label=label)
        assert form.target(example, task) == f"choice{label + 1}"
        assert form.answer(form.target(example, task), example, task) == label
    for wrong in ("choice4", "choice0", "y", ""):
        assert form.answer(wrong, example, task) is None
    assert find_kind("choice").row(example, None, "") == {"prediction": None, "option": None}
    assert METRICS["accuracy"].function([None], [example], None) == {"accuracy": 0.0}


def test_every_kind_that_text_answers_has_a_source_for_each_task():
    for task in TASKS.values():
        if (form := find_kind(task.kind).text) is not None:
            words = text_task(task, prefixes=True)
            assert words.prefix or all(called for _, called in words.columns), task.name
            if task.world:
                example = next(iter(task.world("dev")))
                assert ("pair" in dict(words.columns)) == (example.pair is not None), task.name
    assert all(kind.text for kind in KINDS.values() if not (kind.head and kind.head.sees))
    assert form and INVALID not in {label for task in TASKS.values() for label in task.labels or ()}
