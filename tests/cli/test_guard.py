"""`gyebo guard` and `gyebo generate --guard`: from labelled texts to answers that are checked, and their errors."""

import json

import pytest

GOOD = ["나무 정말 보았다.", "바다 다시 찾았다.", "하늘 아주 만났다.", "친구 함께 들었다.", "노래 정말 좋아한다."]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "labelled.tsv"
    rows = [(f"{text[:-1]} 바보", "hate") for text in GOOD] + [(text, "none") for text in GOOD]
    path.write_text("comment\tkind\n" + "".join(f"{text}\t{label}\n" for text, label in rows * 2), encoding="utf-8")
    return path


COLUMNS = ["--text", "comment", "--label", "kind", "--positive", "hate"]


@pytest.fixture
def guard(cli, data, tmp_path):
    """A guard with a word list that was learned."""
    found = cli("guard", "learn", data, *COLUMNS, "-o", tmp_path / "words.txt")
    assert (found.code, found.out) == (0, f"{tmp_path / 'words.txt'}: 1 words\n"), found.err
    found = cli(
        "guard", "fit", data, *COLUMNS, "--words", tmp_path / "words.txt", "--neutral", "네.", "-o", tmp_path / "guard.toml"
    )
    assert found.code == 0, found.err
    assert found.out.splitlines() == [
        "innocent: 0 of 10 blocked (0.0%)",
        "unwanted: 10 of 10 blocked (100.0%)",
        f"The guard is in {tmp_path / 'guard.toml'}",
    ]
    return tmp_path / "guard.toml"


def test_figures_as_a_table_and_as_json(cli, guard, data, tmp_path):
    (tmp_path / "terms.txt").write_text("친구\n", encoding="utf-8")
    words = ["guard", "score", guard, data, *COLUMNS, "--terms", tmp_path / "terms.txt"]
    lines = cli(*words).out.splitlines()
    assert lines[0].startswith("thresholds for 5.0% false alarms") and len(lines) == 5
    assert (
        lines[3].startswith("any check") and "100.0% (72.2% to 100.0%) of 10" in lines[3] and "0.0% (0.0% to 27.8%)" in lines[3]
    )
    found = json.loads(cli(*words, "--json").out)
    assert [row["check"] for row in found["checks"]] == ["words", "any check"] and found["terms"][0]["of"] == 2


def test_generate_answers_under_a_guard(cli, guard, trained, tmp_path):
    plain = ["generate", trained, "--prompt", "나무", "--max-new-tokens", "20", "--seed", "3", "--temperature", "0.3"]
    shown = cli(*plain).out
    assert cli(*plain, "--guard", guard).out == shown
    assert cli(*plain, "--guard", guard, "--guard-mode", "off").out == shown
    row = json.loads(cli(*plain, "--guard", guard, "--json").out)
    assert row["prompt"] + row["text"] + "\n" == shown and set(row["guard"]) == {"shown"}
    assert len((tmp_path / "guard.log.jsonl").read_text(encoding="utf-8").splitlines()) == 2 * row["guard"]["shown"]
    syllables = sorted(char for char in set(row["text"]) if "가" <= char <= "힣" and char != "네")
    (tmp_path / "words.txt").write_text("\n".join(syllables), encoding="utf-8")
    strict = cli(*plain, "--guard", guard, "--policy", "default")
    assert syllables and strict.code == 0, strict.err
    assert not set(syllables) & set(strict.out.removeprefix("나무").replace("네.", ""))


def test_errors(refused, guard, data, trained, tmp_path):
    fit = ["guard", "fit", data, *COLUMNS, "-o", tmp_path / "other.toml"]
    assert "exists already" in refused("guard", "fit", data, *COLUMNS, "--words", tmp_path / "words.txt", "-o", guard)
    assert "a guard needs a check: give --words, --classifier, or --encoder with --unwanted" in refused(*fit)
    assert "--classifier runs/x: must be DIR:CLASS" in refused(*fit, "--classifier", "runs/x")
    assert "--rate must be less than 1, but is 2.0" in refused(*fit, "--words", tmp_path / "words.txt", "--rate", "2")
    assert "--positive hat: " in refused("guard", "score", guard, data, *COLUMNS[:4], "--positive", "hat")
    generate = ["generate", trained, "--prompt", "가"]
    assert "--guard-mode off has no effect without --guard" in refused(*generate, "--guard-mode", "off")
    assert "--policy default has no effect without --guard" in refused(*generate, "--policy", "default")
    assert "--guard-mode must be one of off, warn, block, but is 'on'" in refused(
        *generate, "--guard", guard, "--guard-mode", "on"
    )
    assert "no such file" in refused(*generate, "--guard", tmp_path / "none.toml")
    assert not (tmp_path / "other.toml").exists()
