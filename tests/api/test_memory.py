"""Text and rows in memory, wherever a file may stand."""

import json
import sys
from collections import UserDict
from pathlib import Path

import numpy as np
import pytest

import gyebo
from gyebo.api import memory
from gyebo.api.memory import Names, corpus_names, row_file, texts_in
from tests.api.test_verbs import TINY
from tests.conftest import sentences

TEXTS = ["나무", "둘째 줄\n과 셋째", "the film"]


def read(name):
    return [json.loads(line) for line in Path(name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas")


@pytest.fixture
def datasets():
    return pytest.importorskip("datasets")


def frames(name):
    """The same three texts, as one has them in memory."""
    if name == "list":
        return list(TEXTS)
    if name == "generator":
        return (text for text in TEXTS)
    if name == "array":
        return np.array(TEXTS)
    if name == "dicts":
        return [{"text": text, "n": 1} for text in TEXTS]
    library, _, kind = name.partition(".")
    module = pytest.importorskip(library)
    if library == "datasets":
        found = module.Dataset.from_dict({"n": [1, 2, 3], "text": TEXTS})
        return found["text"] if kind == "column" else found.to_iterable_dataset() if kind == "stream" else found
    found = module.DataFrame({"n": [1, 2, 3], "text": TEXTS})
    return found["text"] if kind == "Series" else found


KINDS = ["list", "generator", "array", "dicts", "pandas.Series", "pandas.DataFrame", "polars.Series", "polars.DataFrame"]
KINDS += ["datasets.Dataset", "datasets.column", "datasets.stream"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_are_the_same_corpus_however_they_lie_in_memory(kind):
    [name] = corpus_names(frames(kind), "corpus")
    assert read(name) == [{"text": text} for text in TEXTS]
    assert name == corpus_names(list(TEXTS), "corpus")[0]  # called by its content
    assert not [path for path in Path(name).parent.iterdir() if path.suffix == ".part"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "datasets"])
def test_rows_keep_their_columns_and_missing_is_missing(kind):
    module = pytest.importorskip(kind)
    columns = {"text": ["가", "나"], "n": [1, 2], "x": [0.5, float("nan")], "tags": [["a"], ["b", "c"]]}
    table = module.Dataset.from_dict(columns) if kind == "datasets" else module.DataFrame(columns)
    assert read(row_file(table, "data")) == [
        {"text": "가", "n": 1, "x": 0.5, "tags": ["a"]},
        {"text": "나", "n": 2, "x": None, "tags": ["b", "c"]},
    ]


def test_missing_texts_and_dates_of_pandas(pandas):
    column = pandas.Series(["가", None, float("nan"), pandas.NA])
    assert list(texts_in(column, "texts")) == ["가", "", "", ""]
    table = pandas.DataFrame({"text": ["가"], "day": [pandas.Timestamp("2024-01-02")], "n": [np.int64(3)]})
    assert read(row_file(table, "data")) == [{"text": "가", "day": "2024-01-02T00:00:00", "n": 3}]


def test_class_names_of_a_data_set_are_its_labels(datasets):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["나쁨", "좋음"])})
    found = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert [row["label"] for row in read(row_file(found, "data"))] == ["좋음", "나쁨"]


def test_names_are_names():
    assert corpus_names("a.txt", "corpus") == ["a.txt"] and corpus_names(Path("b/c"), "corpus") == ["b/c"]
    assert corpus_names([Path("a"), Path("b")], "corpus") == ["a", "b"] and corpus_names(Names(["x", "y"]), "corpus") == [
        "x",
        "y",
    ]
    assert row_file("a.csv", "data") == "a.csv" and row_file(None, "data") is None


def test_files_are_not_taken_for_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ValueError, match=r"corpus: a list of strings is texts, but .* give Paths, \[Path\('a.txt'\)"):
        corpus_names(["a.txt", "*.txt"], "corpus")
    assert read(corpus_names(["a.txt", "나무"], "corpus")[0]) == [{"text": "a.txt"}, {"text": "나무"}]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "corpus holds no texts, but a int"),
        ({"text": ["a"]}, "corpus holds no texts, but a dict"),
        (b"abc", "corpus holds no texts, but a bytes"),
        ([], "corpus is empty"),
        (iter(()), "corpus is empty"),
        (["a", 3], r"corpus: number 1 \(from 0\) is a int"),
        (["a", ["b"]], r"corpus: number 1 \(from 0\) is a list"),
        (["a", "b\ud800"], r"corpus: number 1 \(from 0\) has a lone surrogate"),
        (UserDict(text="a"), "corpus holds no texts, but a UserDict"),
    ],
)
def test_what_holds_no_texts_is_one_line_that_names_the_parameter(value, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        corpus_names(value, "corpus")


def test_a_table_without_the_column_names_those_there_are(pandas):
    table = pandas.DataFrame({"review": ["a"], "n": [1]})
    with pytest.raises(ValueError, match=r"^corpus: the table has no column 'text'; name .*text_field.*review, n"):
        corpus_names(table, "corpus")
    assert read(corpus_names(table, "corpus", "review")[0]) == [{"review": "a"}]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3, "data must be rows .* but is a int"),
        (["a", "b"], r"data: row 0 \(from 0\) is a str, not a dict"),
        ([{"text": "a"}, {"text": object()}], r"data: row 1 \(from 0\), column 'text' holds a object"),
        ([{1: "a"}], r"data: row 0 \(from 0\): the name of the column 1 is no string"),
        ([], "data is empty"),
    ],
)
def test_what_holds_no_rows_is_one_line_that_names_the_parameter(value, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        row_file(value, "data")


def test_several_splits_are_no_table(datasets):
    found = datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a"]})})
    for function in (corpus_names, row_file):
        with pytest.raises(ValueError, match="^[^\n]*DatasetDict[^\n]*$"):
            function(found, "data")


def test_other_libraries_are_not_imported():
    before = set(sys.modules)
    assert memory.kind_of([1]) is None
    assert not {"pandas", "polars", "datasets"} & (set(sys.modules) - before)


def test_a_model_is_trained_on_texts_in_memory(tokenizer_folder, tmp_path):
    texts = sentences(600)
    first = gyebo.pretrain("gpt2", texts, steps=2, tokenizer=tokenizer_folder, out=tmp_path / "a", **TINY)
    (tmp_path / "same.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    second = gyebo.pretrain("gpt2", tmp_path / "same.txt", steps=2, tokenizer=tokenizer_folder, out=tmp_path / "b", **TINY)
    assert first.valid == second.valid and first.tokens == second.tokens
    held = gyebo.pretrain(
        "gpt2", texts, valid=texts[:20], steps=1, tokenizer=tokenizer_folder, out=tmp_path / "c", **TINY | {"valid_share": None}
    )
    assert held.valid["documents"] == 20


def test_a_task_is_learned_from_rows_in_memory(tmp_path, pandas):
    rows = [{"review": text, "mood": "good" if "영화" in text else "bad"} for text in dict.fromkeys(sentences(200))]
    found = gyebo.finetune("linear", "classification", data=rows, text="review", label="mood", out=tmp_path / "a")
    same = gyebo.finetune(
        "linear", "classification", data=pandas.DataFrame(rows), text="review", label="mood", out=tmp_path / "b"
    )
    assert found.test == same.test and found.task == "classification"
    assert "accuracy" in repr(found) and f"{tmp_path / 'a'}" in repr(found) and "<table>" in found._repr_html_()
