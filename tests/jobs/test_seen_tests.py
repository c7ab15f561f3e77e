"""Which test examples of a task a corpus holds."""

import csv
import json

import pytest

from gyebo.config.finetune import TaskOptions
from gyebo.config.run import DataOptions
from gyebo.data import prepare
from gyebo.jobs import seen_tests
from gyebo.jobs.results import SeenTests
from gyebo.jobs.seen_tests import find_test_texts, keep_test_texts
from gyebo.tasks.splits import read_task
from tests.conftest import sentences


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))


def write(path, rows, *names):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])
    return str(path)


@pytest.fixture
def tests(tmp_path):
    """(task options, 12 long test texts): a classification with a test file, in which two more texts are short."""
    texts = [f"{line[:-1]} at the end of story {number}." for number, line in enumerate(sentences(112, seed=5))]
    train = write(tmp_path / "train.csv", [(text, "ab"[n % 2]) for n, text in enumerate(texts[12:])], "text", "label")
    rows = [(text, "ab"[n % 2]) for n, text in enumerate([*texts[:12], "재밌다!", "ㅋㅋ"])]
    test = write(tmp_path / "test.csv", rows, "text", "label")
    return TaskOptions(name="classification", data=train, test=test, text="text", label="label"), texts[:12]


def corpus(tmp_path, documents, **options):
    (tmp_path / "corpus.txt").write_text("\n".join(documents) + "\n", encoding="utf-8")
    return DataOptions(corpus=[str(tmp_path / "corpus.txt")], valid_last=0.1, **options)


def test_examples_are_counted_by_the_closest_way(tmp_path, tests):
    task, texts = tests
    other = [f"{line} {number}" for number, line in enumerate(sentences(80, seed=9))]
    held = [texts[0], texts[1].upper(), f"Well. {texts[2]} Bye.", f"So. {texts[3]} Yes.", texts[3], "재밌다!", texts[0]]
    data = corpus(tmp_path, [*other[:40], *held, *other[40:], texts[4]])  # the last one is held out, not learned
    assert find_test_texts({"a": task}, data) == {"a": SeenTests(exact=2, near=1, contained=1, short=2)}
    cut = data.model_copy(update={"without": [write(tmp_path / "w.csv", [(texts[0],)], "text")]})
    assert find_test_texts({"a": task}, cut)["a"].exact == 1


def test_several_processes_and_chunks_find_the_same(tmp_path, tests, monkeypatch):
    task, texts = tests
    held = [texts[0], *sentences(300, seed=2), texts[0].upper(), texts[1].lower(), *sentences(300, seed=4), texts[1], texts[2]]
    data = corpus(tmp_path, [*held, *sentences(200, seed=6)])
    whole = find_test_texts({"a": task}, data)
    assert whole["a"] == SeenTests(exact=3, short=2)
    monkeypatch.setattr(prepare.documents, "CHUNK_BYTES", 2000)
    assert find_test_texts({"a": task}, data) == whole
    monkeypatch.setattr(seen_tests, "count_processes", lambda corpus: 2)
    assert find_test_texts({"a": task}, data) == whole


def test_every_text_of_a_pair_counts_and_an_example_once(tmp_path):
    lines = [f"{line[:-1]} in the year {number}." for number, line in enumerate(sentences(160, seed=5))]
    rows = [(first, second, "ab"[n % 2]) for n, (first, second) in enumerate(zip(lines[:80], lines[80:]))]
    task = TaskOptions(
        name="pair",
        data=write(tmp_path / "train.csv", rows[:60], "one", "two", "label"),
        test=write(tmp_path / "test.csv", rows[60:], "one", "two", "label"),
        text="one",
        pair="two",
        label="label",
    )
    test = read_task(task).test
    assert len(test) == 20
    data = corpus(
        tmp_path, [*sentences(50, seed=1), test[0].text, test[1].pair, test[2].pair, test[2].text, *sentences(40, seed=3)]
    )
    assert find_test_texts({"p": task}, data)["p"] == SeenTests(exact=3)


def test_what_is_kept_leaves_the_documents_out(tmp_path, tests):
    """The file's texts stand under the corpus' own key; a corpus without them holds none of the examples."""
    task, texts = tests
    rows = [
        (line,)
        for line in [*sentences(60, seed=8), texts[0], texts[1].upper(), f"So! {texts[2]}\nBye.", *sentences(30, seed=7)]
    ]
    named = {"corpus": [write(tmp_path / "c.csv", rows, "document")], "text_field": "document", "valid_last": 0.1}
    path = tmp_path / "kept.jsonl"
    assert find_test_texts({"a": task}, DataOptions(**named))["a"] == SeenTests(exact=1, near=1, contained=1, short=2)
    keep_test_texts({"a": task}, "document", path)
    kept = [json.loads(line)["document"] for line in path.read_text(encoding="utf-8").splitlines()]
    assert kept == [example.text for example in read_task(task).test]
    cut = prepare.open_corpus(DataOptions(**named, without=[str(path)]))
    assert (
        len(list(prepare.training_texts(cut)))
        == len(list(prepare.training_texts(prepare.open_corpus(DataOptions(**named))))) - 3
    )
    assert find_test_texts({"a": task}, cut.options)["a"].total == 0
