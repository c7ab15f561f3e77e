"""FLOPs of a run's steps: those of its own batches, each document counted alone by torch."""

import math

import numpy as np
import pytest
import torch

from gyebo.data.plan import Plan
from gyebo.data.streams import SOURCE, TARGET, TOKENS, document_lengths, tokens_seen
from gyebo.interchange import save
from gyebo.jobs import workload
from gyebo.jobs.finetuning import setup as finetuning_setup
from gyebo.jobs.finetuning.build import set_up as set_up_task
from gyebo.jobs.model_building import with_pieces
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.planning import plan_run
from gyebo.jobs.workload import forward_passes, joined, sampled, workload_of
from gyebo.models.elmo import Elmo, ElmoConfig
from gyebo.models.family import FAMILIES, model_class
from gyebo.objectives.table import OBJECTIVES
from gyebo.tasks.objective import forward
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.conftest import dropouts
from tests.jobs.test_distill import distilling, teachers  # noqa: F401 (a fixture)
from tests.jobs.tuning_files import choices, json_lines, reviews, saved_model, sentences, table, treebank, tuning
from tests.operations import counted, counted_of_positions

# Learned from a corpus of text; of pictures, tests/jobs/test_picture_code_runs.py tells.
FACTS = {name: OBJECTIVES[family.objective] for name, family in FAMILIES.items()}
FAMILY = [name for name, facts in FACTS.items() if not facts.kind and facts.of == "text"]


def made(run_options, family, out, **changes):
    """A tiny run without dropout, of batches of about 30 documents."""
    model = dropouts(family, 0.0) | ({"width": 48, "cells": 32} if family == "elmo" else {})
    if model_class(family).sees:
        changes["data"] = {"corpus": ["world:pictures,ko,80,questions"]}
    return set_up(run_options(family=family, model=model, context=48, **changes), out, None)


def documents(batch, fields):
    """The documents of a batch as batches of one row, without padding."""
    ids = batch["document_ids"]
    places = {field.name: field.stream.document_ids for field in fields if field.stream}  # array -> where its documents are
    places |= {name: name for name in places.values()}
    for row, number in sorted({(int(row), int(ids[row, place])) for row, place in zip(*np.nonzero(ids))}):
        of_row = {field.name: batch[field.name][row : row + 1] for field in fields if field.stream is None}
        yield of_row | {name: batch[name][row][batch[at][row] == number][None] for name, at in places.items()}


def tensors(batch):
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def loss(setup, model, batches):
    """The sum of all terms over batches of arrays."""
    return sum(total for batch in batches for total, _ in setup.objective.loss(model, tensors(batch)).values())


@pytest.mark.parametrize("family", FAMILY)
def test_a_step_costs_what_torch_counts_of_its_documents(run_options, tmp_path, family):
    """Each document alone, without padding: what shares its row costs it nothing. Training: within 2 %, as the first step of a
    recurrent layer has no gradient to its initial state; within 4 % where pixels are read, which need no gradient. A query
    stream is counted as if all documents had as large a share of tokens to predict."""
    setup = made(run_options, family, tmp_path)
    model, batch = setup.make_model(), setup.rows.step(0, setup.batch_rows, setup.options.seed, 0, 3)
    alone = list(documents(batch, setup.objective.fields))
    works = [workload_of(one, setup.rows.streams, model, setup.objective.projected) for one in alone]
    flops = model.flops(joined(works))
    with torch.no_grad():
        shared = counted_of_positions(lambda: loss(setup, model, alone))
        found = counted(lambda: loss(setup, model, alone)) - shared
        assert found == pytest.approx(flops, rel=0.01 if model.has_query_stream else 1e-9)
    training = counted(lambda: loss(setup, model, alone).backward()) - 2 * shared
    assert training == pytest.approx(3 * flops, rel=0.04 if model.sees else 0.02)
    work = workload_of(batch, setup.rows.streams, model, setup.objective.projected)
    if family == "elmo":  # together, repeated tokens are computed once
        assert model.flops(work) < 0.95 * flops
        with torch.no_grad():
            assert counted(lambda: loss(setup, model, [batch])) == pytest.approx(model.flops(work), rel=1e-9)
    else:
        assert model.flops(work) == flops


@pytest.mark.parametrize("family", FAMILY)
def test_a_budget_is_divided_by_the_mean_of_all_batches(run_options, tmp_path, family):
    """Over an epoch, whatever masks and pairs were drawn in it."""
    setup = made(run_options, family, tmp_path)
    plan, model = plan_run(setup), setup.make_model()
    steps = math.ceil(len(setup.rows.plan) / setup.batch_rows)
    batches = [setup.rows.step(step, setup.batch_rows, setup.options.seed) for step in range(steps)]
    work = joined([workload_of(batch, setup.rows.streams, model, setup.objective.projected) for batch in batches])
    assert plan.flops_per_step == pytest.approx(3 * model.flops(work) / steps, rel=0.02)
    assert plan.flops_per_step == setup.flops_per_step(model) and plan.parameters == model.count_parameters()


