"""Every kind of task runs from its examples to predictions, on every family, and is measured the same again."""

import json

import pytest
import torch

from gyebo.interchange import load
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.model_building import grow_vocabulary
from gyebo.tasks.data import world
from gyebo.tasks.kinds.entity_list import entities
from gyebo.tasks.splits import read_task
from tests.jobs.tuning_files import choices, json_lines, pairs, questions, sentences, table, tagged, treebank, tuning


@pytest.fixture
def small_world(monkeypatch):
    for sizes in (world.SIZES, world.SIZES_OF_DOCUMENTS):
        for split, count in (("train", 60), ("dev", 12), ("test", 12)):
            monkeypatch.setitem(sizes, split, count)


def own_file(kind, folder):
    """(name of the kind, options of the task) with a file of its own."""
    count = 60
    if kind in ("pair", "regression"):
        rows = pairs(count)
        file = table(folder / "pairs.csv", ("text", "second", "same", "score"), rows)
        return kind, {"data": str(file), "pair": "second", "label": "same" if kind == "pair" else "score"}
    if kind == "multi-label":
        rows = [(text, "|".join([label, text.split()[0]])) for text, label in sentences(count)]
        rows = [{"text": text, "labels": joined.split("|") if number % 5 else []} for number, (text, joined) in enumerate(rows)]
        return kind, {"data": str(json_lines(folder / "several.jsonl", rows))}
    made = {"tagging": tagged, "spans": questions, "choice": choices}[kind](count)
    return kind, {"data": str(json_lines(folder / f"{kind}.jsonl", made))}


def end_to_end(options, out):
    """Fine-tune, check what every kind must leave, and measure again."""
    result = finetune(options, out)
    data = read_task(options.task)
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [e.id for e in data.test]
    assert result.parameters == load(out)[0].count_parameters() and result.examples == len(data.train)
    assert set(result.test) == set(data.task.metrics) and all(-1 <= value <= 1 for value in result.test.values())
    again = evaluate_task(str(out))
    assert {name: again[name] for name in result.test} == pytest.approx(result.test, abs=1e-6)
    assert again["measured"] == result.measured and again["examples"] == len(rows)
    return result, rows


@pytest.mark.parametrize("kind", ["pair", "multi-label", "regression", "tagging", "spans", "choice"])
def test_every_kind_runs_on_ones_own_file(models, tmp_path, kind):
    name, task = own_file(kind, tmp_path)
    result, rows = end_to_end(tuning(models("bert"), name=name, task=task, optim={"lr": 2e-3}), tmp_path / "run")
    assert result.kind == ("classification" if kind == "pair" else kind)
    assert result.paired == (kind in ("pair", "regression", "spans"))
    classes = {"tagging": "TokenClassification", "spans": "QuestionAnswering", "choice": "MultipleChoice"}
    assert result.auto_class == f"AutoModelFor{classes.get(kind, 'SequenceClassification')}"
    if kind == "regression":
        import transformers

        config = transformers.AutoConfig.from_pretrained(tmp_path / "run")
        assert config.problem_type == "regression" and config.num_labels == 1
        assert all(isinstance(row["prediction"], float) for row in rows)
    if kind == "multi-label":
        import transformers

        config = transformers.AutoConfig.from_pretrained(tmp_path / "run")
        assert config.problem_type == "multi_label_classification" and set(config.label2id) >= {"positive", "나무"}
        assert all(isinstance(row["prediction"], list) and set(row["probabilities"]) == set(config.label2id) for row in rows)
    if kind == "tagging":
        assert all(len(row["spans"]) == len(entities(row["prediction"])) for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "roberta", "distilbert"])
@pytest.mark.parametrize("kind", ["pair", "multi-label", "regression", "tagging", "spans", "choice"])
def test_every_kind_runs_on_every_family(models, tmp_path, kind, family):
    name, task = own_file(kind, tmp_path)
    end_to_end(tuning(models(family), name=name, task=task, optim={"lr": 2e-3}), tmp_path / "run")


def test_a_treebank_is_parsed(models, tmp_path):
    folder = treebank(tmp_path / "data", {"train": 90, "dev": 10, "test": 8})
    options = tuning(models("bert"), folder, name="klue-dp", epochs=2, optim={"lr": 2e-3})
    result, rows = end_to_end(options, tmp_path / "run")
    assert result.measured == "test" and len(rows) == 8 and result.auto_class is None
    assert all(len(row["prediction"]) == 2 for row in rows)


@pytest.mark.parametrize("name", ["world-sentiment", pytest.param("world-questions", marks=pytest.mark.slow)])
def test_the_world_runs_end_to_end(models, small_world, tmp_path, name):
    result, _ = end_to_end(tuning(models("gpt2"), name=name), tmp_path / "run")
    assert (result.examples, result.measured) == (60, "test")


def test_relations_add_their_markers_to_the_vocabulary(models, tmp_path):
    rows = []
    for number in range(90):
        text = f"나무 바다 {number} 하늘 만났다"
        row = {"guid": f"re-{number}", "sentence": text, "label": "no_relation" if number % 2 else "org:members"}
        for role, word in (("subject_entity", "나무"), ("object_entity", "하늘")):
            start = text.index(word)
            row[role] = {"word": word, "start_idx": start, "end_idx": start + len(word) - 1, "type": "PER"}
        rows.append(row)
    for split in ("train", "dev"):
        (tmp_path / f"re_{split}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    result, _ = end_to_end(tuning(models("roberta"), tmp_path, name="klue-re"), tmp_path / "run")
    model, tokenizer = load(tmp_path / "run")
    assert tokenizer.vocab_size == 404 == model.config.vocab_size and result.measured == "dev"


@pytest.mark.parametrize("family", ["gpt2", "bert"])
def test_a_grown_vocabulary_keeps_what_was_there(models, family):
    before, grown = load(models(family))[0], load(models(family))[0]
    grow_vocabulary(grown, 450)
    table = grown.token_embedding.weight
    assert torch.equal(table[:400], before.token_embedding.weight) and grown.config.vocab_size == len(table) == 450
    assert table[400:].std().item() == pytest.approx(grown.config.init_std, rel=0.1)
    if family == "gpt2":
        assert grown.lm_head.weight is table
    grow_vocabulary(grown, 300)
    assert len(grown.token_embedding.weight) == 450
