"""All candidates of a comparison see the same context, of held-out text and of a task's examples."""

from dataclasses import replace

import pytest

from gyebo.compare import run as module
from gyebo.compare.run import compare
from gyebo.compare.table_rows import cells
from gyebo.jobs.pretraining.build import set_up
from tests.compare.conftest import make_recipe

FAMILIES = [{"family": family, "size": "tiny"} for family in ("ulmfit", "lstm", "gpt2")]


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr(module, "write_report", lambda comparison: None)


@pytest.mark.parametrize(("given", "expected"), [({"context": 48}, 48), ({}, 128), ({"train": {"evaluate_context": 40}}, 40)])
def test_held_out_text_has_the_same_context_for_all_candidates(given, expected, tmp_path, corpus, tokenizer_folder):
    """128: the shortest of the candidates' own. ULMFiT, which is trained in windows, would read 256 tokens, LSTM a row."""
    data = {"corpus": [str(corpus)], "valid_share": 0.05}
    recipe = make_recipe(candidates=FAMILIES, data=data, tokenizer={"path": str(tokenizer_folder)}, **given)
    seen = {}
    for candidate in recipe.candidates:
        options = recipe.options(candidate, 0, None, evaluate_context=recipe.evaluate_context)
        setup = set_up(options, tmp_path, None)
        seen[candidate.family] = (setup.valid.plan.context, setup.valid.plan.pieces.tolist())
    assert {context for context, _ in seen.values()} == {expected}
    assert seen["ulmfit"] == seen["lstm"] == seen["gpt2"]  # the same windows of the same documents


def test_the_context_is_fixed_before_the_runs_and_told(tmp_path, jobs, recipe):
    asked, given = [], []

    def plan(options, out, console=None):
        asked.extend(one.train.evaluate_context for one in options)
        return [replace(found, evaluate_context=77) for found in jobs.plan_steps(options, out)]

    def pretrain(options, out, **rest):
        given.append(options.train.evaluate_context)
        return replace(jobs.pretrain(options, out, **rest), evaluate_context=77)

    result = compare(recipe(context=64, seeds=[0]), tmp_path / "out", **jobs.but(plan_steps=plan, pretrain=pretrain))
    assert set(asked) == {64} and set(given) == {77}
    assert {entry.evaluate_context for entry in result.plan.values()} == {77}
    assert next(found for line, found in cells(result) if line.heading == "Context of held-out text") == ["77", "77"]


def test_a_comparison_from_before_goes_on_as_it_began(tmp_path, jobs, recipe):
    """Its plan names no context: its runs are resumed with the options that they were begun with."""
    given = []

    def pretrain(options, out, **rest):
        given.append(options.train.evaluate_context)
        return jobs.pretrain(options, out, **rest)

    compare(recipe(context=64, seeds=[0]), tmp_path / "out", **jobs.but(pretrain=pretrain))  # the fake's plans name none
    assert set(given) == {None}


def test_no_candidate_reads_more_of_an_example_than_the_others():
    tasks = [{"name": "world-sentiment"}, {"name": "klue-mrc", "data": "."}, {"name": "nsmc", "data": ".", "max_length": 90}]
    recipe = make_recipe(candidates=[*FAMILIES[1:], {"family": "bert", "size": "tiny"}], tasks=tasks)

    def lengths(context):
        options = (
            recipe.finetuning(recipe.candidates[0], task, model="m", seed=0, precision="auto", context=context)
            for task in recipe.tasks
        )
        return [each.max_length for each in options]

    assert lengths(128) == [None, 128, 90]  # the tasks' own: 128 and 510
    assert lengths(None) == [None, None, 90]
    assert lengths(64) == [64, 64, 90]  # what the recipe itself says stands
