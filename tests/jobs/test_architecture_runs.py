"""Runs that learn another objective than their family's own: T5's study as options of pretraining."""

import json
import math

import numpy as np
import pytest

import gyebo
from gyebo.compare.recipe import parse as parse_recipe
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.build import set_up as set_up_finetuning
from gyebo.jobs.finetuning.build import with_defaults
from gyebo.jobs.inspection.corruption import inspect_corruption
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.planning import plan_run
from tests.jobs.tuning_files import tuning
from tests.refusals import option_error

ASKED = {
    "decoder": ("gpt2", {"name": "span-corruption"}),
    "prefix-decoder": ("gpt2", {"name": "span-corruption", "prefix": True}),
    "prefix-lm": ("gpt2", {"name": "prefix-lm"}),
    "t5": ("t5", {"name": "prefix-lm"}),
    "transformer": ("transformer", {"name": "span-corruption"}),
    "meena": ("meena", {"name": "span-corruption"}),
}


@pytest.mark.parametrize("name", ASKED)
def test_it_learns_is_stored_and_measured(name, run_options, corpus, tmp_path):
    family, objective = ASKED[name]
    options = run_options(6, family=family, objective=objective, optim={"lr": 3e-3})
    result = pretrain(options, tmp_path / "run")
    metric = "prefix_loss" if objective["name"] == "prefix-lm" else "target_loss"
    assert result.metric == metric and result.valid[metric] < math.log(500) + 1.5
    assert evaluate(str(tmp_path / "run"))[metric] == pytest.approx(result.valid[metric], rel=1e-6)
    assert metric in evaluate(str(tmp_path / "run"), [str(corpus)])
    _, tokenizer = gyebo.load(tmp_path / "run")
    assert len(tokenizer.sentinel_ids) == (100 if metric == "target_loss" else 0)
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert ("AutoModelForCausalLM" in card) == (family == "gpt2")


def test_a_decoder_alone_learns(run_options, tmp_path):
    setup = set_up(run_options(family="gpt2", context=48, objective=ASKED["prefix-decoder"][1]), tmp_path, None)
    trainer = setup.trainer("float32", 50)
    losses = [trainer.advance()["loss"] for _ in range(50)]
    assert losses[0] == pytest.approx(math.log(setup.tokenizer.vocab_size), abs=0.3)
    assert np.mean(losses[-5:]) < losses[0] - 0.8
    plan, model = plan_run(setup), setup.make_model()
    assert plan.flops_per_step == setup.flops_per_step(model) > 0


def test_a_run_remembers_whether_it_learned_with_a_prefix(run_options, data, tmp_path):
    """Its directory says so, to gyebo alone; a fine-tuning by text reads so; and another pretraining from it need not."""
    pretrain(run_options(2, family="gpt2", objective=ASKED["prefix-decoder"][1]), tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["gyebo_prefix"] is True
    assert gyebo.load(tmp_path / "run")[0].config.prefix
    setup = set_up_finetuning(with_defaults(tuning(tmp_path / "run", data, answer="text"), "gpt2"))
    assert setup.make_model().config.prefix and "prefix" in setup.rows.step(0, 2, 0)
    from_it = {"start_from": str(tmp_path / "run"), "tokenizer": None, "model": {}}
    pretrain(run_options(2, family="gpt2").model_copy(update=from_it), tmp_path / "further")
    assert "gyebo_prefix" not in json.loads((tmp_path / "further" / "config.json").read_text(encoding="utf-8"))


def test_a_comparison_ranks_the_architectures_by_the_same_metric():
    candidates = [
        {"family": "t5", "name": "both"},
        {"family": "gpt2", "name": "decoder", "objective": ASKED["decoder"][1]},
        {"family": "gpt2", "name": "prefix", "objective": ASKED["prefix-decoder"][1]},
    ]
    values = {"candidates": candidates, "budget": {"flops": 1e15}, "data": {"corpus": ["world:"]}}
    assert parse_recipe(values).measured_by.metric == "target_loss"
    values["candidates"] = [*candidates, {"family": "t5", "name": "other", "objective": {"name": "prefix-lm"}}]
    with pytest.raises(ValueError, match="other"):
        parse_recipe(values)


def test_what_is_read_is_shown(corpus, tokenizer_folder):
    found = inspect_corruption("gpt2", [str(corpus)], objective=ASKED["prefix-decoder"][1], tokenizer=str(tokenizer_folder))
    (stream,) = found.examples[0].streams
    assert [field.name for field in stream.fields] == ["input_ids", "labels", "prefix"]
    assert "prefix-decoder" in str(found) and "<extra_id_0>" in str(found)
    assert json.dumps(found.as_dict())


@pytest.mark.parametrize(
    ("family", "objective"),
    [
        ("lstm", {"name": "span-corruption"}),
        ("bert", {"name": "prefix-lm"}),
        ("gpt2", {"name": "masked"}),
        ("gpt2", {"name": "denoising"}),
        ("t5", {"name": "causal"}),
        ("gpt2", {"name": "spans"}),
        ("gpt2", {"name": "translation"}),
    ],
)
def test_what_a_family_cannot_learn_is_refused(family, objective, run_options, tmp_path):
    with option_error("objective.name"):
        set_up(run_options(family=family, objective=objective), tmp_path, None)


def test_options_of_another_objective_are_refused(run_options, tmp_path):
    with pytest.raises(ValueError, match=r"objective\.rate"):
        set_up(run_options(family="gpt2", objective={"name": "prefix-lm", "rate": 0.3}), tmp_path, None)
    with option_error("objective.prefix"):
        set_up(run_options(family="t5", objective={"prefix": True}), tmp_path, None)
