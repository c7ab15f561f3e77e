"""Corpora as they lie on people's disks: folders of Macs and notebooks, blank lines of editors, repeated texts."""

import gzip
import io
import lzma

import pytest
from rich.console import Console

from gyebo.config.run import DataOptions, RunOptions
from gyebo.data import documents
from gyebo.data.prepare import open_corpus, prepare
from gyebo.jobs.pretraining.corpus import open_data
from gyebo.text.tokenizer import Tokenizer
from tests.conftest import sentences


def read(path, **options):
    data = DataOptions(corpus=[str(path)], **options)
    corpus = open_corpus(data)
    return [text for chunk in documents.chunks(corpus.sources, data) for text in documents.texts_of(chunk, data)], corpus.notes


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path.parent / f"{tmp_path.name}-cache"))


def test_what_macs_and_notebooks_leave_in_a_folder_is_left_out_and_counted(tmp_path):
    folder = tmp_path / ".hidden" / "corpus"  # a folder that is named is read, whatever it is called
    for name in (
        "a.txt", "deep/b.txt.xz", "__MACOSX/._a.txt", "__MACOSX/deep/a.txt", "deep/._b.txt",
        ".ipynb_checkpoints/a-checkpoint.txt", "deep/.ipynb_checkpoints/b-checkpoint.txt", ".DS_Store", "deep/.git/c.txt",
        "notes.ipynb",
    ):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(name.encode()) if name.endswith("xz") else name.encode())
    texts, notes = read(folder)
    assert texts == ["a.txt", "deep/b.txt.xz"]
    assert notes == [
        f"{folder}: 6 files left out (names that begin with a dot, or __MACOSX), such as .ipynb_checkpoints/a-checkpoint.txt",
        f"{folder}: 1 file left out (of kinds that are not read from a folder: .ipynb), such as notes.ipynb",
    ]


def test_files_of_other_kinds_in_a_folder_are_not_passed_over_in_silence(tmp_path):
    for name in ("a.txt", "묶음.zip", "deep/B.ZIP", "c.json", "d.tar", "LICENSE", "e.hwp", "f.pdf", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("하나")
    texts, notes = read(tmp_path)
    assert texts == ["하나"]
    assert notes == [
        f"{tmp_path}: 7 files left out (of kinds that are not read from a folder: .hwp, .json, .pdf, .tar, .zip, ...), "
        "such as LICENSE"
    ]


def test_markdown_and_logs_are_plain_text_and_a_readme_beside_data_is_about_it(tmp_path):
    for name in ("README.md", "b.md", "c.log", "d.md.gz"):
        raw = f"{name} 하나\n{name} 둘\n".encode()
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    texts, notes = read(tmp_path)
    assert texts == [f"{name} {n}" for name in ("b.md", "c.log", "d.md.gz") for n in ("하나", "둘")]
    assert notes == [f"{tmp_path}: 1 file left out (a README.md beside other files), such as README.md"]
    assert read(tmp_path / "README.md") == (["README.md 하나", "README.md 둘"], [])
    (tmp_path / "c.log").unlink()
    assert len(read(tmp_path)[0]) == 6 and read(tmp_path)[1] == []  # a folder of notes alone


@pytest.mark.parametrize("blank", ["", " ", "\t", " \t ", "\u3000", "\xa0", "\r", "\ufeff"], ids=repr)
@pytest.mark.parametrize("size", [4 << 20, 64])
def test_a_blank_line_is_one_whatever_editors_put_into_it(tmp_path, monkeypatch, blank, size):
    monkeypatch.setattr(documents, "CHUNK_BYTES", size)
    blocks = [f"  제목 {i}\n둘째 줄 {i}  \n\t끝" for i in range(20)]
    path = tmp_path / "a.txt"
    for count in (1, 3):
        between = "\n" + f"{blank}\n" * count
        path.write_bytes((f"{blank}\n" * 2 + between.join(blocks) + f"\n{blank}").encode())
        assert read(path, documents="blank")[0] == blocks
        windows = path.read_bytes().replace(b"\n", b"\r\n")
        path.write_bytes(windows)
        assert read(path, documents="blank")[0] == blocks
        assert len(read(path)[0]) == 60  # by lines, the blank ones are none


def test_a_mark_where_files_were_joined_is_no_text(tmp_path):
    mark = "\ufeff"
    (tmp_path / "a.txt").write_text(f"{mark}하나\n{mark}둘\n{mark}\n", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(f'{mark}{{"text": "하나"}}\n{mark}{{"text": "둘"}}\n{mark}\n \t\n', encoding="utf-8")
    for name in ("a.txt", "a.jsonl"):
        assert read(tmp_path / name)[0] == ["하나", "둘"]


def test_carriage_returns_at_ends_are_none_of_the_text(tmp_path):
    (tmp_path / "a.txt").write_bytes("하나\r\r\n둘\r\n\r\n셋\r".encode())
    assert read(tmp_path / "a.txt")[0] == ["하나", "둘", "셋"]
    assert read(tmp_path / "a.txt", documents="blank")[0] == ["하나\n둘", "셋"]


def said(tmp_path, tokenizer_folder, **data):
    stream = io.StringIO()
    options = RunOptions(family="gpt2", tokenizer=str(tokenizer_folder), budget={"steps": 1}, data=data)
    open_data(options, tmp_path / "out", Console(file=stream, width=10_000))
    return stream.getvalue()


def test_repeated_documents_are_counted_and_said(tmp_path, tokenizer_folder):
    path = tmp_path / "dups.txt"
    path.write_text("\n".join(["같은 글이다.", "같은  글이다.", "다른 글이다."] * 500), encoding="utf-8")
    data = DataOptions(corpus=[str(path)], valid_share=0.0001)
    with pytest.raises(ValueError, match=r"dups\.txt: nothing was held out of 1,500 documents, of which 2 differ"):
        prepare(open_corpus(data), Tokenizer.load(tokenizer_folder))
    path.write_text("\n".join(sentences(300, seed=1) + sentences(30, seed=1)), encoding="utf-8")
    assert "at least 30 of 330 documents repeat another one" in said(
        tmp_path, tokenizer_folder, corpus=[str(path)], valid_last=0.1
    )


def test_what_a_document_is_is_said_by_the_kind_of_file(tmp_path, tokenizer_folder):
    texts = sentences(40, seed=5)
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"text": texts}), tmp_path / "a.parquet")
    (tmp_path / "a.txt").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "a.csv").write_text("text\n" + "\n".join(texts), encoding="utf-8")
    for names, words in (
        (["a.parquet"], "a document is a row, for example"),
        (["a.csv"], "a document is a row, for example"),
        (["a.txt", "a.csv"], "a document is a line (option documents) or a row, for example"),
        (["world:50"], "a document is a text that the world wrote, for example"),
    ):
        corpus = [name if name.startswith("world") else str(tmp_path / name) for name in names]
        assert words in said(tmp_path, tokenizer_folder, corpus=corpus, valid_share=0.3)
