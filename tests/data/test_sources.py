"""CORPUS: every form of it, and what is said when it is wrong."""

import csv
import gzip
import io
import json
import sys
from types import SimpleNamespace

import pytest

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data import documents, prepare, sources

TEXTS = ["첫 문서", "second document", '셋째\t문서, 쉼표와 "따옴표"']


def read(corpora, **options):
    data = DataOptions(corpus=[str(c) for c in corpora], **options)
    corpus = prepare.open_corpus(data)
    return [text for chunk in documents.chunks(corpus.sources, data) for text in documents.texts_of(chunk, data)]


def write(path, form):
    if form == "txt":
        raw = "\n".join(TEXTS).encode()
    elif form == "jsonl":
        raw = "\n".join(json.dumps({"text": t, "x": 1}, ensure_ascii=False) for t in TEXTS).encode()
    elif form == "csv":
        file = io.StringIO()
        csv.writer(file).writerows([["id", "text"], *([i, t] for i, t in enumerate(TEXTS))])
        raw = file.getvalue().encode()
    if path.suffix == ".gz":
        raw = gzip.compress(raw)
    if path.suffix == ".zst":
        raw = pytest.importorskip("zstandard").ZstdCompressor().compress(raw)
    path.write_bytes(raw)


@pytest.mark.parametrize("form", ["txt", "jsonl", "csv"])
@pytest.mark.parametrize("packed", ["", ".gz", ".zst"])
def test_every_format_gives_the_same_documents(tmp_path, form, packed):
    path = tmp_path / f"a.{form}{packed}"
    write(path, form)
    assert read([path]) == TEXTS


