"""The file of a word list: what stands in it, and what is wrong with it; words learned from labelled texts."""

import math
from collections import Counter

import pytest

from gyebo.text import log_odds, word_list
from gyebo.text.word_list import Entry, WordList

FILE = "# mine\n\n바보\n 멍청 이 = 2.5 \n시발 = 3 ! 시발점, 시발역\ntypo ! typographie\n"


def test_a_file_is_read_as_it_stands(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text(FILE, encoding="utf-8-sig")
    assert word_list.read(path).entries == (
        Entry("바보"),
        Entry("멍청 이", 2.5),
        Entry("시발", 3.0, ("시발점", "시발역")),
        Entry("typo", 1.0, ("typographie",)),
    )


def test_what_is_written_is_read():
    entries = (Entry("바보"), Entry("멍청 이", 2.5), Entry("시발", 3.0, ("시발점", "시발역")))
    assert word_list.parse(map(str, entries), "list").entries == entries


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["바보", "... = 2"], "list, line 2: '...' has no letter"),
        (["바보 = viel"], "list, line 1: the weight must be a number, but is 'viel' instead"),
        (["바보 = -1"], "list, line 1: 바보: its weight must be a number above 0, but is -1.0 instead"),
        (["바보 ! 바다"], "list, line 1: 바보: the exception '바다' does not contain it"),
        (["바보", "바 보"], "list, line 2: 바 보 stands there twice"),
        (["# nothing"], "list: has no word"),
    ],
)
def test_what_is_wrong_is_named(lines, message):
    with pytest.raises(ValueError) as error:
        word_list.parse(lines, "list")
    assert str(error.value).startswith(message)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt: no such file"):
        word_list.read(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes(b"ab\xe9")
    with pytest.raises(ValueError, match=r"latin\.txt: byte 2 is not UTF-8"):
        word_list.read(tmp_path / "latin.txt")


# ---- log-odds


def test_log_odds_are_those_of_the_formula():
    """Monroe et al., equations 16, 20 and 22, written out for one word: 8 of 20 words in the first set, 2 of 30 in the second,
    a prior of 100 words with the shares of both sets."""
    first, second = Counter(bad=8, other=12), Counter(bad=2, other=28)
    prior = 100 * 10 / 50
    delta = math.log((8 + prior) / (20 + 100 - 8 - prior)) - math.log((2 + prior) / (30 + 100 - 2 - prior))
    deviation = math.sqrt(1 / (8 + prior) + 1 / (2 + prior))
    assert log_odds.differences(first, second, 100)["bad"] == pytest.approx((delta, delta / deviation))


def test_log_odds_change_their_sign_with_the_sets():
    first, second = Counter(a=5, b=9, c=1), Counter(a=7, c=3)
    there, back = log_odds.differences(first, second, 9), log_odds.differences(second, first, 9)
    assert there == {word: pytest.approx((-difference, -z)) for word, (difference, z) in back.items()}


def test_units_are_words_and_their_beginnings_once_a_text():
    assert log_odds.units("바보야 바보! ㅋㅋㅋ ㅅㅂ the cat is") == {"바보", "바보야", "ㅅㅂ", "the", "cat"}


def test_words_that_stand_out_are_learned():
    unwanted = ["바보야 가라", "바보는 가라", "이 바보", "바보들 멍청"] * 10
    others = ["오늘은 가라", "어서 가라", "멍청하지 않다", "이 영화"] * 10
    learned = log_odds.learn(unwanted, others, least=5)
    assert learned.entries[0].word == "바보"
    assert not [entry for entry in learned.entries[1:] if "바보" in entry.word]  # found by the first
    assert not {"오늘은", "어서", "가라", "멍청"} & {entry.word for entry in learned.entries}
    assert isinstance(learned, WordList) and len(log_odds.learn(unwanted, others, most=1).entries) == 1


@pytest.mark.parametrize(("unwanted", "others"), [(["같은 말"], ["같은 말"]), ([], ["말을 한다"]), (["하나"], [])])
def test_sets_without_a_difference_are_refused(unwanted, others):
    with pytest.raises(ValueError, match="no word that occurs in 5 texts stands out"):
        log_odds.learn(unwanted, others)
