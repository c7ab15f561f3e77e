"""Results as data: what was stored comes back, what is wrong with it is said, old names are still read."""

import dataclasses
import json
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from gyebo.compare.plan import CandidatePlan, State, Sweep, Trial
from gyebo.config import toml
from gyebo.jobs.results import (
    CorpusFacts,
    ExampleCounts,
    FinetuneResult,
    FinetuneSummary,
    PretrainResult,
    RunPlan,
    SeedSummary,
    TaskFacts,
    TaskResult,
    read,
    read_pretraining,
)
from tests.compare.conftest import Fake, make_recipe, make_task_recipe

ARCHIVE = Path(__file__).parents[1] / "stored" / "runs.tar.xz"


@pytest.fixture
def results(tmp_path):
    """One of each, from the fake of the jobs."""
    fake, recipe = Fake(), make_task_recipe()
    pretraining = recipe.options(recipe.candidates[0], 0, "tok", steps=10)
    run = tmp_path / "seed-0"
    pretrained = fake.pretrain(pretraining, run)
    tuning = recipe.finetuning(recipe.candidates[0], recipe.tasks[0], model=str(run), seed=0, precision="float32")
    return [
        fake.prepare(make_recipe().options(recipe.candidates[0], 0, None, steps=10), tmp_path),
        *fake.plan_steps([pretraining], tmp_path),
        pretrained,
        fake.examine(recipe.tasks[0].source),
        fake.finetune(tuning, tmp_path / "tuned"),
        fake.linear(recipe.tasks[0].source, tmp_path / "linear"),
    ]


def test_whatever_is_stored_comes_back(results):
    kinds = [CorpusFacts, RunPlan, PretrainResult, TaskFacts, FinetuneResult, FinetuneSummary]
    assert [type(result) for result in results] == kinds
    for result in results:
        as_json = json.loads(json.dumps(result.as_dict()))
        as_toml = tomllib.loads(toml.dump(result.as_dict()))  # without what is None
        assert read(type(result), as_json, "x") == read(type(result), as_toml, "x") == result
        with pytest.raises(dataclasses.FrozenInstanceError):
            result.tokens = 3


def test_nested_results_come_back_as_what_they_were():
    trial = Trial(lr=1e-3, figure="held-out bits per byte", score=None, reason="not finite", tokens=5, flops=7, seconds=0.5)
    sweep = Sweep(lr=1e-3, steps=2, trials=[trial], tokens=5, flops=7, seconds=0.5)
    facts = {"epochs": 1.0, "parameters": 3, "parameters_without_embeddings": 2, "device": "cpu"}
    plan = CandidatePlan(steps=4, precision="float32", tokens_per_step=2.0, flops_per_step=3, sweep=sweep, **facts)
    state = read(State, json.loads(json.dumps(State(candidates={"a": plan}).as_dict())), "plan.json")
    assert state.candidates["a"].sweep.trials[0] == trial
    assert isinstance(state.candidates["a"].flops_per_step, int)  # what was whole stays whole


def test_what_an_older_version_did_not_store_has_its_default(results):
    values = results[2].as_dict()
    del values["samples"], values["metric"]
    assert read_pretraining(values, "x").metric == "bits_per_byte"
    assert read_pretraining(values | {"headline": "masked_loss"}, "x").metric == "masked_loss"
    tuned = results[4].as_dict()
    for name in ("paired", "best_step", "weights", "pictures", "lr", "signatures"):
        del tuned[name]
    assert read(FinetuneResult, tuned, "x").weights == "best"


@pytest.mark.parametrize(
    ("change", "named"),
    [({"stepz": 3}, "stepz"), ({"steps": "many"}, "steps"), ({"valid": {"bits_per_byte": "low"}}, "valid.bits_per_byte")],
)
def test_what_is_wrong_with_a_stored_result_is_said(results, change, named):
    with pytest.raises(ValueError, match=named) as caught:
        read(PretrainResult, results[2].as_dict() | change, "runs/a/run.toml")
    assert str(caught.value).startswith("runs/a/run.toml: ") and "\n" not in str(caught.value)
    values = results[2].as_dict()
    del values["steps"]
    with pytest.raises(ValueError, match="steps"):
        read(PretrainResult, values, "run.toml")


def test_a_result_reports_its_metric_and_is_read_by_name_too(results):
    result = results[2]
    assert result.reported == ("bits per byte", result.valid["bits_per_byte"])
    masked = dataclasses.replace(result, metric="masked_loss", valid={"masked_loss": 3.0})
    assert masked.reported == ("nats per masked token", 3.0)
    assert result["steps"] == result.steps == 10
    with pytest.raises(KeyError):
        result["as_dict"]


def test_what_an_earlier_version_stored_is_read():
    kinds = set()
    with tarfile.open(ARCHIVE) as packed:
        for member in packed:
            file = packed.extractfile(member)
            text = file.read().decode() if file and member.name.endswith(("plan.json", "run.toml")) else ""
            if member.name.endswith("plan.json"):
                state = read(State, json.loads(text), member.name)
                assert state.prepared and len(state.candidates) == 2
                (task,) = state.tasks.values()
                assert isinstance(task.examples, ExampleCounts) and isinstance(task.linear.test[task.score], SeedSummary)
                kinds.add("comparison")
            elif result := tomllib.loads(text).get("result"):
                kind = FinetuneResult if "family" in result else TaskResult  # that of the linear baseline
                found = read(kind, result, "x") if "task" in result else read_pretraining(result, "x")
                assert found.valid and found.parameters > 0
                kinds.add(type(found).__name__)
    assert kinds == {"comparison", "FinetuneResult", "TaskResult", "PretrainResult"}


def test_results_need_no_torch():
    code = "import sys, gyebo.jobs.results, gyebo.compare.plan; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_the_older_name_of_the_deviation_is_read():
    older = {"mean": 0.5, "spread": 0.1, "values": [0.4, 0.6]}
    assert read(SeedSummary, older, "results.json") == SeedSummary(mean=0.5, deviation=0.1, values=[0.4, 0.6])
