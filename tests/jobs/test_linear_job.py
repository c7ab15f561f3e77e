"""The linear baseline on tasks: measured as networks are, stored as a run, refused where it can't learn."""

import json

import pytest

from gyebo.config import toml
from gyebo.config.finetune import TaskOptions
from gyebo.jobs.finetuned_model import margins
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.tasks import linear
from gyebo.tasks.metrics.metrics import measure
from gyebo.tasks.splits import read_task
from tests.jobs.tuning_files import json_lines, pairs, reviews, table, tagged, tuning


def test_it_learns_and_is_measured_on_the_part_that_networks_are(tmp_path):
    options = tuning("x", reviews(tmp_path)).task
    found = finetune_linear(options, tmp_path / "run")
    assert found.model == "linear" and found.seeds == [0] and found.test["accuracy"].mean > 0.9
    data, model = read_task(options), linear.load(tmp_path / "run")
    again = measure(data.task, model.predict(data.test), data.test)
    assert {name: value.mean for name, value in found.test.items()} == pytest.approx(again)
    record = toml.read(tmp_path / "run" / "run.toml")
    assert record["kind"] == "linear" and record["state"]["finished"] and not record["result"]["paired"]
    rows = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == [example.id for example in data.test]
    assert [row["prediction"] for row in rows] == model.predict(data.test)


def test_scores_of_pairs(tmp_path):
    file = table(tmp_path / "pairs.csv", ("text", "second", "same", "score"), pairs(120))
    options = TaskOptions(name="regression", data=str(file), pair="second", label="score")
    found = finetune_linear(options, tmp_path / "run")
    assert found.score == "pearson" and found.test["pearson"].mean > 0.5
    assert toml.read(tmp_path / "run" / "run.toml")["result"]["paired"]


def test_each_part_has_its_own_scores(tmp_path):
    """On scores, which two parts of a file hardly ever have alike."""
    file = table(tmp_path / "pairs.csv", ("text", "second", "same", "score"), pairs(120))
    options = TaskOptions(name="regression", data=str(file), pair="second", label="score")
    found, data = finetune_linear(options, tmp_path / "run"), read_task(options)
    model = linear.load(tmp_path / "run")
    for part in ("valid", "test"):
        expected = measure(data.task, margins(model, getattr(data, part)), getattr(data, part))
        assert {name: value.mean for name, value in getattr(found, part).items()} == pytest.approx(expected)
    assert found.valid != found.test and found.examples == len(data.train) != len(data.test)
    assert found.parameters == model.weight.size + model.bias.size


def test_margins_rank_as_probabilities_do(tmp_path):
    options = tuning("x", reviews(tmp_path)).task
    data = read_task(options)
    model = linear.fit(data.train, data.task.labels)
    for shares, name in zip(margins(model, data.test), model.predict(data.test)):
        assert list(shares) == list(model.labels) and max(shares, key=shares.get) == name


def test_relations_are_scored_by_their_margins(tmp_path):
    """KLUE-RE's second metric is the area under precision and recall of every relation: it needs numbers, not names."""
    rows = []
    for number in range(120):
        text = f"나무 바다 {number} 하늘 {'만났다' if number % 2 else '찾았다'}"
        row = {"guid": str(number), "sentence": text, "label": "no_relation" if number % 2 else "org:members"}
        for role, word in (("subject_entity", "나무"), ("object_entity", "하늘")):
            start = text.index(word)
            row[role] = {"word": word, "start_idx": start, "end_idx": start + len(word) - 1, "type": "PER"}
        rows.append(row)
    for split in ("train", "dev"):
        (tmp_path / f"re_{split}.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    found = finetune_linear(TaskOptions(name="klue-re", data=str(tmp_path)), tmp_path / "run" / "linear")
    assert found.test["relation_auprc"].mean > 0.9 and found.test["relation_micro_f1"].mean > 0.9


def test_what_it_cannot_do_is_refused(tmp_path):
    file = json_lines(tmp_path / "tags.jsonl", tagged(40))
    with pytest.raises(ValueError, match="tagging: .* classification and regression, not tagging"):
        finetune_linear(TaskOptions(name="tagging", data=str(file)), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    options = tuning("x", reviews(tmp_path)).task
    with pytest.raises(ValueError, match="which the run starts from: choose another out"):
        finetune_linear(options, tmp_path, overwrite=True)
    finetune_linear(options, tmp_path / "run")
    with pytest.raises(ValueError, match="exists already"):
        finetune_linear(options, tmp_path / "run")
    assert finetune_linear(options, tmp_path / "run", overwrite=True).seeds == [0]
