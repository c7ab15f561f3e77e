"""Attribute models: learned from means of a frozen model's hidden states, and opened for that model alone."""

import json

import pytest
import torch
from safetensors.torch import save_file

from gyebo.config.attribute import AttributeOptions
from gyebo.generation.pplm import Bag, Discriminator
from gyebo.interchange import load
from gyebo.jobs.attribute import fit, mean_hidden, open_attribute, train_attribute
from gyebo.jobs.control import Wanted, open_control
from gyebo.jobs.identity import digest
from gyebo.text.training import train_tokenizer
from tests.jobs.tuning_files import saved_model, table


def options(models, data, **changed):
    task = {"name": "classification", "data": str(data), "text": "review", "label": "mood"}
    quick = {"epochs": 200, "lr": 0.05, "device": "cpu"}
    return AttributeOptions.model_validate({"model": str(models("gpt2")), "task": task, **quick, **changed})


@pytest.fixture(scope="module")
def trained(models, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("attribute") / "mood"
    said = []
    return out, train_attribute(options(models, data), out, report=said.append), said


def owner(models):
    model, tokenizer = load(models("gpt2"))
    return {"config": model.config, "tokenizer": tokenizer, "weights": digest(model)}


def test_means_are_those_of_each_text_alone(models):
    model, _ = load(models("gpt2"))
    model.eval()
    rows = [[5, 9, 2], [7], [], [3, 3, 3, 3, 8], [1, 2]]
    found = mean_hidden(model, rows)
    for row, vector in zip(rows, found, strict=True):
        with torch.no_grad():
            expected = model.encode(torch.tensor([row])).hidden[0].mean(0) if row else torch.zeros_like(vector)
        assert torch.allclose(vector, expected, atol=1e-5)


def test_it_learns_and_the_model_stays_as_it_is(models, trained):
    out, record, said = trained
    assert record["accuracy"]["test"] > 0.9 and record["accuracy"]["valid"] > 0.9
    assert record == json.loads((out / "attribute.json").read_text(encoding="utf-8"))
    assert {path.name for path in out.iterdir()} == {"attribute.json", "attribute.safetensors"}
    assert record["weights"] == digest(load(models("gpt2"))[0]) and said[-1] == "training"


def test_texts_are_said_to_be_cut_where_they_are(models, tmp_path):
    """At the context, where that is less than what is asked for."""
    rows = [("나무 정말 " * (90 if number % 3 else 1) + str(number), "ab"[number % 2]) for number in range(40)]
    asked = options(models, table(tmp_path / "long.csv", ("review", "mood"), rows), epochs=1, max_length=500)
    context = load(models("gpt2"))[0].config.context
    (note,) = train_attribute(asked, tmp_path / "mood")["notes"][-1:]
    assert note.endswith(f"texts have more than {context} tokens: their beginning was read")


def test_the_layer_is_that_of_adam_from_the_seed(models, data):
    """Its first step by hand."""
    vectors, classes = torch.randn(20, 4), torch.arange(20) % 3
    given = options(models, data, epochs=1, batch=64, seed=7)
    layer = fit(vectors, classes, 3, given)
    torch.manual_seed(7)
    weight, bias = torch.nn.Linear(4, 3).state_dict().values()
    probabilities = (vectors @ weight.T + bias).softmax(1)
    wrong = probabilities - torch.nn.functional.one_hot(classes, 3)
    expected = weight - given.lr * (wrong.T @ vectors / 20).sign()  # the first step of Adam is of length lr
    assert torch.allclose(layer.weight, expected, atol=1e-4)
    assert torch.equal(fit(vectors, classes, 3, given).weight, layer.weight)


def test_a_class_is_opened_for_its_model(models, trained):
    out, record, _ = trained
    found = open_attribute(out, record["labels"][1], (0.0, 2.0), **owner(models))
    assert isinstance(found, Discriminator) and (found.target, found.strength) == (1, (0.0, 2.0))


def test_what_it_does_not_belong_to_is_refused(models, trained, tokenizer_folder, tmp_path):
    out, record, _ = trained
    label, own = record["labels"][0], owner(models)
    with pytest.raises(ValueError, match="has no class 'x'; it has: "):
        open_attribute(out, "x", 1.0, **own)
    with pytest.raises(ValueError, match="for a model with other weights: train one for this model"):
        open_attribute(out, label, 1.0, **(own | {"weights": "0" * 64}))
    other = train_tokenizer(["가 나 다"] * 9, "bpe", 300)
    with pytest.raises(ValueError, match="for a model with another tokenizer"):
        open_attribute(out, label, 1.0, **(own | {"tokenizer": other}))
    wide = load(saved_model(tmp_path / "wide", "gpt2", tokenizer_folder, width=64))[0]
    with pytest.raises(ValueError, match="for a model with width 32 instead of 64"):
        open_attribute(out, label, 1.0, **(own | {"config": wide.config}))
    with pytest.raises(FileNotFoundError, match=r"no attribute model here \(no attribute.json\)"):
        open_attribute(tmp_path, label, 1.0, **own)


@pytest.mark.parametrize("damage", ["json", "format", "tensors", "shape"])
def test_damaged_files(models, trained, tmp_path, damage):
    out, record, _ = trained
    copy = tmp_path / "copy"
    copy.mkdir()
    text = (out / "attribute.json").read_text(encoding="utf-8")
    (copy / "attribute.json").write_text(
        {"json": text[:50], "format": text.replace('"format": 1', '"format": 9')}.get(damage, text)
    )
    if damage == "shape":
        save_file({"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}, copy / "attribute.safetensors")
    elif damage == "tensors":
        (copy / "attribute.safetensors").write_bytes(b"x")
    words = {"json": "not valid JSON", "format": "its format is 9", "tensors": "missing or damaged", "shape": "other shapes"}
    with pytest.raises(ValueError, match=words[damage]):
        open_attribute(copy, record["labels"][0], 1.0, **owner(models))


def test_what_cannot_be_trained(models, data, tmp_path):
    with pytest.raises(ValueError, match="can't be steered"):
        train_attribute(options(models, data, model=str(models("bert"))), tmp_path / "x")
    with pytest.raises(ValueError, match="an attribute is a class of single texts"):
        task = {"name": "world-entailment"}
        train_attribute(options(models, data, task=task), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_directory_is_replaced_only_if_it_is_asked_for(models, data, trained, tmp_path):
    out, _, _ = trained
    with pytest.raises(ValueError, match="exists already: pass overwrite to start again"):
        train_attribute(options(models, data), out)
    (tmp_path / "own.txt").write_text("mine")
    with pytest.raises(ValueError, match="was not written by gyebo"):
        train_attribute(options(models, data), tmp_path, overwrite=True)
    train_attribute(options(models, data), out, overwrite=True)


def test_control_from_what_is_typed(models, trained, tmp_path):
    out, record, _ = trained
    model, tokenizer = load(models("gpt2"))
    (tmp_path / "bag=1.txt").write_text("good\nthere-is-no-such-word\n")
    said = []
    wanted = Wanted([f"{tmp_path}/bag=1.txt=-2"], [f"{out}:{record['labels'][0]}=0..3"], "0.5", ["window=3", "stems=false"])
    control = open_control(wanted, model, tokenizer, said.append)
    bag, discriminator = control.attributes
    assert isinstance(bag, Bag) and bag.strength == (-2.0,) and discriminator.strength == (0.0, 3.0)
    assert (control.strength, control.settings.window, control.settings.iterations) == ((0.5,), 3, 10)
    assert len(said) == 1 and "1 words are no token of this model's vocabulary and are left out: there-is-no-such" in said[0]
    assert open_control(Wanted([f"{tmp_path}/bag=1.txt"]), model, tokenizer).attributes[0].strength == 1.0


def test_what_is_typed_wrongly(models, trained, tmp_path):
    out, record, _ = trained
    model, tokenizer = load(models("gpt2"))
    bag = tmp_path / "bag.txt"
    bag.write_text("good\n")
    (tmp_path / "none.txt").write_text("nothing-like-this\nnor-this\n")
    cases = [
        (Wanted([f"{bag}=much"]), "the strength of .*bag.txt must be a number, or a course"),
        (Wanted([f"{tmp_path}/none.txt"]), "none.txt: none of its 2 words is a token of this model's vocabulary"),
        (Wanted([], [str(out)]), "attribute needs DIR:CLASS"),
        (Wanted([str(bag)], settings=["stepsize"]), "needs section.field=value"),
        (Wanted([str(bag)], settings=["stepsize=-1"]), "stepsize must be a number from 0 on"),
        (Wanted([], [f"{out}:{record['labels'][0]}"], settings=["stems=false"]), "stems=false has no effect"),
        (Wanted([str(bag)], strength="x"), "strength must be a number"),
    ]
    for wanted, message in cases:
        with pytest.raises(ValueError, match=message):
            open_control(wanted, model, tokenizer)
    with pytest.raises(ValueError, match="strength has no effect without bag_of_words or attribute"):
        Wanted(strength="2")
