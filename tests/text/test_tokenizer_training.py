from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from gyebo.text import morphemes
from gyebo.text.morphemes import boundaries
from gyebo.text.training import train_tokenizer
from tests.text.text_corpus import EXACT, SIZES, corpus

PROGRAM = """
import hashlib, sys
from tests.text.text_corpus import SIZES, corpus
from gyebo.text.training import train_tokenizer
for kind, size in SIZES.items():
    train_tokenizer(corpus(), kind, size).save(sys.argv[1])
    print(kind, hashlib.sha256(open(sys.argv[1] + "/tokenizer.json", "rb").read()).hexdigest())
"""


def test_training_twice_gives_the_same_bytes(tmp_path):
    """In two processes: hash tables are seeded anew in each."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path / name)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in ("a", "b")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0].splitlines()) == len(SIZES)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_training_ten_times_gives_the_same_bytes(kind, tmp_path):
    seen = set()
    for _ in range(10):  # the hash tables of tokenizers differ from one training to the next, in one process too
        train_tokenizer(corpus() * 3, kind, 700).save(tmp_path)
        seen.add(hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest())
    assert len(seen) == 1


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_without_a_size_a_token_is_what_occurs_often_enough(kind):
    def merged(count, size=None):
        tokenizer = train_tokenizer([*["xy"] * count, "z"], kind, size)
        return len(tokenizer.encode("xy")) == 1

    assert (merged(4), merged(5), merged(4, 1000)) == (False, True, True)


def test_texts_are_read_once_as_a_stream():
    taken = []

    def stream():
        for text in corpus()[:50]:
            taken.append(text)
            yield text

    for kind in ("bpe", "wordpiece", "unigram", "char"):
        taken.clear()
        train_tokenizer(stream(), kind, SIZES[kind])
        assert taken == corpus()[:50]


def test_an_error_of_the_stream_comes_through():
    def stream():
        yield "가나다"
        raise OSError("disk gone")

    for kind in ("bpe", "wordpiece", "unigram", "char"):
        with pytest.raises(OSError, match="disk gone"):
            train_tokenizer(stream(), kind, 700)


def test_pieces_are_learned(train):
    text = "나는 학교에서 공부를 했다."
    lengths = {kind: len(train(kind).encode(text)) for kind in SIZES}
    assert lengths["byte"] == len(text.encode())
    assert lengths["char"] == len(text)
    assert lengths["bpe"] < lengths["char"]
    assert lengths["wordpiece"] < lengths["char"]
    told = corpus()[-100:]
    unigram, char = (sum(map(len, train(kind).encode_batch(told))) for kind in ("unigram", "char"))
    assert unigram < char


@pytest.mark.parametrize(
    ("kind", "size", "options", "message"),
    [
        ("bpe", 271, {}, "too small for kind 'bpe'; it needs at least 272"),
        ("unigram", 271, {}, "at least 272"),
        ("wordpiece", 527, {}, "at least 528"),
        ("char", 16, {}, "at least 17"),
        ("byte", 300, {}, "always has 272 ids"),
        ("words", 300, {}, "choose one of bpe"),
        ("bpe", 300, {"normalize": "nfkc"}, "normalize: 'nfkc'"),
        ("char", None, {"morphemes": True}, "no effect on kind 'char'"),
        ("unigram", 300, {"min_frequency": 3}, "no effect on kind 'unigram'"),
        ("bpe", 300, {"min_frequency": 0}, "at least 1"),
    ],
)
def test_requests_that_cannot_be_met(kind, size, options, message):
    with pytest.raises(ValueError, match=message):
        train_tokenizer(corpus(), kind, size, **options)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "char"])
def test_bad_corpora(kind):
    for texts, message in (
        ([], "corpus is empty: 0 texts"),
        (["", ""], "corpus is empty: 2 texts"),
        (["가", "나\udc80"], r"text 2 of the corpus: lone surrogate U\+DC80 at character 1"),
        (["가", b"x"], "text 2 of the corpus is bytes"),
        ("가나", "one string"),
    ):
        with pytest.raises(ValueError, match=message):
            train_tokenizer(texts, kind, 700)


@pytest.mark.parametrize("kind", EXACT)
def test_the_smallest_vocabularies_still_know_every_byte(kind):
    for texts in (["a"], ["\n"], ["가나다라"] * 3):
        size = None if kind == "byte" else 528 if kind == "wordpiece" else 272
        tokenizer = train_tokenizer(texts, kind, size)
        assert tokenizer.vocab_size == (size or 272)
        assert tokenizer.decode(tokenizer.encode("뷁 é\n")) == "뷁 é\n"


def test_char_keeps_the_most_frequent():
    tokenizer = train_tokenizer(["가가가나나다"], "char", 16 + 2)
    assert [id == 3 for id in tokenizer.encode("가나다")] == [False, False, True]


def test_min_frequency_counts():
    assert train_tokenizer(["학교 "] * 3, "bpe", 500, min_frequency=4).vocab_size == 272
    assert train_tokenizer(["학교 "] * 3, "bpe", 500, min_frequency=3).vocab_size > 272


def test_borders_where_morphemes_overlap_or_meet_space():
    # 나 는 | 학교 | 하+었 (contracted to 했) | 다
    assert boundaries("나는 학교했다", [(0, 1), (1, 2), (3, 5), (5, 6), (5, 6), (6, 7)]) == [1, 5, 6]
    # A morpheme that spans a border of others is not cut.
    assert boundaries("가나다라", [(0, 3), (1, 2), (3, 4)]) == [3]
    assert boundaries("가 나", [(0, 1), (2, 3)]) == []
    assert boundaries("", []) == []


@pytest.fixture(scope="module")
def kiwi():
    return pytest.importorskip("kiwipiepy").Kiwi()  # takes a second to load


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece"])
def test_no_piece_crosses_a_morpheme_border(kind, kiwi, tmp_path, monkeypatch):
    monkeypatch.setattr(morphemes, "load_kiwi", lambda: kiwi)
    texts = corpus()[:336:3]
    units = set()
    for text in texts:
        spans = [(token.start, token.start + token.len) for token in kiwi.tokenize(text)]
        edges = [0, *boundaries(text, spans), len(text)]
        units.update(unit for start, end in pairwise(edges) for unit in text[start:end].split(" "))
    whole = "\n".join(sorted(" " + unit for unit in units)).encode()

    def crossing(tokenizer):
        pieces = [tokenizer.piece_bytes(id) for id in range(16, tokenizer.vocab_size)]
        return [piece for piece in pieces if len(piece) > 1 and piece not in whole]

    assert crossing(train_tokenizer(texts, kind, 700)), "the corpus has no word that tempts a trainer"
    learned = train_tokenizer(texts, kind, 700, morphemes=True)
    assert crossing(learned) == []
    assert learned.decode(learned.encode("나는 학교에서 밥을 먹었다")) == "나는 학교에서 밥을 먹었다"
    learned.save(tmp_path)
    assert "\U0010fffe" not in json.dumps(json.loads((tmp_path / "tokenizer.json").read_text()), ensure_ascii=False)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    with pytest.raises(ImportError, match=r"gyebo\[ko\]"):
        train_tokenizer(corpus(), "bpe", 700, morphemes=True)
