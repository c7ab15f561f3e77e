"""Disguised words are found, ordinary text is left alone; folding keeps its places."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gyebo.text import hangul
from gyebo.text.disguise import fold, letters_of, typed_in_english
from gyebo.text.word_list import Entry, WordList
from tests.text.disguised import DISGUISED, INNOCENT, WORDS

ALL = WordList(tuple(map(Entry, WORDS)))


def found(text, *words):
    return [hit.entry.word for hit in (WordList(tuple(map(Entry, words))) if words else ALL).find(text)]


def test_there_are_two_hundred_of_each():
    assert sum(map(len, DISGUISED.values())) == len(INNOCENT) == 200
    assert len({text for texts in DISGUISED.values() for text in texts} | set(INNOCENT)) == 400
    assert not [text for word, texts in DISGUISED.items() for text in texts if word in text]  # a plain list would find it


@pytest.mark.parametrize("word", WORDS)
def test_disguised_words_are_found(word):
    assert {text: found(text) for text in DISGUISED[word]} == {text: [word] for text in DISGUISED[word]}


def test_innocent_sentences_are_left_alone():
    assert {text: hits for text in INNOCENT if (hits := found(text))} == {}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ㅅㅂ", "ㅅㅂ"), ("아 ㅅㅂ 진짜", "ㅅㅂ"), ("ㅅ ㅂ", "ㅅㅂ"), ("ㅅ1ㅂ", "ㅅㅂ"), ("ㅅㅅㅂㅂ", "ㅅㅂ"),
        ("damn", "damn"), ("D a m n", "damn"),
        ("d@mn it", "damn"), ("daaaamn", "damn"), ("damn이다", "damn"), ("ｄａｍｎ", "damn"),
        ("바 보 같은 놈", "바보 같은 놈"),
        ("씨이이발", "씨발"), ("c발", "씨발"),
    ],
)  # fmt: skip
def test_abbreviations_latin_words_and_phrases(text, word):
    assert found(text, word) == [word]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ㄱㅅㅂ", "ㅅㅂ"), ("수박", "ㅅㅂ"), ("ㅅㅋㅂ", "ㅅㅂ"), ("class", "ass"), ("as soon", "ass"),
        ("dam n", "damns"), ("바본", "바보"),
        ("집안", "가안"), ("01", "이"), ("밤보", "바보"), ("발시", "시발"), ("본밥", "본바"),
    ],
)  # fmt: skip
def test_what_only_looks_like_them(text, word):
    assert found(text, word) == []


def test_an_exception_is_left_alone_only_where_it_stands():
    words = WordList((Entry("시발", 1.0, ("시발점", "시발역")),))
    assert words.find("이 일의 시발점, 서울은 시발역") == []
    assert [(hit.start, hit.end) for hit in words.find("시발점에서 시발 하고")] == [(6, 8)]
    assert [(hit.start, hit.end) for hit in words.find("시1발점")] == [(0, 3)]


def test_places_are_those_of_the_text_as_it_is():
    decomposed = unicodedata.normalize("NFD", "이 바")
    text = f"{decomposed}\u200b 보 tlqkf"
    spots = {hit.entry.word: text[hit.start : hit.end] for hit in ALL.find(text)}
    assert spots == {"바보": f"{unicodedata.normalize('NFD', '바')}\u200b 보", "시발": "tlqkf"}


def test_several_words_are_found_in_their_order():
    assert found("오징어 바보, 오징어 바 보") == ["오징어", "바보", "오징어", "바보"]


@given(st.text(max_size=60))
def test_folding_any_text_keeps_places_in_order(text):
    folded, spans = fold(text)
    assert len(folded) == len(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert [start for start, _ in spans] == sorted(start for start, _ in spans)


@given(st.text(max_size=60))
def test_any_text_can_be_searched(text):
    for hit in ALL.find(text):
        assert 0 <= hit.start < hit.end <= len(text)


def test_a_hostile_text_costs_little():
    """Long runs of what a pattern may repeat; without bounds this would take minutes."""
    for text in ("시" * 600, "ㅅ" * 600, "시1" * 300, "시" + "이 " * 300, "시" + "." * 600, "바ㅏ" * 300, "1" * 600):
        ALL.find(text)


# ---- Hangul


@given(st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3))
def test_a_syllable_is_split_and_joined_as_unicode_does(char):
    syllable = hangul.split(char)
    assert str(syllable) == char
    assert "".join(syllable.conjoining) == unicodedata.normalize("NFD", char)
    assert "".join(map(hangul.alone, "".join(syllable.conjoining))) == "".join(syllable)


@pytest.mark.parametrize(
    ("keys", "text"),
    [ ("dkssud", "안녕"), ("gksrmf", "한글"), ("djqtek", "없다"), ("Tmfprl", "쓰레기"), ("rhkwp", "과제"),
    ("dnjfdydlf", "월요일"),
     ("rkqt", "값"), ("rkqtdl", "값이"), ("rkqtl", "갑시"), ("word", ""), ("k", ""), ("rk1", "")],
)  # fmt: skip
def test_keys_of_the_two_set_keyboard(keys, text):
    assert hangul.typed_syllables(keys) == text


def test_only_latin_words_that_are_syllables_are_typed_anew():
    assert typed_in_english("hello, world of kakao") is None or "hello" in typed_in_english("hello, world of kakao")[0]
    folded, spans = typed_in_english("아 tlqkf apple")
    assert unicodedata.normalize("NFC", folded) == "아 시발 apple"
    assert {span for span in spans if span[1] - span[0] > 1} == {(2, 7)}


def test_letters_of_a_word():
    assert letters_of(" 바-보 ㄱ. ＡB① ") == "바보ㄱab1"
    assert letters_of(unicodedata.normalize("NFD", "멍청이")) == "멍청이"
