"""Sentences of a text that arrives in parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gyebo.generation.guard.sentences import Sentences

TEXT = st.text(alphabet="가나 a.?!…。\n\"'”)12", max_size=80)


def cut(text, longest=200, sizes=()):
    """The sentences of a text pushed in parts of these sizes, then the rest."""
    cutter, found, start = Sentences(longest), [], 0
    for size in sizes:
        found += cutter.push(text[start : start + size])
        start += size
    found += cutter.push(text[start:])
    rest = cutter.finish()
    return found + ([rest] if rest else [])


@pytest.mark.parametrize(
    "parts",
    [
        ["안녕하세요.", " 반갑습니다!", " 잘 지내요?", " 네"],
        ["3.14는 원주율이다.", " 그렇다"],
        ["“정말이야?”", " 그가 물었다.", "\n", "끝"],
        ["뭐라고?!?!", " 그래…", " 알았어...", " 응"],
        ["첫 줄\n", "둘째 줄\n", "\n", "셋째"],
        ["그래?", "응!", "좋아"],
        ["그래서...어떻게 됐어?", " 음"],
        ["(이미 왔다.)", " 그렇다"],
    ],
)
def test_where_sentences_end(parts):
    assert cut("".join(parts)) == parts


def test_a_sentence_is_complete_once_its_end_is_known():
    cutter = Sentences()
    assert cutter.push("정말?") == []  # "!" or a quote may follow
    assert cutter.push("!") == []
    assert cutter.push(" 응") == ["정말?!"]
    assert cutter.finish() == " 응"


def test_an_endless_sentence_is_cut_behind_white_space():
    assert cut("가나 다라 마바사", longest=5) == ["가나 ", "다라 ", "마바사"]
    assert cut("가" * 12, longest=5) == ["가" * 5, "가" * 5, "가" * 2]


@given(TEXT, st.lists(st.integers(0, 7), max_size=40), st.integers(1, 20))
def test_how_a_text_arrives_does_not_matter(text, sizes, longest):
    assert cut(text, longest, sizes) == cut(text, longest)


@given(TEXT, st.integers(1, 20))
def test_nothing_is_lost_and_nothing_is_too_long(text, longest):
    found = cut(text, longest)
    assert "".join(found) == text
    assert all(0 < len(part) <= longest for part in found)
