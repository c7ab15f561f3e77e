"""The plan of a comparison that is not begun."""

import json
import sys

import pytest
from rich.console import Console

from gyebo.cli.app import main
from gyebo.compare import dry_run as planning
from gyebo.compare import run
from gyebo.compare.dry_run import dry_run
from gyebo.compare.recipe import dump

SECONDS = {"gpt2": 3.0, "bert": 6.0, "roberta": 0.6, "gpt": 0.6}  # of a step


@pytest.fixture
def measure(jobs):
    """The fake's plan of 20 steps of 1,000 tokens, with seconds by family."""
    from dataclasses import replace

    def measured(options, out, console=None):
        return [replace(jobs.plan(one), steps=20, seconds_per_step=SECONDS[one.family]) for one in options]

    return measured


def test_a_dry_run_adds_up_what_each_candidate_takes_and_writes_nothing(tmp_path, jobs, task_recipe, measure, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = dry_run(task_recipe(), Console(quiet=True), measure=measure, **jobs.functions)
    assert [(one.family, one.steps, one.tokens, one.minutes) for one in plan.candidates] == [
        ("gpt2", 20, 20_000, 1.0),
        ("bert", 20, 20_000, 2.0),
        ("roberta", 20, 20_000, pytest.approx(0.2)),
    ]
    assert plan.runs == 3 and plan.minutes == pytest.approx(3 * 3.2)
    assert list(plan.tasks) == ["world-sentiment"] and plan.tasks["world-sentiment"].train > 0
    assert not jobs.trained() and not jobs.tuned() and not list(tmp_path.iterdir())


def test_the_command_plans_and_compares_in_json(tmp_path, jobs, recipe, measure, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    real = run.compare
    monkeypatch.setattr(run, "compare", lambda *given, **named: real(*given, **named, **jobs.functions))
    monkeypatch.setattr(planning, "real_jobs", lambda: jobs.functions["jobs"])
    monkeypatch.setattr(planning, "_measured", measure)
    (tmp_path / "r.toml").write_text(dump(recipe()), encoding="utf-8")

    def typed(*words):
        monkeypatch.setattr(sys, "argv", ["gyebo", "compare", "r.toml", *words])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            assert end.code == 2
        return capsys.readouterr()

    plan = json.loads(typed("--dry-run", "--json").out)
    assert plan["minutes"] == pytest.approx(3 * sum(one["minutes"] for one in plan["candidates"]))
    assert {"name", "parameters", "tokens", "minutes"} <= plan["candidates"][0].keys() and plan["tasks"] == {}
    shown = typed("--dry-run").out
    assert "1,234,567" in shown and "3 runs of each: about" in shown
    assert [path.name for path in tmp_path.iterdir()] == ["r.toml"]
    assert "--dry-run excludes --resume" in typed("--dry-run", "--resume").err
    assert "name the directory to write" in typed().err
    found = typed("-o", "out", "--json")
    assert json.loads(found.out) == json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert "is best on this text" in found.err
