"""Sheets: what is read, in which order it is shown, and what is wrong with a file."""

import json

import pytest

from gyebo.ssa.sheet import Item, order_of, read_contexts, read_sheets, rows, write_rows
from tests.ssa.conftest import row


def test_both_formats_give_the_same(write, tmp_path):
    turns = ['Hi, "you"', "안녕,\n반가워"]
    path = write("a.jsonl", [row("1", context=turns, response="네, 그럼요"), row(2, bot="b", context=turns, response="")])
    sheet = read_sheets([path])
    assert sheet.items == (
        Item("1", "a", "c1", ('Hi, "you"', "안녕,\n반가워"), "네, 그럼요"),
        Item("2", "b", "c1", ('Hi, "you"', "안녕,\n반가워"), ""),
    )
    assert sheet.kind == "static" and sheet.bots == ("a", "b")
    fields = ("id", "bot", "conversation", "context", "response", "turn")
    for name in ("b.csv", "b.jsonl"):
        write_rows(tmp_path / name, [vars(item) for item in sheet.items], fields)
        assert read_sheets([tmp_path / name]) == sheet
        assert [json.dumps(value) for _, value in rows(tmp_path / name)]


def test_a_csv_of_another_program(tmp_path):
    path = tmp_path / "a.csv"
    text = '\ufeffid,note,bot,conversation,context,response,turn\n7,x,m,k,"[""Hi!"", ""하이""]",네,1\n8,,m,k,"[""Hi!""]",응,2\n'
    path.write_text(text, encoding="utf-8")
    sheet = read_sheets([path])
    assert sheet.items[0] == Item("7", "m", "k", ("Hi!", "하이"), "네", 1) and sheet.kind == "interactive"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([row("1", context="Hi!")], "line 1: context must be a list of texts"),
        ([row("1", context=[])], "line 1: context must be a list"),
        ([row("1", context=["Hi!", " "])], "line 1: context has an empty turn"),
        ([row("1", response=None)], "line 1: response must be a text, but is None"),
        ([row("1"), row("1")], "line 2: id '1' stands in"),
        ([row("")], "line 1: id must be a name, but is ''"),
        ([{"id": "1"}], "line 1: response must be"),
        ([{"id": "1", "response": "x", "bot": "b"}], "line 1: conversation is missing"),
        ([row("1", turn=0)], "line 1: turn must be a whole number from 1 on, but is 0"),
        ([row("1", turn=True)], "turn must be"),
        ([row("1"), row("2", turn=1)], "line 2: has a turn, unlike"),
        ([row("1"), row("2", context=["Ho!"])], "line 2: context of conversation 'c1' is not that of"),
        ([row("1", turn=1), row("2", turn=1)], "line 2: turn 1 of conversation 'c1' of a stands in"),
        ([], "no responses in it"),
    ],
)
def test_what_is_wrong_in_a_sheet(write, rows, told):
    path = write("a.jsonl", rows)
    with pytest.raises(ValueError) as caught:
        read_sheets([path])
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)


def test_what_is_no_sheet(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_sheets([tmp_path / "a.jsonl"])
    (tmp_path / "b.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(ValueError, match="b.jsonl: line 1: not JSON"):
        read_sheets([tmp_path / "b.jsonl"])
    with pytest.raises(ValueError, match=r"a.txt: not one of .jsonl, .csv"):
        read_sheets([tmp_path / "a.txt"])
    first, second = write("1.jsonl", [row("1")]), write("2.jsonl", [row("1", bot="b")])
    with pytest.raises(ValueError, match=r"2.jsonl: line 1: id '1' stands in .*1.jsonl: line 1 already"):
        read_sheets([first, second])


def test_turns_of_conversations_may_be_equal_between_bots(write):
    sheet = read_sheets([write("a.jsonl", [row("1", turn=1), row("2", bot="b", context=["Ho!"], turn=1)])])
    assert len(sheet.items) == 2


def test_contexts_to_respond_to(write):
    rows = [{"context": ["Hi!"]}, {"conversation": 7, "context": ["안녕!", "응."]}, {"conversation": "", "context": ["Ho!"]}]
    assert read_contexts(write("c.jsonl", rows)) == {"1": ("Hi!",), "7": ("안녕!", "응."), "3": ("Ho!",)}
    sheet = write("s.jsonl", [row("1"), row("2", bot="b"), row("3", conversation="c2", context=["Ho!"])])
    assert read_contexts(sheet) == {"c1": ("Hi!",), "c2": ("Ho!",)}
    for wrong, told in (
        (
            [{"conversation": "1", "context": ["a"]}, {"context": ["b"], "conversation": 1}],
            "line 2: conversation '1' has another",
        ),
        ([{"context": ["a", ""]}], "line 1: context has an empty turn"),
        ([], "no contexts in it"),
    ):
        with pytest.raises(ValueError, match=told):
            read_contexts(write("w.jsonl", wrong))


# ---- order


def test_the_order_depends_on_the_rater_and_stays(write):
    path = write("a.jsonl", [row(str(i), conversation=f"c{i}") for i in range(40)])
    sheet = read_sheets([path])
    orders = {name: [item.id for item in order_of(sheet, name)] for name in ("민수", "지영", "민수 ")}
    own = [item.id for item in sheet.items]
    assert all(sorted(order) == sorted(own) and order != own for order in orders.values())
    assert len({tuple(order) for order in orders.values()}) == 3
    grown = read_sheets([write("b.jsonl", [row(str(i), conversation=f"c{i}") for i in range(50)])])
    assert [item.id for item in order_of(grown, "민수") if int(item.id) < 40] == orders["민수"]


def test_every_place_is_as_likely(write):
    """Mean place of the first row over 400 raters: 9.5 with a standard deviation of 0.29; 5 of those away once in a million."""
    sheet = read_sheets([write("a.jsonl", [row(str(i), conversation=f"c{i}") for i in range(20)])])
    places = [[item.id for item in order_of(sheet, f"rater {n}")].index("0") for n in range(400)]
    assert abs(sum(places) / 400 - 9.5) < 1.5


def test_a_conversation_stays_together_in_its_order(write):
    path = write("a.jsonl", [row(f"{c}-{t}", conversation=f"c{c}", turn=t) for t in (3, 1, 2, 10) for c in range(8)])
    shown = [(item.conversation, item.turn) for item in order_of(read_sheets([path]), "민수")]
    assert [turn for _, turn in shown] == [1, 2, 3, 10] * 8
    names = [name for name, _ in shown[::4]]
    assert all(len({name for name, _ in shown[i : i + 4]}) == 1 for i in range(0, 32, 4)) and names != sorted(names)


def test_a_key_does_not_tell_the_id():
    assert "meena" not in Item("meena-1", "meena", "c", ("Hi!",), "x").key
    assert len({Item(str(i), "a", "c", ("Hi!",), "x").key for i in range(1000)}) == 1000
