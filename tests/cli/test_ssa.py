"""`gyebo ssa score` and `export`; `serve` is tested in `tests/serving/`."""

import json

import pytest

ROWS = [{"id": n, "bot": "ab"[n % 2], "conversation": f"c{n // 2}", "context": ["안녕!"], "response": "네"} for n in range(4)]
# bot a: sensible and specific twice; bot b: once sensible, never specific
VOTES = {0: (True, True), 1: (True, False), 2: (True, True), 3: (False, None)}


@pytest.fixture
def sheet(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def rated(sheet):
    votes = [
        {"item": item, "rater": rater, "sensible": said[0], "specific": said[1]}
        for rater in "AB"
        for item, said in VOTES.items()
    ]
    sheet.with_suffix(".ratings.jsonl").write_text("".join(json.dumps(vote) + "\n" for vote in votes), encoding="utf-8")
    return sheet


def test_score(cli, rated):
    found = json.loads(cli("ssa", "score", rated, "--json").out)
    assert {bot["bot"]: bot["ssa"]["value"] for bot in found["bots"]} == {"a": 1.0, "b": 0.25}
    shown = cli("ssa", "score", rated, "--against", "b", "--resamples", "50")
    assert "100.0 [100.0, 100.0]" in shown.out and "a minus b, 2 shared contexts" in shown.out and "SSA +75.0" in shown.out
    assert "Krippendorff's alpha 1.000" in shown.out


def test_export_is_read_again(cli, rated, tmp_path):
    out = tmp_path / "ratings.csv"
    assert cli("ssa", "export", rated, "-o", out).out == f"8 ratings in {out}\n"
    header, *rows = out.read_text(encoding="utf-8").splitlines()
    assert header == "item,bot,conversation,turn,rater,sensible,specific,kind,description"
    assert rows[0] == "0,a,c0,,A,true,true,human," and [f"{row[0]}{row.split(',')[4]}" for row in rows] == [
        f"{item}{rater}" for item in range(4) for rater in "AB"
    ]
    before = cli("ssa", "score", rated, "--json").out
    rated.with_suffix(".ratings.jsonl").unlink()
    assert cli("ssa", "score", rated, "--ratings", out, "--json").out == before


def test_files_that_a_spreadsheet_saved_in_cp949(cli, refused, rated, tmp_path):
    """A sheet as .csv, and ratings of another program; their log stays UTF-8."""
    expected = cli("ssa", "score", rated, "--json").out
    sheet, ratings = tmp_path / "sheet.csv", tmp_path / "ratings.csv"
    fields = "id,bot,conversation,context,response"
    lines = [f'{row["id"]},{row["bot"]},{row["conversation"]},"[""안녕!""]",{row["response"]}' for row in ROWS]
    sheet.write_text("\n".join([fields, *lines]), encoding="cp949")
    votes = [f"{item},김,{said[0]},{said[1]}" for item, said in VOTES.items()]
    ratings.write_text("\n".join(["item,rater,sensible,specific", *votes]).replace("None", ""), encoding="cp949")
    assert "--encoding cp949" in refused("ssa", "score", sheet, "--ratings", ratings)
    found = json.loads(cli("ssa", "score", sheet, "--ratings", ratings, "--encoding", "cp949", "--json").out)
    assert [bot["ssa"]["value"] for bot in found["bots"]] == [bot["ssa"]["value"] for bot in json.loads(expected)["bots"]]
    rated.with_suffix(".ratings.jsonl").rename(sheet.with_suffix(".ratings.jsonl"))  # that of the page stays UTF-8
    exported = cli("ssa", "export", sheet, "--encoding", "cp949", "-o", tmp_path / "exported.csv")
    assert exported.out.startswith("8 ratings in ")


def test_what_is_refused(refused, rated, sheet, tmp_path):
    assert "no such file" in refused("ssa", "score", tmp_path / "no.jsonl")
    assert "--against: there is no bot 'c'; there is: a, b" in refused("ssa", "score", rated, "--against", "c")
    assert "--raters must be one of human, automatic, both" in refused("ssa", "score", rated, "--raters", "all")
    program = tmp_path / "p.csv"
    program.write_text("item,rater,sensible,specific,kind,description\n0,rule,1,1,automatic,a rule\n", encoding="utf-8")
    line = refused("ssa", "score", rated, "--ratings", program)
    assert "2 human and 1 automatic raters: choose with --raters human, automatic or both" in line
    out = tmp_path / "o.csv"
    out.touch()
    assert f"{out} exists already: choose another name, or --overwrite it" in refused("ssa", "export", rated, "-o", out)
    assert "must end in .jsonl or .csv" in refused("ssa", "export", rated, "-o", tmp_path / "o.txt")
    rated.with_suffix(".ratings.jsonl").unlink()
    assert "no ratings yet: rate the sheet first (gyebo ssa serve)" in refused("ssa", "export", sheet, "-o", tmp_path / "n.csv")
    assert "no ratings: rate the sheet first (gyebo ssa serve)" in refused("ssa", "score", sheet)
