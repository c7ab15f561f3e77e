"""`gyebo embed` as a function: a row for every line of every kind of source, written as it goes, whole or not at all."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gyebo.interchange import load, save
from gyebo.jobs import embed as job
from gyebo.models.family import FAMILIES, model_class
from gyebo.nn.int8 import has_int8
from gyebo.tasks.embedding import embed as vectors_of
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.refusals import option_error

TEXTS = ["나무 정말 바다 보았다.", "a", "", "  ", '하늘 아주, "사람" 찾았다. film', "친구", "a"]


def make(family: str, tokenizer_folder: Path, folder: Path) -> Path:
    """A tiny model of a family with its tokenizer."""
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES[family]))
    torch.manual_seed(0)
    cls = model_class(family)
    shape = {"vocab_size": 400, "context": 24, "width": 12, "layers": 1, "heads": 2, "init_std": 0.3}
    known = {field.name for field in dataclasses.fields(cls.config_class)}
    shape = {name: value for name, value in shape.items() if name in known}
    save(cls(cls.config_class(**shape, pad_id=tokenizer.role_ids["pad"])), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def model(tokenizer_folder, tmp_path_factory) -> Path:
    return make("gpt2", tokenizer_folder, tmp_path_factory.mktemp("embed") / "model")


@pytest.fixture
def expected(model):
    return vectors_of(*load(model), TEXTS)[0]


def write_source(folder: Path, kind: str) -> tuple[str, dict[str, str]]:
    path = folder / f"source.{kind}"
    if kind == "txt":
        path.write_text("\ufeff" + "\n".join(TEXTS) + "\n", encoding="utf-8")
    elif kind == "txt.gz":
        path.write_bytes(gzip.compress("\n".join(TEXTS).encode()))  # no line break at the end
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"n": 1, "body": text}) + "\n\n" for text in TEXTS))
        return str(path), {"text_field": "body"}
    elif kind == "csv":
        import csv

        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["n", "text"], *([str(n), text] for n, text in enumerate(TEXTS))])
    elif kind == "parquet":
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"text": [text or None for text in TEXTS]}), path)
    return str(path), {}


@pytest.mark.parametrize("kind", ["txt", "txt.gz", "jsonl", "csv", "parquet"])
@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_a_row_for_every_line(kind, suffix, model, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(job, "WINDOW", 3)
    source, data = write_source(tmp_path, kind)
    told = []
    out = tmp_path / f"x{suffix}"
    result = job.embed(str(model), source, out, data=data, report=told.append)
    assert result == {"texts": 7, "width": 12, "cut": 0, "out": str(out)}
    assert told == [3, 6, 7]
    if suffix == ".npy":
        found = np.load(out)
        assert found.dtype == np.dtype("<f4") and found.flags.c_contiguous
        assert np.array_equal(np.load(out, mmap_mode="r"), found)
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        file = parquet.ParquetFile(out)
        assert file.num_row_groups == 3 and file.schema_arrow.names == ["text", "embedding"]
        table = file.read()
        assert table["text"].to_pylist() == TEXTS
        found = np.stack(table["embedding"].to_numpy())
    assert found.shape == (7, 12) and np.abs(found - expected).max() < 1e-5
    assert not found[2].any() and found[0].any()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([Path(source).name, out.name])


def test_the_count_may_have_any_number_of_digits(tmp_path):
    for count in (0, 9, 10, 12345):
        with job._npy(tmp_path / "x.npy", 3) as write:
            for start in range(0, count, 1000):
                rows = np.arange(start, min(start + 1000, count), dtype=np.float32)
                write([], np.repeat(rows[:, None], 3, 1))
        assert np.array_equal(np.load(tmp_path / "x.npy"), np.repeat(np.arange(count, dtype=np.float32)[:, None], 3, 1))


def test_options_reach_the_vectors(model, tmp_path):
    source, _ = write_source(tmp_path, "txt")
    opened = load(model)
    for name, options in {"a": {"pooling": "last"}, "b": {"normalize": True}}.items():
        job.embed(str(model), source, tmp_path / f"{name}.npy", **options)
        assert np.abs(np.load(tmp_path / f"{name}.npy") - vectors_of(*opened, TEXTS, **options)[0]).max() < 1e-5
    job.embed(str(model), source, tmp_path / "c.npy", precision="bfloat16")
    half, full = np.load(tmp_path / "c.npy"), vectors_of(*opened, TEXTS)[0]
    assert half.dtype == np.float32 and 0 < np.abs(half - full).max() < 0.1 * np.abs(full).max()


@pytest.mark.skipif(not has_int8(), reason="this processor has no int8 instructions (VNNI)")
def test_int8_is_near_and_refused_where_it_is_nothing(model, tokenizer_folder, tmp_path):
    source, _ = write_source(tmp_path, "txt")
    for precision in ("float32", "bfloat16", "int8"):
        job.embed(str(model), source, tmp_path / f"{precision}.npy", precision=precision)
    full, half, eighth = (np.load(tmp_path / f"{name}.npy") for name in ("float32", "bfloat16", "int8"))
    assert np.abs(eighth - half).max() > 0
    assert 0 < np.abs(eighth - full).max() < 0.2 * np.abs(full).max()
    lstm = make("lstm", tokenizer_folder, tmp_path / "lstm")
    with option_error("precision"):
        job.embed(str(lstm), source, tmp_path / "x.npy", precision="int8")


@pytest.mark.parametrize(("family", "pooling"), [("bert", "cls"), ("roberta", "mean"), ("distilbert", "cls"), ("gpt2", "last")])
def test_transformers_gives_the_same_vectors(family, pooling, tokenizer_folder, tmp_path):
    import transformers

    folder = make(family, tokenizer_folder, tmp_path / family)
    source, _ = write_source(tmp_path, "txt")
    job.embed(str(folder), source, tmp_path / "x.npy", pooling=pooling)
    theirs, tokenizer = transformers.AutoModel.from_pretrained(folder), transformers.AutoTokenizer.from_pretrained(folder)
    for row, text in zip(np.load(tmp_path / "x.npy"), TEXTS):
        inputs = tokenizer(text, return_tensors="pt")
        if inputs["input_ids"].shape[1]:
            with torch.no_grad():
                hidden = theirs(**inputs).last_hidden_state[0].numpy()
            expected = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[pooling]
            assert np.abs(row - expected).max() < 1e-4, text


def test_long_texts_are_counted(model, tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("나무 정말 " * 40 + "\na\n", encoding="utf-8")
    assert job.embed(str(model), str(path), tmp_path / "x.npy")["cut"] == 1


def test_an_interrupted_job_leaves_what_was_there(model, tmp_path, monkeypatch):
    source, _ = write_source(tmp_path, "txt")
    out = tmp_path / "x.npy"
    out.write_bytes(b"before")
    monkeypatch.setattr(job, "WINDOW", 3)

    def stop(count):
        if count > 3:
            raise KeyboardInterrupt

    for suffix in (".npy", ".parquet"):
        out = tmp_path / f"x{suffix}"
        out.write_bytes(b"before")
        with pytest.raises(KeyboardInterrupt):
            job.embed(str(model), source, out, overwrite=True, report=stop)
        assert out.read_bytes() == b"before"
    assert not list(tmp_path.glob(".*.part"))
    assert job.embed(str(model), source, out, overwrite=True)["texts"] == 7


def test_what_is_refused(model, tmp_path):
    source, _ = write_source(tmp_path, "txt")
    name = str(model)

    def refused(*arguments, words, kind=ValueError, **options):
        with pytest.raises(kind) as caught:
            job.embed(*arguments, **options)
        assert words in str(caught.value) and "\n" not in str(caught.value), caught.value

    refused(name, source, tmp_path / "x.csv", words="must end with .npy or .parquet")
    (tmp_path / "there.npy").write_bytes(b"")
    refused(name, source, tmp_path / "there.npy", words="overwrite")
    (tmp_path / "folder.npy").mkdir()
    refused(name, source, tmp_path / "folder.npy", words="is a directory")
    refused(name, source, tmp_path / "no" / "x.npy", words="no such directory", kind=FileNotFoundError)
    out = tmp_path / "x.npy"
    refused(name, source, out, pooling="max", words="pooling must be one of mean, cls, last")
    refused(name, source, out, pooling="cls", words="reads from left to right")
    refused(name, source, out, precision="float16", words="precision must be one of")
    refused(name, source, out, data={"text_field": "body"}, words="data.text_field=body has no effect")
    refused(name, source, out, data={"bad_bytes": "drop"}, words="data.bad_bytes must be 'refuse' or 'replace'")
    refused(name, str(tmp_path / "no.txt"), out, words="no such file", kind=FileNotFoundError)
    (tmp_path / "empty.txt").write_text("")
    refused(name, str(tmp_path / "empty.txt"), out, words="contains no text")
    (tmp_path / "latin.txt").write_bytes(b"good\ncaf\xe9\n")
    refused(name, str(tmp_path / "latin.txt"), out, words="byte 8 (0xe9) is not UTF-8")
    assert not out.exists() and not list(tmp_path.glob(".*.part"))


def test_a_model_without_a_tokenizer(model, tmp_path):
    opened, _ = load(model)
    save(opened, None, tmp_path / "bare")
    source, _ = write_source(tmp_path, "txt")
    with pytest.raises(ValueError, match="has no tokenizer"):
        job.embed(str(tmp_path / "bare"), source, tmp_path / "x.npy")
