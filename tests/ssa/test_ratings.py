"""Ratings: what counts, whose they are, and that none is lost."""

import json
import threading

import pytest

from gyebo.data.lock import _place
from gyebo.ssa.ratings import Rating, gather, log_of, rater_name, read_log, read_ratings, record
from gyebo.ssa.sheet import read_sheets
from tests.refusals import option_error
from tests.ssa.conftest import row, vote

MACHINE = {"kind": "automatic", "description": "a rule: longer than ten letters"}


@pytest.fixture
def sheet(write):
    return read_sheets([write("s.jsonl", [row("1"), row("2", conversation="c2"), row("3", conversation="c3")])])


def test_the_last_answer_counts_and_no_answer_is_none(sheet, write):
    rows = [vote("1", "민수", True, True), vote("2", "민수", None), vote("1", "민수", False), vote("1", "지영", True, None)]
    found = read_ratings(write("r.jsonl", rows), sheet)
    assert found == {
        ("1", "민수"): Rating("1", "민수", False, None),
        ("1", "지영"): Rating("1", "지영", True, None),
    }


def test_answers_in_a_csv(sheet, tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("item,rater,sensible,specific\n1,A,yes,No\n2,A,0,\n3,A,,\n3,B,TRUE,1\n", encoding="utf-8")
    found = read_ratings(path, sheet)
    assert [(r.item, r.rater, r.sensible, r.specific) for r in found.values()] == [
        ("1", "A", True, False),
        ("2", "A", False, None),
        ("3", "B", True, True),
    ]


def test_an_item_may_be_called_by_its_key(sheet, write):
    found = read_ratings(write("r.jsonl", [vote(sheet.items[1].key, "A", True, True)]), sheet)
    assert list(found) == [("2", "A")]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([vote("9", "A", True)], "line 1: item '9' is not in the sheet"),
        ([vote("1", "", True)], "line 1: rater must be a name"),
        ([vote("1", "A", "perhaps")], "line 1: sensible must be one of true, yes, 1, false, no, 0, or empty, but is 'perhaps'"),
        ([vote("1", "A", None, True)], "line 1: specific is answered, but not sensible"),
        ([vote("1", "A", True, kind="robot")], "line 1: kind must be human or automatic, but is 'robot'"),
        ([vote("1", "A", True, kind="automatic")], "line 1: description is missing"),
    ],
)
def test_what_is_wrong_in_ratings(sheet, write, rows, told):
    path = write("r.jsonl", rows)
    with pytest.raises(ValueError) as caught:
        read_ratings(path, sheet)
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)


# ---- people and programs


def test_kinds_are_never_mixed_silently(sheet, write):
    people, program = write("h.jsonl", [vote("1", "A", True, True)]), write("p.jsonl", [vote("1", "rule", False, **MACHINE)])
    assert [rating.rater for rating in gather(sheet, [], [program])] == ["rule"]
    with option_error("raters"):
        gather(sheet, [], [people, program])
    chosen = {kind: [r.rater for r in gather(sheet, [], [people, program], kind)] for kind in ("human", "automatic", "both")}
    assert chosen == {"human": ["A"], "automatic": ["rule"], "both": ["A", "rule"]}
    with pytest.raises(ValueError, match="no ratings by human raters"):
        gather(sheet, [], [program], "human")
    with option_error("raters"):
        gather(sheet, [], [people], "machine")


def test_one_name_is_one_kind(sheet, write):
    path = write("r.jsonl", [vote("1", "A", True, True), vote("2", "A", True, True, **MACHINE)])
    with pytest.raises(ValueError, match="rater 'A' is human in one row and automatic in another"):
        gather(sheet, [], [path])


def test_two_files_may_agree_but_not_contradict(sheet, write):
    first, same = write("1.jsonl", [vote("1", "A", True, True)]), write("2.jsonl", [vote("1", "A", True, True)])
    assert len(gather(sheet, [], [first, same])) == 1
    other = write("3.jsonl", [vote("1", "A", True, False)])
    with pytest.raises(ValueError, match=r"3.jsonl: A answers otherwise about '1' than in .*1.jsonl"):
        gather(sheet, [], [first, other])
    with pytest.raises(ValueError, match="no ratings: rate the sheet first"):
        gather(sheet, [write("s.jsonl", []).with_suffix(".ratings.jsonl")], [])


# ---- the log


def test_the_log_lies_beside_the_sheet(tmp_path):
    assert log_of(tmp_path / "a.b.csv") == tmp_path / "a.b.ratings.jsonl"


def test_what_is_recorded_is_read(sheet, tmp_path):
    log = tmp_path / "s.ratings.jsonl"
    assert read_log(log, sheet) == {}
    ratings = [Rating("1", "민수", True, False), Rating("2", "민수", False, None), Rating("1", "지영", True, True)]
    for rating in ratings:
        record(log, rating)
    assert list(read_log(log, sheet).values()) == ratings
    assert json.loads(log.read_text(encoding="utf-8").splitlines()[0]) == vote("1", "민수", True, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.jsonl", "s.ratings.jsonl"]


def test_raters_at_the_same_time_lose_nothing(sheet, tmp_path):
    log = tmp_path / "s.ratings.jsonl"

    def rate(name):
        for item in ("1", "2", "3", "1"):
            record(log, Rating(item, name, True, item == "2"))

    threads = [threading.Thread(target=rate, args=(f"rater {n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(log.read_text(encoding="utf-8").splitlines()) == 24 and len(read_log(log, sheet)) == 18


def test_one_writes_at_a_time(sheet, tmp_path, monkeypatch):
    log, locked = tmp_path / "s.ratings.jsonl", []
    monkeypatch.setattr("gyebo.ssa.ratings.append_json", lambda path, row: locked.append(_place(path).exists()))
    record(log, Rating("1", "A", True, True))
    assert locked == [True] and not _place(log).exists()


def test_a_power_cut_in_the_middle_of_an_answer(sheet, tmp_path):
    """What was told to be saved stays, in the middle of a Hangul syllable too; what was not is asked again."""
    log = tmp_path / "s.ratings.jsonl"
    record(log, Rating("1", "민수", True, True))
    whole = log.read_bytes()
    record(log, Rating("2", "민수", True, True))
    second = log.read_bytes()[len(whole) :]
    for length in (1, second.index("민".encode()) + 1, len(second) - 2):
        log.write_bytes(whole + second[:length])
        assert list(read_log(log, sheet)) == [("1", "민수")]
        log.write_bytes(whole + second[:length])
        record(log, Rating("3", "지영", True, False))
        assert list(read_log(log, sheet)) == [("1", "민수"), ("3", "지영")]


def test_a_last_line_without_its_end_is_kept(sheet, tmp_path):
    log = tmp_path / "s.ratings.jsonl"
    log.write_text(json.dumps(vote("1", "A", True, True)), encoding="utf-8")
    record(log, Rating("2", "A", False))
    assert list(read_log(log, sheet)) == [("1", "A"), ("2", "A")]


@pytest.mark.parametrize(("text", "name"), [("  민수 \n", "민수"), ("Kim  Lee", "Kim Lee"), ("x" * 100, "x" * 100)])
def test_names_of_raters(text, name):
    assert rater_name(text) == name


@pytest.mark.parametrize("text", ["", " \t", "x" * 101, "a\u0000b", "a\u202eb"])
def test_what_is_no_name_of_a_rater(text):
    with pytest.raises(ValueError, match="a rater's name"):
        rater_name(text)
