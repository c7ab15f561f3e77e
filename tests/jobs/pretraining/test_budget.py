"""What a budget of tokens, FLOPs or minutes pays for."""

import time
from functools import partial

import pytest
import torch

from gyebo.config.run import RunOptions
from gyebo.data.plan import SIZE
from gyebo.jobs import run_directory
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining import budget
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.planning import MEASURE_SECONDS, plan_run, plan_steps
from tests.refusals import option_error
from tests.training.test_resume import interrupted, losses


def budgeted(run_options, **what):
    options = run_options()
    return options.model_copy(update={"budget": options.budget.model_validate(what)})


def test_a_budget_of_tokens_is_divided_by_the_exact_mean(run_options, tmp_path):
    [plan] = plan_steps([budgeted(run_options, tokens=5000)], tmp_path)
    assert plan.steps == round(5000 / plan.tokens_per_step)
    out = tmp_path / "run"
    result = pretrain(budgeted(run_options, tokens=5000), out)
    assert result.steps == plan.steps == len(losses(out))
    assert result.tokens == pytest.approx(5000, abs=plan.tokens_per_step)


def test_a_budget_of_epochs_reads_all_rows_so_often(run_options, tmp_path):
    setup = set_up(budgeted(run_options, epochs=2.5), tmp_path, None)
    plan = plan_run(setup)
    assert plan.steps == round(2.5 * len(setup.rows.plan) / setup.batch_rows) > 1
    assert plan.epochs == pytest.approx(2.5, abs=0.5 * setup.batch_rows / len(setup.rows.plan))


def test_a_budget_of_flops_is_matrix_products_forward_and_twice_backward(run_options, tmp_path):
    [plan] = plan_steps([budgeted(run_options, flops=1e9)], tmp_path)
    width, layers, vocabulary = 32, 2, 400
    setup = set_up(run_options(), tmp_path, None)
    lengths = [size for row in range(len(setup.rows.plan)) for size in setup.rows.plan.row(row)[:, SIZE].tolist()]
    # Per token 2 operations for each weight of the matrices; for each position of its own document 4 x width in attention.
    token = 2 * (layers * 12 * width**2 + vocabulary * width)
    token += layers * 4 * width * sum(n * n for n in lengths) / sum(lengths)
    assert plan.flops_per_step == pytest.approx(3 * plan.tokens_per_step * token, rel=1e-9)
    assert plan.steps == round(1e9 / plan.flops_per_step)


def test_minutes_are_measured_once_and_stored(run_options, tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "seconds_per_step", lambda makers, seconds: [0.25] * len(makers))
    options = budgeted(run_options, minutes=0.1)
    interrupted(options, tmp_path / "run", 3, monkeypatch)
    stored = run_directory.read(tmp_path / "run")["plan"]["steps"]
    assert 4 <= stored < 24  # 6 seconds at 0.25, less what evaluations and checkpoints take

    def again(makers, seconds):
        raise AssertionError("a resumed run measures nothing")

    monkeypatch.setattr(budget, "seconds_per_step", again)
    assert pretrain(options, tmp_path / "run", resume=True).steps == stored == len(losses(tmp_path / "run"))


class Ticking:
    """A trainer whose step moves the clock; `alive`: the trainers that were made and not yet thrown away."""

    alive = 0
    most = 0

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.device = clock, seconds, torch.device("cpu")
        Ticking.alive += 1
        Ticking.most = max(Ticking.most, Ticking.alive)

    def __del__(self):
        Ticking.alive -= 1

    def advance(self):
        self.clock[0] += self.seconds(self.clock[0])


@pytest.mark.parametrize("begin", [0.0, 3.0, 11.0, 17.0])
def test_a_slow_while_of_the_machine_meets_all_that_are_timed(monkeypatch, begin):
    """For 4 of 24 seconds everything takes three times as long; timed one after the other, one would be found slower."""
    clock = [0.0]
    monkeypatch.setattr(budget.time, "perf_counter", lambda: clock[0])

    def seconds(step):
        return lambda now: step * (3 if begin <= now < begin + 4 else 1)

    makers = [partial(Ticking, clock, seconds(step)) for step in (0.01, 0.02, 0.05)]
    found = budget.seconds_per_step(makers, 8.0)
    assert found == pytest.approx([0.01, 0.02, 0.05], rel=0.02)
    assert Ticking.most == 1


def test_runs_are_timed_in_turn_and_planned_alike(run_options, tmp_path, monkeypatch):
    asked = []

    def timed(makers, seconds):
        asked.append(len(makers))
        return [0.1 * (number + 1) for number in range(len(makers))]

    monkeypatch.setattr(budget, "seconds_per_step", timed)
    plans = plan_steps([budgeted(run_options, minutes=0.5)] * 3, tmp_path)
    assert asked == [3] and [plan.seconds_per_step for plan in plans] == pytest.approx([0.1, 0.2, 0.3])
    assert plans[0].steps > plans[1].steps > plans[2].steps
    assert plan_steps([budgeted(run_options, tokens=5000)], tmp_path)[0].seconds_per_step is None


def test_the_reserve_grows_with_what_is_evaluated_and_saved():
    def steps(held_out, parameters):
        return budget.steps_for(
            RunOptions.model_fields["budget"].annotation(minutes=10),
            tokens_per_step=8192,
            steps_per_epoch=1.0,
            flops_per_step=1e9,
            step_seconds=1.0,
            parameters=parameters,
            held_out_tokens=held_out,
            evaluate_tokens=32768,
        )

    assert 600 > steps(1000, 10**6) > steps(10**6, 10**6) > steps(10**6, 10**9) >= 1
    with option_error("budget.minutes", "data.valid_share"):
        steps(10**8, 10**6)


@pytest.mark.slow
def test_minutes_are_minutes(run_options, tmp_path):
    start = time.perf_counter()
    result = pretrain(budgeted(run_options, minutes=0.2), tmp_path / "run")
    assert 0.2 * 60 * 0.4 < result.seconds < 0.2 * 60 * 2  # the tests beside this one slow the machine down
    assert time.perf_counter() - start < 0.2 * 60 * 2 + 2 * MEASURE_SECONDS + 5


def test_exactly_one_budget(run_options):
    for wrong in ({}, {"steps": 3, "tokens": 5}):
        with pytest.raises(ValueError, match=r"exactly one of steps, tokens, flops, minutes, epochs"):
            budgeted(run_options, **wrong)