@pytest.mark.parametrize("family", ["gpt2", "distilbert"])
def test_the_length_of_rows_costs_nothing(run_options, tmp_path, family):
    """The documents, of up to 45 tokens, are the same in rows of 48 and of 96."""
    costs = []
    for context in (48, 96):
        setup = set_up(run_options(family=family, context=context), tmp_path, None)
        assert max(setup.rows.plan.document_lengths(one_document=False)["tokens"]) < 48
        costs.append(setup.flops_per_step(setup.outline()) / setup.tokens_per_step)
    assert costs[0] == pytest.approx(costs[1], rel=0.002 if family == "distilbert" else 1e-9)


def test_lengths_of_a_plan_are_those_of_its_batches(run_options, tmp_path):
    """Also where attention runs over the whole row: across documents, and RoBERTa's full sentences."""
    for family, changes in (("gpt2", {}), ("gpt2", {"data": {"across_documents": True}}), ("roberta", {})):
        setup = set_up(run_options(family=family, **changes), tmp_path, None)
        rows = setup.rows.batch(np.arange(len(setup.rows.plan)), [[0, 0]] * len(setup.rows.plan))
        found = document_lengths(rows, setup.rows.streams)["tokens"]
        planned = setup.rows.plan.document_lengths(one_document=setup.objective.one_document)["tokens"]
        assert isinstance(setup.rows.plan, Plan) and found.tolist() == planned.tolist()


@pytest.mark.parametrize("objective", [{}, {"soft_at": "masked"}, {"soft": 0.0}, {"mlm": 0.0, "cosine": 0.0}])
def test_a_teacher_costs_its_forward_pass(teachers, run_options, tmp_path, objective):  # noqa: F811
    setup = set_up(distilling(run_options, teachers("bert"), objective=objective), tmp_path, None)
    model, teacher = setup.make_model().eval(), setup.objective.teacher
    alone = list(documents(setup.rows.step(0, 8, 0, 0, 3), setup.objective.fields))

    def flops(model, projected):
        return model.flops(joined([workload_of(one, setup.rows.streams, model, projected) for one in alone]))

    student, taught = flops(model, setup.objective.projected), flops(teacher, setup.objective.taught)
    with torch.no_grad():
        assert counted(lambda: loss(setup, model, alone)) == pytest.approx(student + taught, rel=1e-9)
    assert counted(lambda: loss(setup, model, alone).backward()) == pytest.approx(3 * student + taught, rel=0.02)
    tokens = sum(one["document_ids"].size for one in alone)
    assert setup.flops_per_step(setup.outline()) / setup.tokens_per_step == pytest.approx(
        (3 * student + taught) / tokens, rel=0.05
    )


FINE_TUNED = ("classification", "choice", "dependency", "translation", "features")


@pytest.fixture
def tuned(tokenizer_folder, tmp_path):
    """A function that gives the setup of a fine-tuning of a kind of task."""

    def make(kind):
        bert = tmp_path / "bert"
        if kind == "translation":
            lines = [(text, f"{text} {text}") for text, _ in sentences(60)]
            pairs = table(tmp_path / "pairs.csv", ("text", "label"), lines)
            by_tokens = {"batch": None, "translation": {"batch_tokens": 90}}
            columns = {"text": "text", "label": "label"}
            return tuning("seq2seq:tiny", pairs, kind, tokenizer=str(tokenizer_folder), task=columns, **by_tokens)
        if kind == "features":
            return tuning(saved_elmo(tmp_path / "elmo", tokenizer_folder), reviews(tmp_path, 80))
        saved_model(bert, "bert", tokenizer_folder)
        if kind == "dependency":
            return tuning(bert, treebank(tmp_path / "dp", {"train": 120, "dev": 8}), "klue-dp")
        return tuning(bert, json_lines(tmp_path / "c.jsonl", choices(60)) if kind == "choice" else reviews(tmp_path, 60), kind)

    return lambda kind: set_up_task(make(kind))


def saved_elmo(folder, tokenizer_folder):
    """A tiny ELMo with fresh weights."""
    tokenizer = Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["elmo"]))
    config = ElmoConfig(tokenizer.vocab_size, 64, filters=(4, 4), characters=20, width=16, cells=12)
    save(with_pieces(Elmo(config), tokenizer), tokenizer, folder)
    return folder


