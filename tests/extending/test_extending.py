"""The promise of docs/architecture.md: a family with an objective of its own and a kind of task, all living here, registered in
the public tables, go through every command without a change in gyebo."""

import csv
import json

import pytest
import torch
from safetensors.torch import load_file

from gyebo.generation import generate
from gyebo.interchange import load, save
from gyebo.interchange.registry import FORMATS
from gyebo.models.family import FAMILIES, model_class
from gyebo.objectives.facts import Line, ObjectiveFacts, Samples
from gyebo.objectives.table import OBJECTIVES
from gyebo.tasks.kinds.table import KINDS
from tests.conftest import sentences
from tests.extending import toy_family, toy_kind
from tests.extending.commands import gyebo, killed_at

FACTS = ObjectiveFacts(
    name="toy-denoising",
    module="tests.extending.toy_objective",
    learns="to put back tokens that were replaced",
    metric="denoising_loss",
    unit="nats per token put back",
    evaluate="tests.extending.toy_objective:evaluate",
    card_metrics=("denoising_loss",),
    samples=Samples(function="tests.extending.toy_objective:sample", heading="What toys say", meaning="Nothing that matters."),
    next_command="evaluate {out}",
    meaning="How surprised the model was by what had stood there.",
    lines_beside=(Line(heading="Loss on what was put back", meaning="As above.", metric="denoising_loss"),),
)
STEPS = ["--steps", 6, "--checkpoint-every", 2]
SMALL = ["--size", "tiny", "--context", "24", "--batch-tokens", "240", "--precision", "float32", "--device", "cpu"]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """One line in each of the public tables, and nothing else."""
    monkeypatch.setitem(FAMILIES, "toy", toy_family.FAMILY)
    monkeypatch.setitem(OBJECTIVES, "toy-denoising", FACTS)
    monkeypatch.setitem(KINDS, "stars", toy_kind.KIND)
    monkeypatch.setitem(FORMATS, "gyebo-toy", toy_family.FORMAT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, corpus, tokenizer_folder):
    """Text, reviews with stars, and a run of the toy family that is pretrained once."""
    made = tmp_path_factory.mktemp("toys")
    with (made / "stars.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "stars"])
        table.writerows([text, 1 + len(text) % 5] for text in sentences(80, seed=4))
    return made


@pytest.fixture
def pretrained(folder, corpus, tokenizer_folder):
    out = folder / "toy"
    if not out.is_dir():
        gyebo(
            "pretrain", "toy", corpus, "--steps", 6, "--checkpoint-every", 2, "--tokenizer", tokenizer_folder, *SMALL, "-o", out
        )
    return out


def test_the_table_says_how_many_parameters_it_has():
    for size, config in toy_family.Toy.sizes.items():
        assert model_class("toy")(config).count_parameters() == toy_family.FAMILY.sizes[size]
    assert "toy" in gyebo("families")


def test_it_is_pretrained_evaluated_and_verified(pretrained):
    record = load_file(pretrained / "model.safetensors")
    assert record["token_embedding.weight"].shape == (400, 16)
    card = (pretrained / "README.md").read_text(encoding="utf-8")
    assert "denoising loss" in card and "a toy has nothing to say" in card
    measured = json.loads(gyebo("evaluate", pretrained, "--json"))
    assert measured["denoising_loss"] > 0 and "bits_per_byte" not in measured
    gyebo("verify", pretrained)


def test_a_killed_run_is_resumed_to_the_bit(pretrained, folder, corpus, tokenizer_folder):
    command = ["pretrain", "toy", corpus, *STEPS, "--tokenizer", tokenizer_folder, *SMALL]
    out = folder / "killed"
    killed_at(2, out, *command)
    gyebo(*command, "-o", out, "--resume")
    whole, resumed = (load_file(run / "model.safetensors") for run in (pretrained, out))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_it_learns_a_kind_of_task_is_evaluated_and_asked(pretrained, folder):
    out = folder / "stars"
    gyebo("finetune", pretrained, "stars", "--data", folder / "stars.csv", "--epochs", 1, "--device", "cpu", "-o", out)
    assert 0 <= json.loads(gyebo("evaluate", out, "--json"))["accuracy"] <= 1
    (folder / "ask.txt").write_text("나무 정말 바다 좋아한다.\n하늘\n", encoding="utf-8")
    found = [json.loads(line) for line in gyebo("predict", out, folder / "ask.txt").splitlines()]
    assert len(found) == 2 and all(row["prediction"] in {"1", "2", "3", "4", "5"} for row in found)
    model, tokenizer = load(out)
    assert model.kind is KINDS["stars"]
    assert model(**tokenizer(["나무"], return_tensors="pt")).logits.shape == (1, 1)
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["GyeboForStarRating"] and config["model_type"] == "gyebo-toy"


def test_a_published_family_learns_the_kind_too(folder, tokenizer_folder):
    out = folder / "bert-stars"
    asked = ["--tokenizer", tokenizer_folder, "--epochs", 1, "--device", "cpu", "--set", "shape.layers=1"]
    gyebo("finetune", "bert:tiny", "stars", "--data", folder / "stars.csv", *asked, "-o", out)
    assert load(out)[0].kind is KINDS["stars"]


def test_what_it_reads_is_shown(folder, corpus, tokenizer_folder):
    words = ["inspect", "corruption", "toy", corpus, "--tokenizer", tokenizer_folder, "--set", "objective.rate=0.5"]
    lines = gyebo(*words, "--examples", 1).splitlines()
    assert lines[:2] == ["Toy learns to put back tokens that were replaced", "options: the tokens that were replaced, 50%"]
    assert [line.split()[0] for line in lines[3:7]] == ["example", "text", "input_ids", "labels"]


def test_it_is_saved_and_opened(pretrained, tmp_path):
    model, tokenizer = load(pretrained)
    save(model, tokenizer, tmp_path / "copy")
    again, _ = load(tmp_path / "copy")
    assert type(again) is toy_family.Toy and again.config == model.config
    ids = torch.randint(3, 400, (2, 7))
    assert torch.equal(again(ids).logits, model(ids).logits)


def test_what_it_cannot_do_is_refused_by_name(pretrained):
    model, tokenizer = load(pretrained)
    assert not model.generates and not model.carries_state
    with pytest.raises(ValueError, match="Toy"):
        generate(model, tokenizer, "가")
    for refused in (["generate", pretrained, "--prompt", "가"], ["fill", pretrained, "--text", "[MASK]"]):
        with pytest.raises(ValueError, match="(?i)toy"):
            gyebo(*refused)


def test_it_is_compared(folder, corpus, tokenizer_folder):
    (folder / "recipe.toml").write_text(
        f"""
title = "Toys"
seeds = [0, 1]
context = 24
data = {{ corpus = [{json.dumps(str(corpus))}], valid_share = 0.05 }}
tokenizer = {{ path = {json.dumps(str(tokenizer_folder))} }}
budget = {{ steps = 2 }}
train = {{ batch_tokens = 240, precision = "float32", device = "cpu" }}

[[tasks]]
name = "stars"
data = {json.dumps(str(folder / "stars.csv"))}
epochs = 1

[[candidates]]
family = "toy"
size = "tiny"

[[candidates]]
family = "toy"
size = "mini"
""",
        encoding="utf-8",
    )
    gyebo("compare", folder / "recipe.toml", "-o", folder / "compared")
    results = json.loads((folder / "compared" / "results.json").read_text(encoding="utf-8"))
    assert len(results["candidates"]) == 2
    report = (folder / "compared" / "report.html").read_text(encoding="utf-8")
    assert "Loss on what was put back" in report and "What toys say" in report
