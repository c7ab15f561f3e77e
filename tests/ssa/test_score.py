"""The whole score of a small sheet by hand, comparisons, perplexity, and what is said of automatic raters."""

import json

import numpy as np
import pytest
from scipy import stats

from gyebo.ssa.report import label, lines_of
from gyebo.ssa.score import score
from tests.refusals import option_error
from tests.ssa.conftest import row, vote

# Raters A, B, C about a1, a2, a3 of bot a and b1, b2 of bot b; b3 is rated by nobody.
#       sensible  specific    majority: sensible, specific
# a1    y y y     y y n       y y
# a2    y y n     y n -       y n
# a3    n y .     - y .       tie: n n
# b1    y n n     y - -       n n
# b2    y y y     n y ?       y, tie: n (C said nothing of the second)
SHEET = [
    *(row(f"{bot}{n}", bot=bot, conversation=f"c{n}", context=[f"Hi {n}!"]) for bot in "ab" for n in (1, 2, 3)),
]
VOTES = [
    *(vote("a1", rater, True, specific) for rater, specific in zip("ABC", (True, True, False))),
    *(vote("a2", *said) for said in (("A", True, True), ("B", True, False), ("C", False, None))),
    *(vote("a3", *said) for said in (("A", False, None), ("B", True, True))),
    *(vote("b1", *said) for said in (("A", True, True), ("B", False, None), ("C", False, None))),
    *(vote("b2", *said) for said in (("A", True, False), ("B", True, True), ("C", True, None))),
]


@pytest.fixture
def sheet(write):
    write("s.ratings.jsonl", VOTES)
    return write("s.jsonl", SHEET)


def test_a_score_by_hand(sheet):
    found = score([sheet])
    assert (found.kind, found.responses, found.raters, found.automatic) == ("static", 6, {"A": 5, "B": 5, "C": 4}, {})
    assert found.ratings_per_response == {3: 4, 2: 1, 0: 1}
    assert found.unknown_specific == 1 and found.ties == {"sensible": 1, "specific": 2}
    first, second = found.bots
    assert (first.bot, first.responses, first.contexts, first.unrated) == ("a", 3, 3, 0)
    assert [first.sensibleness.value, first.specificity.value, first.ssa.value] == pytest.approx([2 / 3, 1 / 3, 1 / 2])
    assert (second.responses, second.contexts, second.unrated) == (3, 3, 1)
    assert [second.sensibleness.value, second.specificity.value, second.ssa.value] == pytest.approx([1 / 2, 0, 1 / 4])
    assert found.agreement["sensible"].alpha_items == 5 and found.agreement["sensible"].kappa_items == 4
    assert json.loads(json.dumps(found.as_dict()))["bots"][0]["ssa"]["value"] == pytest.approx(0.5)


def test_bots_are_compared_over_the_contexts_that_both_answer(write):
    shared = [row(f"{bot}{n}", bot=bot, conversation=f"c{n}", context=[f"Hi {n}!"]) for bot in "ab" for n in range(4)]
    alone = [row("a9", bot="a", conversation="c9"), row("b8", bot="b", conversation="c8")]
    path = write("s.jsonl", [*shared, *alone])
    said = {"a0": 1, "a1": 1, "a2": 1, "a3": 0, "a9": 0, "b0": 1, "b1": 0, "b2": 0, "b3": 0, "b8": 1}
    write("s.ratings.jsonl", [vote(item, rater, bool(yes), bool(yes) or None) for item, yes in said.items() for rater in "AB"])
    found = score([path], against="b").differences
    assert [(d.bot, d.against, d.paired, d.contexts) for d in found] == [("a", "b", True, 4)]
    assert found[0].ssa.value == pytest.approx(3 / 4 - 1 / 4)  # without a9 and b8
    turned = score([path]).differences[0]
    assert (turned.bot, turned.against, turned.ssa.value) == ("b", "a", pytest.approx(-0.5))


def test_conversations_of_two_bots_are_never_paired(write):
    turns = [row(f"{bot}{c}{t}", bot=bot, conversation=f"c{c}", turn=t) for bot in "ab" for c in (1, 2) for t in (1, 2, 3)]
    path = write("s.jsonl", turns)
    votes = [vote(values["id"], rater, values["bot"] == "a", True) for values in turns for rater in "ABC"]
    write("s.ratings.jsonl", [{**v, "specific": True if v["sensible"] else None} for v in votes])
    found = score([path])
    assert found.kind == "interactive" and [(bot.responses, bot.contexts) for bot in found.bots] == [(6, 2), (6, 2)]
    assert not found.differences[0].paired and found.differences[0].ssa.value == -1
    assert "unpaired" in "\n".join(lines_of(found)) and "conversations" in "\n".join(lines_of(found))


