"""One model that learns several tasks by their prefixes: mixed as asked, measured task by task, resumed to the bit."""

import csv
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.jobs import run_directory
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuned_model import open_model, open_tasks
from gyebo.jobs.finetuning.build import set_up
from gyebo.jobs.predict import predict
from tests.conftest import sentences
from tests.extending.commands import gyebo, killed_at
from tests.refusals import option_error

TEXTS = [" ".join(text.split()[:3]) for text in sentences(60, seed=5)]
FILES = {
    "classification": (["text", "label"], lambda text, n: [text, "even" if n % 2 else "odd"], 60),
    "regression": (["text", "label"], lambda text, n: [text, n % 6], 40),
    "pair": (["text", "pair", "label"], lambda text, n: [text, TEXTS[n - 1], "a" if n % 3 else "b"], 30),
}
SMALL = ["--steps", 8, "--batch", 20, "--precision", "float32", "--device", "cpu", "--set", "evaluations=0.5"]
SMALL += ["--set", "translation.vocab_size=330", "--set", "translation.beams=1", "--set", "mixing.limit=30"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("texts")
    for kind, (columns, row, count) in FILES.items():
        with (made / f"{kind}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *(row(text, n) for n, text in enumerate(TEXTS[:count]))])
    return made


def learning(folder, *more):
    return ["finetune", "transformer:tiny", ",".join(f"{kind}={folder / kind}.csv" for kind in FILES), *SMALL, *more]


@pytest.fixture(scope="module")
def run(folder):
    gyebo(*learning(folder), "-o", folder / "run")
    return folder / "run"


def asked(folder, kinds=tuple(FILES), **more):
    first, *further = ({"name": kind, "data": str(folder / f"{kind}.csv")} for kind in kinds)
    values = {"model": "transformer:tiny", "task": first, "further_tasks": further, "device": "cpu"}
    return FinetuneOptions.model_validate({**values, "translation": {"vocab_size": 330}, **more})


def test_what_is_learned_is_every_task_after_its_name_at_the_rates_that_are_said(folder):
    setup = set_up(asked(folder, mixing={"limit": 30}, batch=16))
    sizes = [len(part.data.train) for part in setup.tasks]
    limited = [min(size, 30) for size in sizes]
    assert setup.rates == pytest.approx(dict(zip(FILES, (size / sum(limited) for size in limited))))
    assert len(setup.rows) == sum(limited) and setup.steps_per_epoch == sum(limited) / 16
    read = {setup.tokenizer.decode(row[row != 0].tolist()).partition(" ")[0] for row in setup.rows.step(0, 64, 0)["input_ids"]}
    assert read == set(FILES)
    said = json.loads(gyebo(*learning(folder), "--dry-run", "--json"))
    assert said["rates"] == pytest.approx(setup.rates) and said["steps"] == 8 and said["batch"] == 20


def test_every_task_is_measured_and_their_mean_chooses(run):
    record = run_directory.read(run)
    result = record["result"]
    names = {"classification.macro_f1", "classification.accuracy", "pair.macro_f1", "pair.accuracy"}
    assert set(result["valid"]) == set(result["test"]) == {"mean", "regression.pearson", "regression.spearman", *names}
    scores = [result["test"][name] for name in ("classification.macro_f1", "regression.pearson", "pair.macro_f1")]
    assert result["test"]["mean"] == pytest.approx(sum(scores) / 3) and result["score"] == "mean"
    assert [task["name"] for task in (record["task"], *record["further_tasks"])] == list(FILES)
    assert set(result["tasks"]) == set(FILES) and sum(result["tasks"].values()) == result["examples"]
    rows = [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["task"] for row in rows} == set(FILES)
    again = evaluate_task(str(run))
    assert {name: again[name] for name in result["test"]} == pytest.approx(result["test"])
    for name in ("classification", "pair"):
        (alone,) = [json.loads(gyebo("evaluate", run, name, "--data", run.parent / f"{name}.csv", "--json"))]
        assert alone["accuracy"] == pytest.approx(again[f"{name}.accuracy"]) and alone["task"] == name
    card = (run / "README.md").read_text(encoding="utf-8")
    assert "classification.accuracy (each test set)" in card or "classification.accuracy (a tenth held out)" in card
    assert "classification=" in card and "regression=" in card and "further_tasks" not in card


def test_a_task_is_named_to_ask_it(run, folder, tmp_path):
    shutil.copytree(run, tmp_path / "copy")
    (tmp_path / "copy" / "run.toml").unlink()
    for name in FILES:
        for where in (run, tmp_path / "copy"):
            assert len(predict(str(where), str(folder / f"{name}.csv"), task=name)) == FILES[name][2]
        one, other = (open_model(str(where), TaskOptions(name=name)) for where in (run, tmp_path / "copy"))
        assert one.texts.task == other.texts.task and one.texts.task.prefix == name
    with option_error("task") as caught:
        predict(str(run), str(folder / "pair.csv"))
    assert "classification, regression, pair" in caught.value.text
    with pytest.raises(ValueError, match="learned classification, regression, pair, not nsmc"):
        gyebo("predict", run, folder / "pair.csv", "--task", "nsmc")
    with pytest.raises(ValueError, match="learned classification, regression, pair, not nsmc"):
        evaluate_task(str(run), TaskOptions(name="nsmc"))
    assert [each.kind.name for each in open_tasks(str(run))] == ["classification", "regression", "classification"]
    assert [each.trained.paired for each in open_tasks(str(run))] == [False, False, True]


def test_it_is_verified_and_a_killed_run_is_resumed_to_the_bit(run, folder):
    gyebo("verify", run)
    out = folder / "killed"
    killed_at(4, out, *learning(folder))
    gyebo(*learning(folder), "-o", out, "--resume")
    whole, resumed = (load_file(each / "model.safetensors") for each in (run, out))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    gyebo("verify", out)


def test_a_moved_folder_is_found_and_changed_examples_are_not(run, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "moved")
    moved = tmp_path / "moved"
    assert evaluate_task(str(moved / "run"))["mean"] == evaluate_task(str(run))["mean"]
    lines = (moved / "regression.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (moved / "regression.csv").write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(ValueError, match="the examples of its task have changed"):
        gyebo(*learning(moved), "-o", moved / "run", "--resume")


def test_what_does_not_fit_several_tasks_is_refused_by_name(folder):
    for option, value in (("answer", "head"), ("bpe_dropout", 0.1), ("translation", {"batch_tokens": 100})):
        with pytest.raises(ValueError, match=f"{option}.*several tasks"):
            asked(folder, **{option: value})
    with pytest.raises(ValueError, match="mixing.limit has no effect on a single task"):
        asked(folder, ["pair"], mixing={"limit": 3})
    with pytest.raises(ValueError, match="mixing.temperature=2 has no effect"):
        asked(folder, mixing={"by": "equal", "temperature": 2.0})
    with option_error("task.name"):
        set_up(asked(folder, ["pair", "regression", "pair"]))
    with pytest.raises(ValueError, match="bert:tiny answers with a task head, which is for one task"):
        set_up(asked(folder, model="bert:tiny"))
    with option_error("task.text"):
        gyebo(*learning(folder), "--text", "review", "-o", folder / "x")
    with option_error("out"):
        gyebo(*learning(folder))
