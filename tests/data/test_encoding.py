"""Bytes that are not UTF-8: recognised, named with a sample, replaced and counted."""

import pytest

from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data.encoding import Reading, text_lines
from gyebo.data.prepare import open_corpus, prepare
from gyebo.text.tokenizer import Tokenizer
from tests.conftest import sentences

KOREAN = "안녕하세요, 반갑습니다.\n오늘은 날씨가 참 좋네요. 그렇죠? OK\n" * 20
OTHERS = {
    "cp932": "こんにちは、世界。今日はいい天気ですね。\n漢字も書けます\n",
    "euc_jp": "こんにちは、世界。今日はいい天気ですね。\n漢字も書けます\n",
    "gb18030": "今天天气很好，我们去公园玩吧。他们说中文的文本分类很难。\n",
    "big5": "今天天氣很好，我們去公園玩吧。\n",
    "cp1252": "Le café était déjà fermé, très tôt. Größe und Übermaß “quoted”.\n",
}
CASES = [(name, KOREAN) for name in ("cp949", "utf-16-le", "utf-16-be")] + list(OTHERS.items())


def read(path, encoding=None, bad_bytes="refuse"):
    reading = Reading(encoding, bad_bytes)
    return "".join(text_lines(path, reading)), reading.replaced.get(str(path), 0)


@pytest.mark.parametrize(("encoding", "text"), CASES, ids=[name for name, _ in CASES])
def test_the_likely_encoding_is_named_with_a_sample_and_reads_the_file(tmp_path, encoding, text):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    with pytest.raises(OptionError) as caught:
        read(path)
    said = str(caught.value)
    assert f"encoding={encoding}" in said and str(path) in said and "not UTF-8" in said and "\n" not in said
    sample = said.partition("it says '")[2].partition("'")[0]
    assert len(sample) > 10 and sample in " ".join(text.split())
    assert "‹encoding›" in caught.value.text  # a command shows its flag
    assert read(path, encoding) == (text, 0)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    path = tmp_path / "a.txt"
    path.write_bytes(KOREAN.encode(encoding))
    assert read(path) == read(path, "cp949") == read(path, bad_bytes="replace") == (KOREAN, 0)


def test_characters_at_the_borders_of_blocks_are_whole(tmp_path):
    path, text = tmp_path / "a.txt", "가나다라\n" * 100_000  # 9 bytes a line in CP949
    for encoding in ("utf-8", "cp949", "utf-16-le"):
        path.write_bytes(text.encode(encoding))
        assert read(path, encoding) == (text, 0)


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_a_bad_byte_is_named_where_it_stands_in_the_file(tmp_path, encoding):
    path, before = tmp_path / "a.txt", (KOREAN * 400).encode(encoding)  # more than a block
    path.write_bytes(before + b"\xff\n" + KOREAN.encode(encoding))
    with pytest.raises(OptionError, match=rf"a\.txt: byte {len(before)} \(0xff\) is not {encoding.upper()}") as caught:
        read(path, None if encoding == "utf-8" else encoding)
    assert "bad_bytes=replace" in str(caught.value) and "it says" not in str(caught.value)
    text, count = read(path, None if encoding == "utf-8" else encoding, "replace")
    assert count == 1 and text == KOREAN * 400 + "\ufffd\n" + KOREAN


def test_replacing_is_counted_and_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(KOREAN.encode() + b"\xff\xfe ab\xff\n" + "\ufffd".encode())
    text, count = read(path, bad_bytes="replace")
    assert count == 3  # U+FFFD that stood there already is none of them
    assert text == KOREAN + "\ufffd\ufffd ab\ufffd\n\ufffd"
    path.write_bytes(KOREAN.encode("cp949"))
    with pytest.raises(OptionError, match=r"a\.txt: .* characters .* are not UTF-8, too many to replace, but read as CP949"):
        read(path, bad_bytes="replace")


def test_unknown_encodings_are_refused():
    for name in ("klingon", "base64", "unicode_escape", "idna"):
        with pytest.raises(ValueError, match=f"{name} is no encoding of text"):
            DataOptions(corpus=["a.txt"], encoding=name)
    assert DataOptions(corpus=["a.txt"], encoding="euc-kr").encoding == "euc-kr"


@pytest.mark.parametrize("documents", ["line", "blank", "file"])
def test_a_corpus_in_cp949_is_the_one_in_utf8(tmp_path, tokenizer_folder, monkeypatch, documents):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    tokenizer = Tokenizer.load(tokenizer_folder)
    texts = {"line": "\n", "blank": "\n\n", "file": "\n"}[documents].join(
        t.replace("É", "E").replace("é", "e") for t in sentences(200, seed=3)
    )

    def prepared(name, **options):
        path = tmp_path / f"{name}.txt"
        path.write_bytes(texts.encode(name))
        given = DataOptions(corpus=[str(path)], documents=documents, valid_last=0.2, **options)
        corpus = open_corpus(given)
        return corpus.fingerprint, prepare(corpus, tokenizer)

    (one, plain), (other, coded) = prepared("utf-8"), prepared("cp949", encoding="cp949")
    assert one != other
    for split in ("train", "valid"):
        assert getattr(plain, split).sum("tokens") == getattr(coded, split).sum("tokens")
        assert plain.meta[split] == coded.meta[split]


def test_what_was_replaced_stands_in_the_prepared_corpus(tmp_path, tokenizer_folder, monkeypatch):
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    for name, bad in (("a.txt", b"\xff\n"), ("b.jsonl", b'{"text": "\\ud83d halb"}\n'), ("c.csv", b"text\nx\xfe\n")):
        rows = [f'{{"text": "{t}"}}' if name == "b.jsonl" else t for t in sentences(60, seed=len(name))]
        (tmp_path / name).write_bytes(bad + "\n".join(rows).encode())
    options = DataOptions(
        corpus=[str(tmp_path / n) for n in ("a.txt", "b.jsonl", "c.csv")], bad_bytes="replace", valid_share=0.3
    )
    ready = prepare(open_corpus(options), Tokenizer.load(tokenizer_folder))
    assert ready.meta["replaced"] == {str(tmp_path / name): 1 for name in ("a.txt", "b.jsonl", "c.csv")}
