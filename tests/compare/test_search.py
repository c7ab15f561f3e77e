"""The learning-rate search: what it costs, when it goes beyond its grid, and that trials are beginnings of measured runs."""

import pytest

from gyebo.compare import spending
from gyebo.compare.conclusion import conclusion
from gyebo.compare.run import compare
from gyebo.config import toml
from gyebo.training.schedule import learning_rate

pytestmark = pytest.mark.usefixtures("no_pictures")


def trials_of(jobs):
    """The trained (family, seed, steps, rate) of runs with a rate."""
    return [(event[1], event[2], event[3], event[5]) for event in jobs.events if event[0] == "train"]


def test_a_search_is_part_of_the_budget(tmp_path, jobs, recipe):
    """400 steps: each of three trials a tenth of them, the measured runs what is left."""
    result = compare(
        recipe(sweep={"lr": [3e-4, 1e-3, 3e-3], "share": 0.3}, budget={"steps": 400}), tmp_path / "out", **jobs.functions
    )
    for row in result.rows:
        assert [trial.lr for trial in row.sweep.trials] == [3e-4, 1e-3, 3e-3] and row.sweep.steps == 40
        assert {run.steps for run in row.results.values()} == {400 - 3 * 40}
        assert spending.spent(result, row) == 400
    assert spending.remarks(result) == []


def test_a_grid_is_extended_while_the_best_rate_lies_at_its_edge(tmp_path, jobs, recipe):
    """The fake's best rate is 1e-3, below the grid; the measured runs pay for each further trial."""
    result = compare(
        recipe(sweep={"lr": [9e-3, 27e-3, 3e-3], "share": 0.3}, budget={"steps": 400}), tmp_path / "out", **jobs.functions
    )
    for row in result.rows:
        assert [trial.lr for trial in row.sweep.trials] == [9e-3, 27e-3, 3e-3, 1e-3, 3.33e-4]
        assert row.sweep.lr == 1e-3 and not row.sweep.edge
        assert {run.steps for run in row.results.values()} == {400 - 5 * 40}


@pytest.mark.parametrize("extend", [0, 1, 2])
def test_an_edge_that_remains_is_said(tmp_path, jobs, recipe, extend):
    asked = recipe(sweep={"lr": [1e-5, 2e-5], "extend": extend}, budget={"steps": 400})
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert [[trial.lr for trial in row.sweep.trials] for row in result.rows] == [[1e-5, 2e-5, 4e-5, 8e-5][: 2 + extend]] * 2
    assert all(row.sweep.edge for row in result.rows)
    said = spending.remarks(result)
    assert len(said) == 2 and all(sentence in conclusion(result)[1] for sentence in said)
    assert (tmp_path / "out" / "results.md").read_text(encoding="utf-8").count("at the edge") == 4  # and twice in the table


def test_a_trial_is_the_beginning_of_a_measured_run(tmp_path, jobs, recipe):
    """Up to its cool-down, whatever was added to the grid: the same rate at every step."""
    seen = []

    def pretrain(options, out, **keywords):
        seen.append((options.budget.steps, options.optim))
        return jobs.pretrain(options, out, **keywords)

    asked = recipe(sweep={"lr": [3e-3, 1e-2]}, budget={"steps": 400}, seeds=[0])
    compare(asked, tmp_path / "out", **jobs.but(pretrain=pretrain))
    chosen = [(steps, optim) for steps, optim in seen if optim.lr == seen[-1][1].lr]
    (short, optim), (long, other) = chosen[0], chosen[-1]
    assert short == 60 and long == 400 - 60 * 4 and optim == other and optim.schedule == "wsd"
    begins = optim.warmup + 0.8 * (short - optim.warmup)
    rates = [[rate_at(step, steps=steps, optim=optim) for step in range(1, int(begins) + 1)] for steps in (short, long)]
    assert rates[0] == rates[1] and rates[0][-1] == optim.lr


def rate_at(step, *, steps, optim):
    named = {"warmup": optim.warmup, "schedule": optim.schedule, "final": optim.final_lr}
    return learning_rate(step, peak=optim.lr, steps=steps, **named)


def test_a_schedule_that_is_named_is_kept(recipe):
    assert recipe().optim.schedule == "cosine"
    assert recipe(sweep={"lr": [1e-3, 3e-3]}, optim={"clip": 2.0}).optim.schedule == "wsd"
    assert recipe(sweep={"lr": [1e-3, 3e-3]}, optim={"schedule": "cosine"}).optim.schedule == "cosine"


def test_a_comparison_from_before_searches_were_counted_goes_on_as_it_began(tmp_path, jobs, recipe, killed):
    """Its recipe.toml has neither `counted` nor `extend`: a trial is `share` of a run, beside it, by the recipe's schedule."""
    given = {"lr": [2e-3, 4e-3], "share": 0.5}
    out = tmp_path / "out"
    jobs.kill_at = 4  # the first trial of the second candidate
    old = recipe(
        sweep=given | {"share": 1.0, "counted": False, "extend": 0}, budget={"steps": 100}, optim={"schedule": "cosine"}
    )
    with pytest.raises(killed):
        compare(old, out, **jobs.functions)
    stored = toml.read(out / "recipe.toml")
    stored["sweep"] = given
    (out / "recipe.toml").write_text(toml.dump(stored))
    changed = recipe(sweep=given | {"share": 0.3}, budget={"steps": 100})
    with pytest.raises(ValueError, match="another recipe: sweep.share"):
        compare(changed, out, resume=True, **jobs.functions)
    result = compare(recipe(sweep=given, budget={"steps": 100}), out, resume=True, **jobs.functions)
    assert {(steps, rate) for _, seed, steps, rate in trials_of(jobs) if seed == 3} == {(50, 2e-3), (50, 4e-3)}
    assert {run.steps for row in result.rows for run in row.results.values()} == {100}
    assert result.recipe.optim.schedule == "cosine" and not result.recipe.sweep.counted
    again = compare(recipe(sweep=given, budget={"steps": 100}), out, resume=True, **jobs.functions)
    assert again.recipe == result.recipe


def test_trials_that_end_within_their_warmup_are_refused(tmp_path, jobs, recipe):
    """As a share it is known before; a number of steps only once the budget became steps."""
    four = {"lr": [1e-3, 2e-3, 4e-3, 8e-3], "share": 0.3}
    with pytest.raises(ValueError, match=r"a trial of \[sweep\] has 7\.5% of the budget, of which 7\.0% are warm-up"):
        compare(recipe(sweep=four), tmp_path / "out", **jobs.functions)
    recipe(sweep=four, optim={"schedule": "cosine"}).check_search()
    asked = recipe(sweep={"lr": [1e-3, 3e-3]}, optim={"warmup": 60}, budget={"steps": 400})
    failures = [row.failures["sweep"] for row in compare(asked, tmp_path / "out", **jobs.functions).rows]
    assert len(failures) == 2 and all("60 steps, but a warm-up of 60" in reason for reason in failures)


def test_a_search_that_could_take_the_whole_budget_is_refused(tmp_path, jobs, recipe):
    with pytest.raises(ValueError, match="is 125% of the budget: lower sweep.share or sweep.extend"):
        compare(recipe(sweep={"lr": [1e-3, 2e-3], "share": 0.5}), tmp_path / "out", **jobs.functions)
    assert not (tmp_path / "out").exists()
    recipe(sweep={"lr": [1e-3, 2e-3], "share": 0.5, "extend": 1}).check_search()
