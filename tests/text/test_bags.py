"""Bags of words: the file, and which tokens of a vocabulary write its words."""

import sys

import pytest

from gyebo.text.bags import match_bag, read_bag
from gyebo.text.training import train_tokenizer

FORMS = {
    "행복하다": ["행복한", "행복했다", "행복하게"],
    "영화": ["영화", "영화가", "영화는", "영화에서"],
    "춥다": ["추워", "춥다", "추운"],
    "재미있다": ["재미있는", "재미있다", "재미있어요"],
}
OTHERS = ["영화관", "행동", "추천", "재산", "고양이가", "happy", "happily", "불행한"]


def vocabulary(*words):
    """A tokenizer that has each of these words, with the space before it, as one token."""
    return train_tokenizer([f"x {word} {word} {word}" for word in words for _ in range(20)], "bpe", 256 + 8 + 40 * len(words))


@pytest.fixture(scope="module")
def tokenizer():
    return vocabulary(*[form for forms in FORMS.values() for form in forms], *OTHERS)


def texts(tokenizer, weights):
    return {tokenizer.decode([id]).strip() for id in weights}


def test_the_vocabulary_of_these_tests_has_their_words(tokenizer):
    for word in [*FORMS, *OTHERS][len(FORMS) :] + [form for forms in FORMS.values() for form in forms]:
        assert len(tokenizer.encode(f"x {word}")) == 2, word


@pytest.mark.parametrize("word", FORMS)
def test_a_word_is_found_with_particles_and_endings(tokenizer, word):
    pytest.importorskip("kiwipiepy")
    matched = match_bag({word: 2.0}, tokenizer)
    assert set(FORMS[word]) <= texts(tokenizer, matched.weights)
    assert not texts(tokenizer, matched.weights) & set(OTHERS)
    assert matched.missing == () and set(matched.weights.values()) == {2.0}


def test_without_stems_a_word_is_the_one_token_that_it_has_after_a_space(tokenizer, monkeypatch):
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)
    matched = match_bag({"영화": 1.0, "행복하다": 1.0, "happy": 0.5, "zebra": 1.0}, tokenizer, stems=False)
    expected = {tokenizer.encode("x 영화")[1]: 1.0, tokenizer.encode("x happy")[1]: 0.5}
    assert matched.weights == expected and matched.missing == ("행복하다", "zebra")
    assert match_bag({"happy": 1.0}, tokenizer).weights  # no word in Hangul: no analyser is needed
    with pytest.raises(ImportError, match=r"gyebo\[ko\]"):
        match_bag({"영화": 1.0}, tokenizer)


def test_a_token_of_several_words_has_the_largest_weight(tokenizer):
    pytest.importorskip("kiwipiepy")
    matched = match_bag({"영화": 1.0, "영화가": 3.0}, tokenizer)
    assert matched.weights[tokenizer.encode("x 영화가")[1]] == 3.0


def test_the_file(tmp_path):
    path = tmp_path / "bag.txt"
    path.write_text("\ufeff# joy\n기쁨\n\n행복 0.5  # less\nhappy\t2\n", encoding="utf-8")
    assert read_bag(path) == {"기쁨": 1.0, "행복": 0.5, "happy": 2.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n\n", "bag.txt has no word"),
        ("기쁨\n아주 기쁨\n".encode(), r"bag.txt, line 2: after a word may stand its weight.*'기쁨'"),
        ("기쁨 0\n".encode(), "bag.txt, line 1: .*above 0, but there is '0'"),
        (b"a 1 2\n", "bag.txt, line 1: .*'1 2'"),
        (b"\xff\n", "bag.txt: byte 0 is not UTF-8"),
    ],
)
def test_errors(tmp_path, content, message):
    path = tmp_path / "bag.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_bag(path)
    with pytest.raises(FileNotFoundError, match="no such bag of words"):
        read_bag(tmp_path / "missing.txt")
