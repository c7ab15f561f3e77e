"""Dialogue from a file to a model that answers: decoders and encoder-decoders, resumed, evaluated, asked, and copied."""

import io
import json
import shutil

import pytest
from rich.console import Console

from gyebo import world
from gyebo.config.finetune import FinetuneOptions
from gyebo.interchange import load
from gyebo.jobs.evaluate import evaluate_task
from gyebo.jobs.finetuned_model import open_model
from gyebo.jobs.finetuning.run import dry_run, finetune
from gyebo.jobs.predict import predict
from gyebo.tasks.dialogue import MOST_TURNS
from gyebo.tasks.registry import find
from tests.conftest import sentences
from tests.extending.commands import gyebo, killed_at
from tests.jobs.tuning_files import json_lines, saved_model, tuning

DIALOGUES = [{"turns": text.rstrip(".").split(". ")} for text in sentences(120, seed=4) if ". " in text]
MODELS = ["gpt2:tiny", "transformer_xl:tiny", "bart:tiny"]
MODELS += [pytest.param(f"{name}:tiny", marks=pytest.mark.slow) for name in ("lstm", "seq2seq", "transformer", "t5", "meena")]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return json_lines(tmp_path_factory.mktemp("talk") / "turns.jsonl", DIALOGUES)


def asked(file, model="gpt2:tiny", steps=2, **more):
    translation = {"beams": 1, "vocab_size": 330, "batch_tokens": 600, "average": 1}
    values = {"model": model, "task": {"name": "dialogue", "data": str(file)}, "steps": steps, "device": "cpu"}
    values |= {"precision": "float32", "evaluations": 0.1, "translation": translation}
    return FinetuneOptions.model_validate(values | more)


@pytest.mark.parametrize("model", MODELS)
def test_a_dialogue_is_learned_evaluated_and_continued(model, file, tmp_path):
    result = finetune(asked(file, model), tmp_path / "run")
    assert result.answer == "text" and result.score == "response_probability" and {*result.test} == {*find("chatbot").metrics}
    assert result.test["response_probability"] == pytest.approx(1 / result.test["response_perplexity"])
    again = evaluate_task(str(tmp_path / "run"))
    assert {name: again[name] for name in result.test} == pytest.approx(result.test)
    rows = predict(str(tmp_path / "run"), str(file))
    assert [row["turns"] for row in rows] == [each["turns"] for each in DIALOGUES] and "nats" not in rows[0]
    lines = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert all(line["nats"] > 0 and line["tokens"] > 1 and line["label"] for line in lines)


def test_one_is_told_to_chat(file, tmp_path, cli):
    words = ["--set", "translation.vocab_size=330", "--set", "translation.beams=1", "--set", "translation.average=1"]
    words += ["--steps", "1", "--precision", "float32", "-o", tmp_path / "run"]
    found = cli("finetune", "gpt2:tiny", "dialogue", "--data", file, *words)
    assert found.code == 0 and found.out.splitlines()[-1].endswith(f"Next: gyebo chat {tmp_path / 'run'}"), found.err


@pytest.mark.parametrize(("family", "tag"), [("gpt2", "text-generation"), ("bart", "text2text-generation")])
def test_a_pretrained_model_goes_on_with_its_own_tokenizer(family, tag, models, file, tmp_path):
    """The card names the pipeline that opens it and both scores."""
    asked_of = asked(file, str(models(family)), translation={"beams": 2, "batch_tokens": 600, "average": 2})
    result = finetune(asked_of, tmp_path / "run")
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert f"pipeline_tag: {tag}" in card.replace('"', "") and "response perplexity (a tenth held out)" in card
    assert (result.auto_class == "AutoModelForCausalLM") == (family == "gpt2")
    opened = open_model(str(tmp_path / "run"))
    assert opened.tokenizer.fingerprint == load(str(models(family)))[1].fingerprint


def test_a_copy_without_its_run_reads_turns_as_the_run_did(file, tmp_path):
    finetune(asked(file), tmp_path / "run")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    (tmp_path / "copy" / "run.toml").unlink()
    run, copy = open_model(str(tmp_path / "run")), open_model(str(tmp_path / "copy"))
    assert copy.texts.task == run.texts.task and copy.texts.task.turns == MOST_TURNS
    turns = ["나무"] * 9
    found = copy.source_of(turns)
    assert found == run.source_of(turns) and found.dropped == 2
    assert load(tmp_path / "copy")[0].tasks[0].kind == "dialogue"