def test_parquet_and_tsv(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    parquet.write_table(pa.table({"body": TEXTS}), tmp_path / "a.parquet")
    assert read([tmp_path / "a.parquet"], text_field="body") == TEXTS
    (tmp_path / "b.tsv").write_text('id\tdocument\n1\t좋다 "정말\n2\t별로\n', encoding="utf-8")
    assert read([tmp_path / "b.tsv"], text_field="document") == ['좋다 "정말', "별로"]


def test_folder_glob_and_order(tmp_path):
    for name in ("b.txt", "a.txt", "skip.py"):
        (tmp_path / name).write_text(name)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.txt").write_text("c.txt")
    assert read([tmp_path]) == ["a.txt", "b.txt", "c.txt"]
    assert read([tmp_path / "*.txt"]) == ["a.txt", "b.txt"]


def test_what_a_document_is(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n\n\n\nthree\x0bfour\u2028five\r\n", encoding="utf-8", newline="")
    assert read([path]) == ["one", "two", "three\x0bfour\u2028five"]
    assert read([path], documents="blank") == ["one\ntwo", "three\x0bfour\u2028five"]
    assert read([path], documents="file") == ["one\ntwo\n\n\n\nthree\x0bfour\u2028five\r\n"]


def test_chunk_borders_lose_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    lines = [f"줄 {i} " + "x" * (i % 37) for i in range(500)]
    path.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(documents, "CHUNK_BYTES", 100)
    assert read([path]) == lines
    blocks = tmp_path / "b.txt"
    blocks.write_text("\n\n".join(f"{a}\n{a}" for a in lines), encoding="utf-8")
    assert read([blocks], documents="blank") == [f"{a}\n{a}" for a in lines]


def test_world_and_stdin(monkeypatch):
    both = read(["world:30"])
    assert len(both) == 30 and len(set(both)) > 25
    assert all("가" <= max(t) <= "힣" for t in read(["world:ko,5"]))
    monkeypatch.setattr(sys, "stdin", type("In", (), {"buffer": io.BytesIO("하나\n둘\n".encode())}))
    assert read(["-"]) == ["하나", "둘"]


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("missing.txt", "missing.txt: no such file"),
        ("none-*.txt", "none-"),
        ("world:french", "'french' is neither a language"),
        ("a.docx", "a.docx: not one of .txt"),
        ("empty-folder", "holds no .txt"),
    ],
)
def test_bad_names(tmp_path, monkeypatch, corpus, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.docx").write_text("x")
    (tmp_path / "empty-folder").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read([corpus])


def test_a_bad_byte_names_file_and_offset(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("좋다\n".encode() + b"ab\xff\n")
    with pytest.raises(ValueError, match=r"a\.txt: byte 9 \(0xff\) is not UTF-8"):
        read([path])
    assert read([path], bad_bytes="replace") == ["좋다", "ab\ufffd"]


def test_the_offset_counts_over_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "CHUNK_BYTES", 16)
    path = tmp_path / "a.txt"
    path.write_bytes(b"0123456\n" * 10 + b"abc\x80\n")
    with pytest.raises(ValueError, match="byte 83 "):
        read([path])


def test_bad_fields(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n{"body": "y"}\n')
    with pytest.raises(ValueError, match="line at byte 14: no column 'text'; available: body"):
        read([tmp_path / "a.jsonl"])
    (tmp_path / "b.jsonl").write_text("{oops\n")
    with pytest.raises(ValueError, match="is not JSON"):
        read([tmp_path / "b.jsonl"])
    (tmp_path / "c.csv").write_text("id,body\n1,x\n")
    with pytest.raises(ValueError, match="no column 'text'; available: id, body"):
        read([tmp_path / "c.csv"])
    (tmp_path / "d.csv").write_text("id,text\n1,x,y\n")
    with pytest.raises(ValueError, match="row 2: 3 fields, but there are 2 columns"):
        read([tmp_path / "d.csv"])


def test_lines_may_end_as_on_windows(tmp_path):
    (tmp_path / "a.txt").write_bytes("하나\r\n\r\n둘\r\n셋\r\n".encode())
    assert read([tmp_path / "a.txt"]) == ["하나", "둘", "셋"]
    assert read([tmp_path / "a.txt"], documents="blank") == ["하나", "둘\n셋"]


def test_a_byte_order_mark_is_dropped_everywhere(tmp_path):
    mark = "\ufeff".encode()
    (tmp_path / "a.jsonl").write_bytes(mark + '{"text": "하나"}\n{"text": null}\n{"text": "둘"}\n'.encode())
    (tmp_path / "a.csv").write_bytes(mark + '"text","label"\n"하나","1"\n"둘","2"\n'.encode())
    (tmp_path / "a.txt").write_bytes(mark + "하나\n둘\n".encode())
    for name in ("a.jsonl", "a.csv", "a.txt"):
        assert read([tmp_path / name]) == ["하나", "둘"]


def test_tables_that_can_not_be_read_name_file_and_row(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'text\none\n"two\nthree\n')
    with pytest.raises(ValueError, match=r"a\.csv: row 3 is not CSV \(it begins at line 3\): a quote that is opened"):
        read([tmp_path / "a.csv"])
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pytest.importorskip("pyarrow").table({"text": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet: the column 'text' holds int64, not text"):
        read([tmp_path / "a.parquet"])


def test_damaged_gzip(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"hello\n" * 1000)[:-20])
    with pytest.raises(ValueError, match=r"a\.txt\.gz: damaged"):
        read([path])


def test_fingerprint_is_of_content_and_options(tmp_path):
    path, copy = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_text("one\ntwo\n")
    copy.write_text("one\ntwo\n")

    def mark(p, **options):
        return prepare.open_corpus(DataOptions(corpus=[str(p)], **options)).fingerprint

    assert mark(path) == mark(copy)
    assert len({mark(path), mark(path, documents="file"), mark(path, valid_share=0.5), mark(path, valid_last=0.5)}) == 4
    before = mark(path)
    path.write_text("one\ntwo!\n")
    assert mark(path) != before


def test_a_corpus_of_the_hub_is_read_once(tmp_path, monkeypatch):
    asked = []

    def load_dataset(name, config, *, split, streaming):
        asked.append((name, config, split, streaming))
        return iter([{"body": "하나", "id": 1}, {"body": "둘", "id": 2}])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    corpus = "hf:someone/news/ko:test"
    options = DataOptions(corpus=[corpus], text_field="body")
    for _ in range(2):
        [source] = sources.resolve([corpus], tmp_path, options)
    assert asked == [("someone/news", "ko", "test", True)]
    assert [json.loads(line) for line in source.path.read_text(encoding="utf-8").splitlines()] == [
        {"body": "하나"},
        {"body": "둘"},
    ]
    with pytest.raises(OptionError, match="available: body, id") as caught:
        sources.resolve([corpus], tmp_path, DataOptions(corpus=[corpus], text_field="text"))
    assert "‹data.text_field›" in caught.value.text
    sources.resolve(["hf:someone/news"], tmp_path, options)
    assert asked[-1] == ("someone/news", None, "train", True)
