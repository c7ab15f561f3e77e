"""`gyebo inspect corruption`: plain text in a pipe, JSON, one line for what is wrong, and the example of the docs."""

import json
import re
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from gyebo.jobs.inspection.corruption import inspect_corruption
from gyebo.jobs.inspection.shown import lines_of

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
