"""A budget in minutes is kept: corrected once by the first tenth of a run, the same for all seeds, whatever is killed when."""

import shutil

import pytest

from gyebo.compare import pretraining, spending
from gyebo.compare.conclusion import conclusion
from gyebo.compare.run import compare

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.mark.parametrize(("slower", "steps"), [(1.0, 200), (1.04, 200), (0.97, 200), (1.6, 125), (0.8, 250)])
def test_the_first_tenth_corrects_the_steps_of_all_seeds(tmp_path, jobs, recipe, slower, steps):
    """GPT is planned with 200 steps of half a second."""
    jobs.slower = {"gpt": slower}
    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    row = next(row for row in result.rows if row.name == "gpt-tiny")
    assert {run.steps for run in row.results.values()} == {steps}
    pace = result.plan["gpt-tiny"].pace
    assert (pace.steps, pace.seconds_per_step) == (steps, pytest.approx(0.5 * slower))
    assert result.plan["gpt-tiny"].steps == 200 and result.plan["gpt2-tiny"].pace.steps == 300
    assert [event[3] for event in jobs.events if event[:3] == ("train", "gpt", 0)] == [steps]  # "train": to the end


@pytest.mark.parametrize(
    "instant", ["before it is kept", "after it is kept", "before the run goes", "while the run goes", "in the new run"]
)
def test_a_kill_around_the_correction_leads_to_the_same_steps(tmp_path, jobs, recipe, killed, monkeypatch, instant):
    jobs.slower = {"gpt": 2.0}
    names = {"before the run goes": "_drop_other", "while the run goes": "rmtree"}
    name = names.get(instant, "_keep")
    module = shutil if name == "rmtree" else pretraining  # a run that goes is renamed first
    real = getattr(module, name)

    def kill(*arguments, **rest):
        if instant == "while the run goes" and not arguments[0].exists():
            return
        monkeypatch.setattr(module, name, real)
        if instant == "after it is kept":
            real(*arguments)
        raise killed

    if instant == "in the new run":
        jobs.kill_at = 3
    else:
        monkeypatch.setattr(module, name, kill)
    with pytest.raises(killed):
        compare(recipe(), tmp_path / "out", **jobs.functions)
    jobs.slower = {}  # the machine is quick again: what was decided stays
    if instant == "before it is kept":
        jobs.slower = {"gpt": 2.0}
    result = compare(recipe(), tmp_path / "out", resume=True, **jobs.functions)
    row = next(row for row in result.rows if row.name == "gpt-tiny")
    assert {run.steps for run in row.results.values()} == {100}
    assert not list((tmp_path / "out" / "runs" / "gpt-tiny").glob(".*"))


def test_the_correction_leaves_what_the_search_took(tmp_path, jobs, recipe):
    """200 steps were planned, and 2 x 30 went into trials; at half the speed the minute pays for 100, which leaves 40."""
    jobs.slower = {"gpt": 2.0}
    asked = recipe(sweep={"lr": [1e-3, 3e-3], "extend": 0})
    result = compare(asked, tmp_path / "out", **jobs.functions)
    row = next(row for row in result.rows if row.name == "gpt-tiny")
    assert row.sweep.steps == 30 and {run.steps for run in row.results.values()} == {40}


def test_a_first_run_that_fails_leaves_the_planned_steps(tmp_path, jobs, recipe):
    """Else a later seed, or the same one tried again, would be given others."""
    jobs.failing = {("gpt", 0)}

    def pretrain(options, out, *, watch=None, **keywords):
        return jobs.pretrain(options, out, **keywords)

    compare(recipe(), tmp_path / "out", **jobs.but(pretrain=pretrain))
    jobs.failing, jobs.slower = set(), {"gpt": 2.0}
    result = compare(recipe(), tmp_path / "out", resume=True, **jobs.functions)
    row = next(row for row in result.rows if row.name == "gpt-tiny")
    assert {run.steps for run in row.results.values()} == {200}


def test_a_budget_that_was_not_kept_is_said(tmp_path, jobs, recipe):
    """One minute each; 200 steps of 0.5 s are 1.67, and 300 are 2.5."""
    result = compare(recipe(), tmp_path / "out", **jobs.functions)
    spent = {row.name: spending.spent(result, row) for row in result.rows}
    assert spent == {"gpt-tiny": pytest.approx(200 * 0.5 / 60), "gpt2-tiny": pytest.approx(300 * 0.5 / 60)}
    said = spending.remarks(result)
    assert len(said) == 2 and "150% more minutes" in said[0] and said[0] in conclusion(result)[1]
    assert "| Budgeted / spent minutes | 1 / 2.50 (+150%) | 1 / 1.67 (+67%) |" in (tmp_path / "out" / "results.md").read_text(
        encoding="utf-8"
    )
    fitting = compare(recipe(budget={"steps": 200}), tmp_path / "steps", **jobs.functions)
    assert spending.remarks(fitting) == [] and fitting.plan["gpt-tiny"].pace is None