def test_too_few_raters_are_said(sheet, write):
    assert any("fewer than 5 raters" in line for line in lines_of(score([sheet])))
    more = write("more.jsonl", [vote("a1", name, True, True) for name in "DE"])
    assert not any("fewer than" in line for line in lines_of(score([sheet], [more])))
    alone = write("one.jsonl", [row("x")])
    write("one.ratings.jsonl", [vote("x", "A", True, True)])
    assert any("one rater: the intervals are about contexts only" in line for line in lines_of(score([alone])))


def test_several_sheets_are_one(sheet, write, tmp_path):
    halves = [write(f"{bot}.jsonl", [values for values in SHEET if values["bot"] == bot]) for bot in "ab"]
    for bot in "ab":
        write(f"{bot}.ratings.jsonl", [values for values in VOTES if values["item"][0] == bot])
    assert score(halves) == score([sheet])


def test_ratings_of_other_files_are_added(sheet, write):
    more = write("more.jsonl", [vote("b3", "D", True, True)])
    found = score([sheet], [more])
    assert found.raters["D"] == 1 and found.bots[1].unrated == 0


def test_an_unknown_bot_to_compare_with(sheet):
    with option_error("against"):
        score([sheet], against="c")


# ---- automatic raters


def test_automatic_raters_are_named_wherever_they_take_part(sheet, write):
    assert label(score([sheet])) == "human" and "automatic" not in "\n".join(lines_of(score([sheet])))
    rule = {"kind": "automatic", "description": "longer than ten letters"}
    program = write("p.jsonl", [vote(values["id"], "rule", True, True, **rule) for values in SHEET])
    with option_error("raters"):
        score([sheet], [program])
    alone = score([sheet], [program], raters="automatic")
    assert alone.raters == {} and alone.automatic == {"rule": "longer than ten letters"}
    text = "\n".join(lines_of(alone))
    assert text.startswith("Raters: automatic, not human") and "rule (automatic): longer than ten letters" in text
    assert "SSA (automatic, not human)" in text
    both = score([sheet], [program], raters="both")
    assert "mixed, not human" in lines_of(both)[0] and set(both.raters) == {"A", "B", "C"}
    assert score([sheet], [program], raters="human") == score([sheet])


# ---- perplexity


@pytest.fixture
def five(write):
    """Five bots, of whose ten responses 9, 7, 6, 3 and 2 are sensible and specific by one rater."""
    yes = dict(zip("abcde", (9, 7, 6, 3, 2)))
    rows = [row(f"{bot}{n}", bot=bot, conversation=f"c{n}") for bot in yes for n in range(10)]
    path = write("s.jsonl", rows)
    said = [(values["id"], int(values["id"][1:]) < yes[values["bot"]]) for values in rows]
    write("s.ratings.jsonl", [vote(item, "A", sensible, True if sensible else None) for item, sensible in said])
    return path


def table(tmp_path, text):
    path = tmp_path / "perplexity.csv"
    path.write_text("bot,perplexity\n" + text, encoding="utf-8")
    return path


def test_correlation_with_perplexity(five, tmp_path):
    values = {"a": 10.2, "b": 11.5, "c": 13.0, "d": 17.0}
    path = table(tmp_path, "".join(f"{bot},{value}\n" for bot, value in values.items()))
    found = score([five], perplexity=path).correlation
    expected = stats.pearsonr(list(values.values()), [0.9, 0.7, 0.6, 0.3])
    assert found.pearson == pytest.approx(expected.statistic) and found.r_squared == pytest.approx(expected.statistic**2)
    assert found.bots == 4 and found.without == ("e",)
    assert "of 4 bots" in lines_of(score([five], perplexity=path))[-1] and np.sign(found.pearson) == -1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,1\nb,2\n", "a correlation needs 3 bots that are rated and have a perplexity, but has 2"),
        ("a,1\nb,2\nz,3\n", "row 4: there is no bot 'z' in the sheet; there is: a, b, c, d, e"),
        ("a,1\na,2\nb,3\n", "row 3: bot 'a' stands in it twice"),
        ("a,1\nb,\nc,3\n", "row 3: perplexity must be a number above 0, but is ''"),
        ("a,1\nb,-2\nc,3\n", "row 3: perplexity must be a number above 0, but is '-2'"),
        ("a,1\nb,inf\nc,3\n", "row 3: perplexity must be"),
        ("a,2\nb,2\nc,2\n", "all perplexities are equal"),
    ],
)
def test_what_is_wrong_in_perplexities(five, tmp_path, text, told):
    path = table(tmp_path, text)
    with pytest.raises(ValueError) as caught:
        score([five], perplexity=path)
    assert str(path) in str(caught.value) and told in str(caught.value)
