"""The other half of the promise of docs/architecture.md: kinds of task that are answered by text, or by a head or text, live
here and go through every command without a change in gyebo."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from gyebo.config.finetune import FinetuneOptions
from gyebo.interchange import load, save
from gyebo.jobs.finetuned_model import open_model
from gyebo.jobs.finetuning.build import set_up
from gyebo.tasks.kinds.table import KINDS
from gyebo.tasks.metrics.metrics import METRICS, Metric
from gyebo.tasks.task import Example
from tests.conftest import sentences
from tests.extending.commands import gyebo, killed_at
from tests.extending.toy_text_kinds import GIST, MARK, TONE, word_overlap

SMALL = ["--steps", 6, "--set", "evaluations=0.5", "--precision", "float32", "--device", "cpu"]
WRITER = ["--set", "translation.batch_tokens=1200", "--set", "translation.vocab_size=320", "--set", "translation.beams=1"]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """One line in each of the public tables, and nothing else."""
    monkeypatch.setitem(KINDS, "gist", GIST)
    monkeypatch.setitem(KINDS, "tone", TONE)
    monkeypatch.setitem(METRICS, "word_overlap", Metric(function=word_overlap))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("texts")
    tables = {
        "gist": (["passage", "topic", "gist"], lambda text: [text, "subject", " ".join(text.split()[:2])]),
        "tone": (["text", "tone"], lambda text: [text, "warm" if len(text) % 2 else "cold"]),
    }
    for name, (columns, row) in tables.items():
        with (made / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *map(row, sentences(60, seed=3))])
    return made


def learning(model, kind, folder, *more):
    return ["finetune", model, kind, "--data", folder / f"{kind}.csv", *SMALL, *more]


def learn(model, kind, folder, out, *more):
    gyebo(*learning(model, kind, folder, *more), "-o", out)


@pytest.fixture(scope="module")
def gist(folder):
    with pytest.MonkeyPatch.context() as patch:
        registered.__wrapped__(patch)
        learn("transformer:tiny", "gist", folder, folder / "run", *WRITER)
    return folder / "run"


def test_what_is_learned_is_the_kinds_source_and_target(folder):
    task = {"name": "gist", "data": str(folder / "gist.csv")}
    setup = set_up(FinetuneOptions(model="transformer:tiny", task=task, device="cpu", translation={"vocab_size": 320}))
    columns = setup.tasks[0].features["train"].columns
    example = setup.data.train[setup.tasks[0].features["train"].example[0]]
    decoded = {name: setup.tokenizer.decode(columns[name][0].tolist()) for name in ("input_ids", "decoder_input_ids", "labels")}
    written = f"{MARK} {example.answers[0][1]}"
    assert decoded == {"input_ids": f"subject: {example.text}", "decoder_input_ids": written, "labels": written}
    for word in ("subject", MARK):  # the tokenizer was trained on both, so that what is frequent there became a token
        assert len(setup.tokenizer.encode(word)) < len(word)
    assert setup.tasks[0].sample([("a",)]) == [f"subject: {setup.data.valid[0].text} -> ('a',)"]


def test_it_is_evaluated_asked_and_verified(gist, folder, tmp_path):
    assert 0 <= json.loads(gyebo("evaluate", gist, "--json"))["word_overlap"] <= 1
    with (tmp_path / "ask.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["passage", "topic"], ["나무 정말 바다 좋아한다.", "subject"], ["", "subject"]])
    found = [json.loads(line) for line in gyebo("predict", gist, tmp_path / "ask.csv").splitlines()]
    assert [row["words"] for row in found] == [len(row["prediction"].split()) for row in found]
    assert found[1]["prediction"] == ""  # as the kind says of an example without text
    stored = [json.loads(line) for line in (gist / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert stored and all(set(row) == {"id", "prediction", "words"} for row in stored)
    assert 'pipeline_tag: "summarization"' in (gist / "README.md").read_text(encoding="utf-8")
    gyebo("verify", gist)


def test_what_is_asked_does_not_depend_on_the_answer(gist):
    """A target that is longer than the context is no reason to refuse the source."""
    opened = open_model(str(gist))
    known = Example("1", "나무 정말 바다", "subject", answers=((0, "나무 " * 300),))
    (found,) = opened.predict([known], device="cpu", precision="float32", max_length=None)
    (blank,) = opened.predict([Example("1", "나무 정말 바다", "subject")], device="cpu", precision="float32", max_length=None)
    assert found == blank and isinstance(found, tuple)


def test_a_killed_run_is_resumed_to_the_bit(gist, folder):
    out = folder / "killed"
    killed_at(4, out, *learning("transformer:tiny", "gist", folder, *WRITER))
    learn("transformer:tiny", "gist", folder, out, *WRITER, "--resume")
    whole, resumed = (load_file(run / "model.safetensors") for run in (gist, out))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_is_saved_opened_and_learned_further(gist, folder, tmp_path):
    model, tokenizer = load(gist)
    save(model, tokenizer, tmp_path / "copy")
    again, same = load(tmp_path / "copy")
    ids = torch.tensor([tokenizer.encode("나무 정말")])
    start = torch.tensor([[model.start_id]])
    assert same.fingerprint == tokenizer.fingerprint
    assert torch.equal(again(ids, None, start).logits, model(ids, None, start).logits)
    learn(tmp_path / "copy", "gist", folder, tmp_path / "further", *WRITER[:2])
    assert open_model(str(tmp_path / "further")).kind is GIST


def test_what_only_a_model_that_writes_can_do_is_refused_elsewhere(folder, tokenizer_folder, tmp_path):
    with pytest.raises(ValueError, match="gist.*transformer:mini"):
        learn("bert:tiny", "gist", folder, tmp_path / "run", "--tokenizer", tokenizer_folder)
    with pytest.raises(ValueError, match="translation.beams .*tone"):
        learn("bert:tiny", "tone", folder, tmp_path / "run", "--tokenizer", tokenizer_folder, "--set", "translation.beams=2")


def test_a_model_remembers_what_it_answers_without_its_run(gist, folder, tmp_path, monkeypatch):
    """As a directory on the hub has it: neither record nor predictions; and what a bad hand writes there is named."""
    model, tokenizer = load(gist)
    save(model, tokenizer, tmp_path / "pushed")
    assert open_model(str(tmp_path / "pushed")).kind is GIST
    asked = [Example("1", "나무 정말 바다", "subject")]
    (found,) = open_model(str(tmp_path / "pushed")).predict(asked, device="cpu", precision="float32", max_length=None)
    assert isinstance(found, tuple)
    learn(tmp_path / "pushed", "tone", folder, tmp_path / "tone", *WRITER[:2], "--answer", "text")
    assert [task.kind for task in load(tmp_path / "tone")[0].tasks] == ["tone"]
    file = tmp_path / "pushed" / "config.json"
    written = json.loads(file.read_text(encoding="utf-8"))
    for wrong in ("gist", [{"name": "gist"}], [{"name": "gist", "kind": 3}], [{"name": "a", "kind": "b", "more": 1}]):
        file.write_text(json.dumps(written | {"gyebo_tasks": wrong}), encoding="utf-8")
        with pytest.raises(ValueError, match=r"config.json: gyebo_tasks must be a list of tasks"):
            load(tmp_path / "pushed")
    monkeypatch.setitem(KINDS, "mute", replace(TONE, name="mute", text=None))
    for kind, words in (("song", "unknown kind of task 'song'"), ("mute", "mute is not answered by text")):
        file.write_text(json.dumps(written | {"gyebo_tasks": [{"name": "a", "kind": kind}]}), encoding="utf-8")
        with pytest.raises(ValueError, match=words):
            open_model(str(tmp_path / "pushed"))


def test_the_form_that_a_family_lacks_is_refused(folder, tokenizer_folder, tmp_path):
    for model, asked in (("bert:tiny", "text"), ("transformer:tiny", "head")):
        with pytest.raises(ValueError, match=f"--answer {asked}: {model} answers"):
            learn(model, "tone", folder, tmp_path / "run", "--tokenizer", tokenizer_folder, "--answer", asked)


def test_a_step_may_be_a_number_of_examples(folder, tmp_path):
    learn("transformer:tiny", "tone", folder, tmp_path / "run", *WRITER[2:], "--batch", 7, "--set", "micro_batch=3")
    record = (tmp_path / "run" / "run.toml").read_text(encoding="utf-8")
    assert 'step_size = "7 examples"' in record and 'answer = "text"' in record
    gyebo("verify", tmp_path / "run")


@pytest.mark.parametrize("model", ["bert:tiny", "transformer:tiny"])
def test_a_kind_with_both_forms_is_answered_by_either(model, folder, tokenizer_folder, tmp_path):
    out, writes = tmp_path / "run", model.startswith("transformer")
    learn(model, "tone", folder, out, *(WRITER if writes else ["--tokenizer", tokenizer_folder]))
    opened = open_model(str(out))
    assert opened.kind is TONE and opened.labels == ("cold", "warm")
    assert 0 <= json.loads(gyebo("evaluate", out, "--json"))["accuracy"] <= 1
    (tmp_path / "ask.txt").write_text("나무 정말 바다 좋아한다.\n하늘\n", encoding="utf-8")
    for rows in (gyebo("predict", out, tmp_path / "ask.txt"), (out / "predictions.jsonl").read_text(encoding="utf-8")):
        found = [json.loads(line) for line in rows.splitlines()]
        assert found and all(isinstance(row["prediction"], str) for row in found)
        assert all(("probabilities" in row) != writes for row in found)
