"""What the commands print: the verdict, where the report is, what to type next; and the demo from end to end."""

import io

import pytest
from rich.console import Console

from gyebo.compare import demo as demo_module
from gyebo.compare import recipe, run


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def faked(monkeypatch, jobs):
    """`compare` with fake jobs in the modules of the commands."""

    real = run.compare

    def compare(*arguments, **keywords):
        return real(*arguments, **keywords, **jobs.functions)

    monkeypatch.setattr(run, "compare", compare)
    monkeypatch.setattr(demo_module, "compare", compare)
    return jobs


def test_the_answer_is_printed_and_a_failure_is_told(tmp_path, faked, recipe, console, monkeypatch):
    from gyebo.compare.recipe import dump

    (tmp_path / "r.toml").write_text(dump(recipe()), encoding="utf-8")
    keywords = {"console": console, "corpus": ["my.txt"], "settings": ["seeds=[0, 1]"]}
    assert run.compare_files(tmp_path / "r.toml", tmp_path / "out", **keywords).ok
    shown = console.file.getvalue()
    assert "gpt2-tiny is best on this text, over 2 seeds, on these held-out documents alone." in shown
    assert f"Report: {tmp_path}/out/report.html" in shown
    assert f"gyebo generate {tmp_path}/out/runs/gpt2-tiny/seed-0" in shown
    assert recipe_of(tmp_path / "out").data.corpus == ["my.txt"]
    faked.failing = {("gpt", 0)}
    assert not run.compare_files(tmp_path / "r.toml", tmp_path / "out", overwrite=True, **keywords).ok


def recipe_of(out):
    return recipe.load(out / "recipe.toml")


def test_tasks_of_the_command_are_compared(tmp_path, faked, recipe, console):
    from gyebo.compare.recipe import dump

    (tmp_path / "r.toml").write_text(dump(recipe()), encoding="utf-8")
    assert run.compare_files(tmp_path / "r.toml", tmp_path / "out", tasks=["world-entailment"], console=console)
    assert [task.name for task in recipe_of(tmp_path / "out").tasks] == ["world-entailment"]
    assert "gyebo predict" in console.file.getvalue()


def test_the_demo_shows_what_the_leader_writes_and_what_to_type_next(tmp_path, faked, console):
    faked.samples = ["나는 [red]", "two", "three"]
    faked.task_scores["world-sentiment"]["gpt2"] = {0: 0.99, 1: 0.98}
    result = demo_module.demo(tmp_path / "demo", console=console)
    assert {row.candidate.family for row in result.rows} >= {"lstm", "gpt2", "bert", "t5"}
    assert result.rows[0].candidate.family == "gpt2"
    shown = console.file.getvalue()
    assert "Generated samples: gpt2" in shown
    assert "나는 [red]\ntwo\n" in shown  # two of them, not read as markup
    assert "three" not in shown
    assert "gyebo compare" in shown.split("To run this on your own text")[1]


def test_the_demo_shows_what_another_kind_of_leader_does(tmp_path, faked, console):
    faked.task_scores["world-sentiment"]["t5"] = {0: 0.99, 1: 0.98}
    result = demo_module.demo(tmp_path / "demo", console=console)
    assert result.rows[0].candidate.family == "t5"
    assert "Spans filled in: t5" in console.file.getvalue()


def test_a_demo_that_failed_says_why(tmp_path, faked, console):
    faked.failing = {("gpt2", 1)}
    with pytest.raises(RuntimeError, match=r"the demo did not finish: .*the loss is not finite"):
        demo_module.demo(tmp_path / "demo", console=console)


def test_shipped_recipes_are_found_and_a_missing_one_is_named():
    assert recipe.load(demo_module.shipped("demo.toml")).candidates
    with pytest.raises(FileNotFoundError, match="no such recipe"):
        demo_module.shipped("none.toml")
