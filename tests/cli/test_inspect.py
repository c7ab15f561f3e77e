"""`gyebo inspect corruption`: plain text in a pipe, JSON, one line for what is wrong, and the example of the docs."""

import json
import re
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from gyebo.jobs.inspection.corruption import inspect_corruption
from gyebo.jobs.inspection.shown import lines_of
from tests.jobs.drawing_models import saved

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def test_the_example_of_the_docs_is_what_the_command_prints(cli, monkeypatch):
    text = (DOCS / "training.md").read_text(encoding="utf-8")
    ((command, shown),) = re.findall(r"```\ngyebo (inspect .*)\n```\n\n```text\n(.*?)```\n", text, re.DOTALL)
    monkeypatch.setenv("COLUMNS", "100")
    found = cli(*shlex.split(command))
    assert found.code == 0 and "\x1b" not in found.out
    assert found.out == shown
    assert found.err == "no tokenizer given: training a byte-level BPE with at most 16,000 ids on these texts\n"


def test_json_holds_the_ids(cli, corpus, tokenizer_folder):
    words = ["inspect", "corruption", "bert", corpus, "--tokenizer", tokenizer_folder, "--set", "objective.rate=0.5"]
    found = json.loads(cli(*words, "--examples", "3", "--seed", "2", "--json").out)
    same = inspect_corruption(
        "bert", [str(corpus)], tokenizer=str(tokenizer_folder), objective={"rate": 0.5}, examples=3, seed=2
    )
    assert found == json.loads(json.dumps(same.as_dict())) and len(found["examples"]) == 3
    fields = found["examples"][0]["streams"]["tokens"]["fields"]
    assert fields["labels"]["count"] == sum(value is not None for value in fields["labels"]["values"]) > 0


def test_masks_are_seen_in_a_terminal(corpus, tokenizer_folder):
    found = inspect_corruption("bert", [str(corpus)], tokenizer=str(tokenizer_folder), objective={"rate": 0.5}, examples=1)
    console = Console(force_terminal=True, color_system="standard", width=100, soft_wrap=True)
    with console.capture() as drawn:
        for line in lines_of(found, 100):
            console.print(line)
    assert re.search(r"\x1b\[[\d;]*33[\d;]*m\[MASK\]", drawn.get())  # yellow
    assert re.sub(r"\x1b\[[\d;]*m", "", drawn.get()).splitlines() == [line.plain for line in lines_of(found, 100)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "optim.lr=1"], "--set optim.lr has no effect on what an example looks like: leave it out"),
        (["--set", "objective.rate=2"], "--set objective.rate must be less than 1"),
        (["--set", "data.order=lanes"], "--set data.order has no effect on what an example looks like"),
        (["--set", "objective"], "--set needs section.field=value"),
        (["--vocab-size", "300"], "--vocab-size has no effect with --tokenizer"),
        (["--text-field", "body"], "--text-field body has no effect on"),
        (["--context", "3"], "--context 3 leaves no room for text"),
    ],
)
def test_what_is_wrong_is_named_as_it_is_typed(words, message, refused, corpus, tokenizer_folder):
    assert message in refused("inspect", "corruption", "bert", corpus, "--tokenizer", tokenizer_folder, *words)


# ---- neurons


@pytest.fixture(scope="module")
def judge(tokenizer_folder, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("models"), tokenizer_folder).judge


NEURONS = ["--each", "4", "--permutations", "30", "--top", "2", "--draws", "3"]


def test_neurons_are_told_in_the_terminal_and_as_json(cli, judge, tmp_path):
    found = cli("inspect", "neurons", judge, "-o", tmp_path / "a.html", *NEURONS)
    assert found.code == 0 and "\x1b" not in found.out, found.err
    lines = found.out.splitlines()
    assert re.match(r"\d+ of 12 units answer to a concept in all ways, for \d+ of 55 concepts \(level 0.05, 30 perm", lines[0])
    assert lines[2].split() == ["group", "concepts", "pairs", "found", "by", "coincidence", "p"]
    assert [line.split()[:2] for line in lines[3:5]] == [["thing", "33"], ["colour", "11"]]
    assert lines[-1] == f"the page is {tmp_path / 'a.html'}" and "projection" in found.out
    told = json.loads(cli("inspect", "neurons", judge, "-o", tmp_path / "b.html", *NEURONS, "--json").out)
    assert told["layers"]["projection"]["units"] == 12 and len(told["concepts"]) == 2 and told["stimuli"] == 55 * 3 * 4
    first, second = ((tmp_path / name).read_text(encoding="utf-8") for name in ("a.html", "b.html"))
    assert first == second


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "page.pdf"], "-o page.pdf: the page is HTML"),
        (["-o", "page.html", "--probes", "own.csv", "--each", "9"], "--each 9 has no effect with --probes"),
        (["-o", "page.html", "--each", "2"], "--each 2: a concept needs 4 stimuli"),
        (["-o", "page.html", "--permutations", "9"], "--permutations 9: the least p is 0.1, above the level 0.05"),
        (["-o", "nowhere/page.html"], "nowhere/page.html: there is no folder nowhere"),
        (["-o", "page.html", "--probes", "own.csv"], "own.csv: no such file"),
        (["-o", "page.html", "--encoding", "cp949"], "--encoding cp949 has no effect without --probes"),
    ],
)
def test_what_is_wrong_with_a_search_for_neurons_is_named(words, message, refused, judge):
    assert message in refused("inspect", "neurons", judge, *words)
