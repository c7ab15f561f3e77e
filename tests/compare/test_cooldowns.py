"""Score against budget: the branches of a run are the runs of smaller budgets, cost what is said, and stand in the report."""

import json

import pytest

from gyebo.compare import cooldowns
from gyebo.compare.plan import Branch
from gyebo.compare.run import compare
from gyebo.config.run import RunOptions
from gyebo.config.toml import check
from gyebo.training.schedule import learning_rate, stable_steps

SHARES = [0.25, 0.5]


@pytest.mark.parametrize(("warmup", "steps"), [(0, 1), (0, 7), (3, 35), (10, 100), (4, 5), (9, 9), (30, 10), (1, 999)])
def test_a_shorter_run_has_the_rates_of_a_longer_one_until_its_cooldown(warmup, steps):
    def rate(step, steps):
        return learning_rate(step, peak=1.0, steps=steps, warmup=warmup, schedule="wsd", final=0.1)

    same = stable_steps(warmup, steps)
    assert all(rate(step, steps) == rate(step, 4 * steps) for step in range(1, same + 1))
    assert same == steps or rate(same + 1, steps) < rate(same + 1, 4 * steps)


def test_a_branch_leaves_at_the_last_checkpoint_before_its_cooldown():
    def options(**train):
        values = {"family": "gpt", "data": {"corpus": ["a"]}, "budget": {"steps": 400}, "optim": {"warmup": 8}, "train": train}
        return check(RunOptions, values)

    assert cooldowns.planned(options(), SHARES) == [
        Branch(share=0.25, steps=100, warmup=8, start=80),  # 8 + 0.8 x 92 = 81
        Branch(share=0.5, steps=200, warmup=8, start=160),  # 161
    ]
    assert [branch.start for branch in cooldowns.planned(options(checkpoint_every=90), SHARES)] == [0, 90]


def test_each_run_is_branched_and_the_branches_are_scored(tmp_path, jobs, recipe):
    asked = recipe(cooldowns=[0.5, 0.25], budget={"steps": 400}, seeds=[0, 1])
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert asked.optim.schedule == "wsd" and result.ok
    steps = [event[3] for event in jobs.events if event[:3] == ("train", "gpt", 1)]
    assert steps == [400, 100, 200]
    assert [event[1:] for event in jobs.events if event[0] == "branch"][:2] == [
        (80, "cooldowns", "0.25", "runs", "gpt-tiny", "seed-0"),
        (160, "cooldowns", "0.5", "runs", "gpt-tiny", "seed-0"),
    ]
    row = next(row for row in result.rows if row.name == "gpt-tiny")
    assert {share: [run.steps for run in branch.results.values()] for share, branch in row.cooldowns.items()} == {
        0.25: [100, 100],
        0.5: [200, 200],
    }
    assert result.plan["gpt-tiny"].branch_steps == 20 + 40
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "| Bits per byte, held out, at 25% of the steps | 1.1050 ± 0.0071 | 1.2050 ± 0.0071 |" in table
    assert "| Cool-down branches | 2: 60.0 k tokens, 120 GFLOP | 2: 60.0 k tokens, 120 GFLOP |" in table
    stored = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["candidates"][0]["cooldowns"]
    assert list(stored) == ["0.25", "0.5"] and stored["0.5"]["scores"]["bits per byte"]["mean"] == pytest.approx(1.105)


def test_the_task_that_ranks_is_learned_by_the_branches_too(tmp_path, jobs, task_recipe):
    asked = task_recipe(
        cooldowns=[0.5], budget={"steps": 40}, tasks=[{"name": "world-sentiment"}, {"name": "world-entailment"}], seeds=[0, 1]
    )
    result = compare(asked, tmp_path / "out", **jobs.functions)
    assert jobs.tuned().count(("bert", "world-sentiment", 0)) == 2
    assert jobs.tuned().count(("bert", "world-entailment", 0)) == 1
    row = result.rows[0]
    assert row.cooldowns[0.5].tasks["world-sentiment"][1].model.startswith(str(tmp_path / "out" / "cooldowns" / "0.5"))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Score on world-sentiment by the budget of a run" in page and "50% of its steps" in page
    pictures = {path.name for path in (tmp_path / "out").glob("budget*.png")}
    assert pictures == {"budget-world-sentiment.png", "budget.png"}


@pytest.mark.usefixtures("no_pictures")
def test_a_budget_that_was_corrected_has_branches_of_its_own(tmp_path, jobs, recipe):
    """GPT is planned with 200 steps and gets 125; what left the first start at step 20 goes for what leaves the second."""
    jobs.slower = {"gpt": 1.6}
    result = compare(recipe(cooldowns=[0.5], seeds=[0]), tmp_path / "out", **jobs.functions)
    row = next(row for row in result.rows if row.name == "gpt-tiny")
    assert [run.steps for run in row.results.values()] == [125]
    (branch,) = result.plan["gpt-tiny"].branches
    assert branch.steps == 62 and branch.start == 52  # 12 + 0.8 x 50, a multiple of 13


@pytest.mark.usefixtures("no_pictures")
def test_a_branch_that_fails_is_no_failure_of_its_run(tmp_path, jobs, recipe):
    def pretrain(options, out, **keywords):
        if "cooldowns" in out.parts and options.family == "gpt":
            raise RuntimeError("the loss is not finite")
        return jobs.pretrain(options, out, **keywords)

    asked = recipe(cooldowns=[0.5], budget={"steps": 400}, seeds=[0, 1])
    result = compare(asked, tmp_path / "out", **jobs.but(pretrain=pretrain))
    assert not result.ok and {row.verdict for row in result.rows} == {"best", "behind"}
    assert "- gpt-tiny, 50% of the steps, seed 0: the loss is not finite" in (tmp_path / "out" / "results.md").read_text()
    assert compare(asked, tmp_path / "out", resume=True, **jobs.functions).ok
    assert not list((tmp_path / "out").glob("**/failures/*.txt"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cooldowns": [0.5, 1.0]}, "between 0 and 1"),
        ({"cooldowns": [0.5, 0.5]}, "different shares"),
        ({"cooldowns": [0.5], "optim": {"schedule": "cosine"}}, r"schedule in \[optim\] is 'cosine': use wsd"),
        ({"cooldowns": [0.05], "optim": {"warmup": 0.05}}, "of which 5.0% are warm-up"),
    ],
)
def test_what_can_not_be_branched_is_refused(recipe, changes, said):
    with pytest.raises(ValueError, match=said):
        recipe(**changes)
    assert recipe().cooldowns == [] and recipe().optim.schedule == "cosine"