@pytest.mark.parametrize("kind", FINE_TUNED)
def test_fine_tuning_costs_what_torch_counts_of_its_examples(tuned, kind, monkeypatch):
    """Three forward passes of each text of a step alone, without padding; one of a frozen ELMo, of the whole batch."""
    setup = tuned(kind)
    plan = setup.plan("float32")
    model, batch = setup.make_model(), setup.rows.step(0, plan["batch"], setup.options.seed)
    alone = [batch] if kind == "features" else list(examples(batch))
    seen = tokens_seen(batch, setup.rows.streams)
    monkeypatch.setattr(finetuning_setup, "STEPS", 1)

    def run():
        for one in map(tensors, alone):
            if kind == "translation":
                setup.objective.loss(model, one)
            else:
                forward(model, setup.kind.head, one)

    with torch.no_grad():
        flops = counted(run)
    passes = 1 if kind == "features" else 3
    assert setup.flops_per_token(model, plan) == pytest.approx(passes * flops / seen, rel=1e-9)


def examples(batch):
    """The texts of a batch alone, without padding; each option of a choice as the only one."""
    masks = {name: values for name, values in batch.items() if name.endswith("document_ids") or name == "word_mask"}
    for place in np.ndindex(batch["document_ids"].shape[:-1]):
        one = {name: values[place] for name, values in batch.items() if values.ndim > len(place)}
        lengths = {values.shape[-1]: int((values[place] > 0).sum()) for values in masks.values()}
        yield {name: values[: lengths[len(values)]].reshape((1,) * len(place) + (-1,)) for name, values in one.items()}


def test_distinct_tokens_are_those_of_a_forward_pass(run_options, tmp_path, monkeypatch):
    """Micro-batches and processes compute the same token again."""
    setup = made(run_options, "elmo", tmp_path)
    costs = []
    for micro_rows, world in ((8, 1), (2, 1), (8, 4)):
        monkeypatch.setattr(workload.distributed, "world_size", lambda world=world: world)
        work, steps = sampled(
            setup.rows, setup.outline(), setup.objective.projected, batch_rows=8, micro_rows=micro_rows, seed=0, steps=3
        )
        assert steps == 3
        passes = [setup.rows.step(s, 8, 0, *part)["input_ids"] for s in range(3) for part in forward_passes(8, micro_rows)]
        pad = setup.rows.pad
        assert work.documents("characters") == sum(len(set(ids.ravel().tolist()) - {pad}) for ids in passes)
        costs.append(work.documents("characters"))
    assert costs[0] < costs[1] == costs[2]


def test_a_run_that_continues_a_model_has_its_cost(run_options, tokenizer_folder, tmp_path):
    """ELMo's is that of the spelling in its files."""
    model = saved_elmo(tmp_path / "elmo", tokenizer_folder)
    options = run_options(family="elmo").model_copy(update={"model": {}, "start_from": str(model)})
    setup = set_up(options, tmp_path, None)
    shape = {"filters": [4, 4], "characters": 20, "width": 16, "cells": 12, "highways": 2}
    fresh = set_up(run_options(family="elmo", model=shape), tmp_path, None)
    assert plan_run(setup).flops_per_step == plan_run(fresh).flops_per_step > 0


def test_passes_are_those_of_all_processes(monkeypatch):
    assert list(forward_passes(10, 4)) == [(0, 4), (4, 4), (8, 2)]
    monkeypatch.setattr(workload.distributed, "world_size", lambda: 3)
    assert list(forward_passes(10, 2)) == [(0, 2), (2, 1), (3, 2), (5, 1), (6, 2), (8, 2)]


def test_a_sample_ends_where_steps_are_long(run_options, tmp_path, monkeypatch):
    setup = made(run_options, "gpt2", tmp_path)
    monkeypatch.setattr(workload, "TOKENS", 300)
    _, steps = sampled(setup.rows, setup.outline(), setup.objective.projected, batch_rows=4, micro_rows=4, seed=0)
    assert steps == 2  # of about 180 tokens


def test_lengths_of_several_streams_are_side_by_side():
    batch = {
        "document_ids": np.array([[1, 1, 2, 0], [1, 3, 3, 3]]),
        "decoder_document_ids": np.array([[1, 2, 2, 2, 2], [2, 2, 3, 0, 0]]),
    }
    found = document_lengths(batch, (SOURCE, TARGET))
    assert found["source"].tolist() == [2, 1, 1, 0, 3]
    assert found["target"].tolist() == [1, 4, 0, 2, 1]
    choices = {"document_ids": np.array([[[1, 1, 0], [1, 0, 0]], [[1, 1, 1], [1, 1, 0]]])}
    assert document_lengths(choices, (TOKENS,))["tokens"].tolist() == [2, 1, 3, 2]