def test_the_source_of_a_history_is_that_of_training(file, tmp_path):
    from gyebo.jobs.finetuning.build import set_up

    finetune(asked(file), tmp_path / "run")
    opened, (part,) = open_model(str(tmp_path / "run")), set_up(asked(file)).tasks
    for number, example in enumerate(part.data.test):
        learned = part.features["test"].notes["sources"][number].tolist()
        assert opened.source_of(example.text.split("\n")).ids == learned


def test_old_turns_that_do_not_fit_are_counted(file, tmp_path):
    result = finetune(asked(file, steps=1, max_length=12), tmp_path / "run")
    (note,) = [note for note in result.notes if note.startswith("training examples: ")]
    assert "oldest turns" in note and note.endswith("at most 12 tokens are read")
    (tmp_path / "new.jsonl").write_text(json.dumps({"turns": ["나무 하늘 바다"] * 9}) + "\n", encoding="utf-8")
    notes = []
    predict(str(tmp_path / "run"), str(tmp_path / "new.jsonl"), notes=notes)
    assert len(notes) == 1 and "of 1 dialogues the oldest turns (8 in all) were left out" in notes[0]


def test_an_empty_turn_stops_before_training(tmp_path):
    path = json_lines(tmp_path / "turns.jsonl", [*DIALOGUES[:3], {"turns": ["a", ""]}])
    with pytest.raises(ValueError, match="turns.jsonl: line 4: turn 2 is empty"):
        finetune(asked(path), tmp_path / "run")


def test_an_interrupted_run_goes_on_bitwise(file, tmp_path):
    words = ["finetune", "gpt2:tiny", "dialogue", "--data", file, "--steps", "8", "--device", "cpu", "--precision", "float32"]
    for name, value in (("translation.vocab_size", 330), ("translation.batch_tokens", 300), ("translation.beams", 1)):
        words += ["--set", f"{name}={value}"]
    gyebo(*words, "-o", tmp_path / "whole")
    steps = [int(path.name.partition("-")[2]) for path in (tmp_path / "whole" / "checkpoints").glob("step-*")]
    killed_at(min(steps), tmp_path / "cut", *words)
    gyebo(*words, "-o", tmp_path / "cut", "--resume")
    names = ("model.safetensors", "predictions.jsonl")
    assert all((tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes() for name in names)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"answer": "head"}, "answer.*head.*dialogue"),
        ({"translation": {"separate": True}}, "translation.separate.*one row"),
        ({"translation": {"coverage_penalty": 0.2}}, "translation.coverage_penalty.*no attention to a source"),
        ({"shape": {"cutoffs": [100]}, "model": "lstm:tiny"}, "translation.smoothing.*adaptive softmax"),
        ({"max_length": 4096, "model": "bert:tiny"}, "bert:tiny answers with a task head"),
    ],
)
def test_what_a_decoder_cannot_do_is_refused(more, reason, file, tmp_path):
    with pytest.raises(ValueError, match=reason):
        finetune(asked(file, **more), tmp_path / "run")


def test_a_model_whose_output_layer_was_taken_off_is_refused(tokenizer_folder, data, file, tmp_path):
    model = saved_model(tmp_path / "xl", "transformer_xl", tokenizer_folder, window=32, memory=32, head_width=16)
    finetune(tuning(model, data, steps=1, epochs=None), tmp_path / "head")
    with pytest.raises(ValueError, match="head was fine-tuned with a task head and has no output layer"):
        finetune(asked(file, str(tmp_path / "head"), translation={"beams": 1}), tmp_path / "run")


@pytest.mark.slow
def test_conversations_of_the_world_are_learned(tmp_path):
    """Perplexity falls far below the 330 ids of the vocabulary, and the weights are those of the best one."""
    path = json_lines(tmp_path / "turns.jsonl", [{"turns": made.turns} for made in world.conversations(150, languages=("ko",))])
    options = asked(path, steps=120, optim={"lr": 3e-3}, evaluations=10)
    result = finetune(options, tmp_path / "run")
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["evaluation"]["response_perplexity"] for line in log if "evaluation" in line}
    assert result.valid["response_perplexity"] < 40 and result.best_step == min(scores, key=scores.get) and len(scores) > 2
    assert result.valid["response_perplexity"] == pytest.approx(min(scores.values()), rel=1e-3)


def test_few_steps_are_said_where_a_step_is_measured_in_tokens(file):
    def said(steps, **more):
        console = Console(file=io.StringIO(), width=300)
        dry_run(asked(file, steps=steps, **more), console)
        return console.file.getvalue()

    assert "note: 2 steps are few to learn from: a smaller translation.batch_tokens" in said(2)
    assert "are few" not in said(100)
    assert "are few" not in said(2, batch=4, translation={"beams": 1, "vocab_size": 330, "average": 1})
