"""ELMo through every job: pretrained, stopped, replayed, scored; its layers as features of tasks; embedded and compared."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rich.console import Console

import gyebo
from gyebo.compare import recipe as recipes
from gyebo.compare.run import compare
from gyebo.jobs.embed import embed
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.fill import fill
from gyebo.jobs.finetuning.build import set_up as set_up_task
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.generate import generate
from gyebo.jobs.predict import predict
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.planning import plan_run
from gyebo.jobs.verify import verify
from gyebo.text.characters import spelling
from gyebo.training import checkpoint
from gyebo.training.optimizer import default_lr
from tests.jobs.tuning_files import json_lines, reviews, sentences, tagged, tuning
from tests.refusals import option_error
from tests.training.test_resume import final_weights, interrupted, same

SHAPE = {"width": 48, "cells": 32, "filters": [8, 8, 16], "characters": 20}


@pytest.fixture(scope="module")
def made(corpus, tokenizer_folder, tmp_path_factory):
    """(options, directory, result) of a run of 120 steps."""
    out = tmp_path_factory.mktemp("elmo") / "run"
    options = gyebo.RunOptions.model_validate(
        {
            "family": "elmo",
            "size": "tiny",
            "model": SHAPE,
            "tokenizer": str(tokenizer_folder),
            "context": 64,
            "data": {"corpus": [str(corpus)], "valid_share": 0.05},
            "optim": {"lr": 5e-3},
            "budget": {"steps": 120},
            "train": {"batch_tokens": 512, "precision": "float32", "device": "cpu"},
        }
    )
    return options, out, pretrain(options, out)


def test_it_learns_in_both_directions_and_says_what_it_is(made):
    _, out, result = made
    valid = result.valid
    assert result.metric == "bidirectional_loss" and "bits_per_byte" not in valid
    assert valid["bidirectional_loss"] < math.log(400) - 2.5
    assert max(valid["forward_perplexity"], valid["backward_perplexity"]) < 40
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'library_name: "gyebo"' in card and "gyebo pretrain elmo" in card and "forward perplexity" in card
    assert result.samples == [] and (out / "loss.png").is_file()


def test_the_run_holds_how_its_pieces_are_spelled(made):
    _, out, _ = made
    model, tokenizer = gyebo.load(out)
    assert np.array_equal(model.spelling.numpy(), spelling(tokenizer, 20))
    assert torch.equal(final_weights(out)["spelling"], model.spelling)  # in checkpoints too
    assert model.config.filters == (8, 8, 16) and model.config.bos_id == tokenizer.role_ids["bos"]


def test_a_stopped_run_goes_on_to_the_same_weights_and_replays(run_options, tmp_path, monkeypatch):
    options = run_options(6, family="elmo", model={"cells": 20}, train={"micro_batch_tokens": 100})
    out, other = tmp_path / "whole", tmp_path / "run"
    pretrain(options, out)
    interrupted(options, other, 3, monkeypatch)
    pretrain(options, other, resume=True)
    assert same(final_weights(out), final_weights(other))
    assert verify(other, Console(quiet=True))


def test_evaluation_gives_the_runs_own_figures_and_those_of_other_text(made, corpus, tmp_path):
    """Of one text, by its formula: each direction, and bits per byte of that from the left."""
    _, out, result = made
    found = evaluate(str(out))
    assert found.items() >= {name: pytest.approx(value, rel=1e-6) for name, value in result.valid.items()}.items()
    assert "no likelihood" in found["note"]
    text = corpus.read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "one.txt").write_text(text + "\n", encoding="utf-8")
    model, tokenizer = gyebo.load(out)
    ids = torch.tensor(tokenizer([text])["input_ids"])
    assert ids[0, 0] == model.config.bos_id and ids[0, -1] == model.config.eos_id
    with torch.no_grad():
        logits = model(ids)
    ahead = torch.nn.functional.cross_entropy(logits.logits[0, :-1], ids[0, 1:], reduction="sum")
    back = torch.nn.functional.cross_entropy(logits.backward_logits[0, 1:], ids[0, :-1], reduction="sum")
    one = evaluate(str(out), [str(tmp_path / "one.txt")])
    assert one["bidirectional_loss"] == pytest.approx(float(ahead + back) / 2 / (ids.shape[1] - 1), rel=1e-4)
    assert one["forward_bits_per_byte"] == pytest.approx(float(ahead) / math.log(2) / len(text.encode()), rel=1e-4)
    assert one["backward_perplexity"] == pytest.approx(math.exp(float(back) / (ids.shape[1] - 1)), rel=1e-4)


def test_what_it_cannot_do_is_refused_by_name(made):
    _, out, _ = made
    with pytest.raises(ValueError, match="an? ELMo cannot generate text"):
        generate(str(out), ["나무"], {})
    with pytest.raises(ValueError, match="elmo: this model has no masked-LM head"):
        fill(str(out), ["나무 [MASK]"])


def test_a_plan_knows_its_parameters_and_what_has_no_meaning_is_refused(made, tmp_path):
    options, _, _ = made
    plan = plan_run(set_up(options, tmp_path, None))
    model = set_up(options, tmp_path, None).make_model()
    assert plan.parameters == model.count_parameters()
    for data, said in (({"across_documents": True}, "across_documents"), ({"order": "lanes"}, "carries no state")):
        changed = options.model_copy(update={"data": options.data.model_copy(update=data)})
        with pytest.raises(ValueError, match=said):
            set_up(changed, tmp_path, None)
    with option_error("train.compile"):
        set_up(options.model_copy(update={"train": options.train.model_copy(update={"compile": True})}), tmp_path, None)
    with option_error("model.filters"):
        set_up(options.model_copy(update={"model": {"filters": 3}}), tmp_path, None)


def test_it_goes_on_from_its_own_weights(made, tmp_path):
    options, out, _ = made
    again = options.model_copy(update={"start_from": str(out), "tokenizer": None, "model": {}, "context": None})
    model = set_up(again, tmp_path, None).make_model()
    assert same(model.state_dict(), gyebo.load(out)[0].state_dict())


# -- its layers as features


@pytest.fixture(scope="module")
def tags(tmp_path_factory):
    return json_lines(tmp_path_factory.mktemp("tags") / "tags.jsonl", tagged(120))


@pytest.mark.parametrize("layers", [None, "static", "top"])
def test_a_tagger_learns_on_frozen_layers(made, tags, tmp_path, layers):
    _, out, _ = made
    options = tuning(out, tags, "tagging", epochs=16, evaluations=1, layers=layers, optim={"lr": 2e-2})
    result = finetune(options, tmp_path / "tuned")
    before, after = gyebo.load(out)[0], gyebo.load(tmp_path / "tuned")[0]
    learned = dict(after.named_parameters())
    kept = before.state_dict()
    assert all(torch.equal(tensor, kept[name.removeprefix("body.")]) for name, tensor in learned.items() if "body." in name)
    moments = {name.partition(".")[2] for name in _optimizer(tmp_path / "tuned")}
    assert moments == {name for name in learned if "body." not in name}
    assert (after.mix is not None) == (layers is None) and after.layers == (layers or "mix")
    if layers is None:
        assert float(after.mix.scores.detach().std()) > 1e-3 and float(after.mix.gain.detach()) != 1.0
    # Which noun stands first shows in its sentence alone: a vector that ignores it can't tell.
    assert (result.test["entity_f1"] > 0.9) == (layers != "static")


def _optimizer(out):
    from safetensors.torch import load_file

    return load_file(checkpoint.newest(out / "checkpoints")[0] / "optimizer.safetensors")


def test_a_classifier_learns_and_is_replayed_and_asked(made, tmp_path):
    _, out, _ = made
    options = tuning(out, reviews(tmp_path, 300), epochs=16, evaluations=1, dropout=0.0, layers="static", optim={"lr": 2e-2})
    result = finetune(options, tmp_path / "tuned")
    assert result.test["accuracy"] > 0.75 and result.auto_class is None
    (tmp_path / "new.txt").write_text("\n".join(text for text, _ in sentences(5, 3)) + "\n", encoding="utf-8")
    assert len(predict(str(tmp_path / "tuned"), str(tmp_path / "new.txt"))) == 5
    assert verify(tmp_path / "tuned", Console(quiet=True))
    assert evaluate_again(tmp_path / "tuned")["accuracy"] == result.test["accuracy"]


def evaluate_again(out):
    from gyebo.jobs.evaluate import evaluate_task

    return evaluate_task(str(out), None, device="cpu", precision="float32", predictions=None)


def test_features_are_read_without_dropout_and_nothing_more_than_asked(made, tags):
    _, out, _ = made
    setup = set_up_task(tuning(out, tags, "tagging", layers="static", dropout=0.0))
    model = setup.make_model().train()
    ids = torch.tensor([[1, 60, 70, 80, 2]])
    assert torch.equal(model(ids).logits, model(ids).logits)
    counts = []
    for cell in (cell for block in model.body.blocks for cell in (block.forwards, block.backwards)):
        cell.register_forward_hook(lambda *_: counts.append(1))
    model(ids)
    assert counts == []
    assert setup.plan("float32")["lr"] == 5 * default_lr(48)
    noisy = set_up_task(tuning(out, tags, "tagging", dropout=0.5)).make_model().train()
    assert not torch.equal(noisy(ids).logits, noisy(ids).logits)
    noisy.eval()
    assert torch.equal(noisy(ids).logits, noisy(ids).logits)


def test_options_without_a_meaning_are_refused(made, tags, models, tokenizer_folder):
    _, out, _ = made
    for changes, said in (
        ({"optim": {"freeze": 1}}, "freeze has no effect on ELMo"),
        ({"optim": {"layer_decay": 0.9}}, "layer_decay has no effect on ELMo"),
        ({"optim": {"unfreeze": 0.5}}, "unfreeze has no effect on ELMo"),
        ({"gradient_windows": 2}, "gradient_windows=2 has no effect on tagging with elmo"),
        ({"translation": {"beams": 2}}, "translation.beams has no effect"),
        ({"body_dropout": 0.1}, "body_dropout has no effect on ELMo"),
    ):
        with pytest.raises(ValueError, match=said):
            set_up_task(tuning(out, tags, "tagging", **changes))
    with pytest.raises(ValueError, match="layers=mix is for models whose layers are features"):
        set_up_task(tuning(models("bert"), tags, "tagging", layers="mix"))
    with pytest.raises(ValueError, match="layers=top .*elmo:tiny"):
        set_up_task(tuning("elmo:tiny", tags, "tagging", layers="top", tokenizer=str(tokenizer_folder)))


def test_from_scratch_all_of_it_learns(tags, tokenizer_folder):
    model = set_up_task(tuning("elmo:tiny", tags, "tagging", tokenizer=str(tokenizer_folder))).make_model().train()
    assert all(parameter.requires_grad for parameter in model.parameters()) and model.body.training
    model(torch.tensor([[1, 60, 70, 2]])).logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_markers_of_relations_are_spelled(made):
    from gyebo.jobs.model_building import spell_more
    from gyebo.tasks.kinds.relation import with_markers

    _, out, _ = made
    model, tokenizer = gyebo.load(out)
    more = with_markers(tokenizer)
    before = model.encode(torch.tensor([[1, 60, 2]])).hidden
    spell_more(model, more)
    assert len(model.spelling) == model.config.vocab_size == more.vocab_size > tokenizer.vocab_size
    assert np.array_equal(model.spelling.numpy(), spelling(more, 20)) and model.heads == ()
    assert torch.equal(model.encode(torch.tensor([[1, 60, 2]])).hidden, before)
    model.encode(torch.tensor([[1, more.vocab_size - 1, 2]]))


def test_a_vector_for_each_text(made, tmp_path):
    _, out, _ = made
    texts = [text for text, _ in sentences(6, 5)]
    (tmp_path / "new.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    assert embed(str(out), str(tmp_path / "new.txt"), tmp_path / "x.npy")["width"] == 48
    model, tokenizer = gyebo.load(out)
    for row, text in zip(np.load(tmp_path / "x.npy"), texts):
        with torch.no_grad():
            hidden = model.encode(torch.tensor(tokenizer([text])["input_ids"])).hidden[0]
        assert np.abs(row - hidden.mean(0).numpy()).max() < 1e-5
    with option_error("precision"):
        embed(str(out), str(tmp_path / "new.txt"), tmp_path / "y.npy", precision="int8")


# -- compared


def recipe_of(corpus, tokenizer_folder, task_file=None, **more):
    columns = {"text": "review", "label": "mood"}
    return {
        "seeds": [0],
        "context": 32,
        "data": {"corpus": [str(corpus)], "valid_share": 0.05},
        "tokenizer": {"path": str(tokenizer_folder)},
        "budget": {"steps": 3},
        "train": {"batch_tokens": 256, "precision": "float32", "device": "cpu"},
        "candidates": [
            {"family": "elmo", "size": "tiny", "model": SHAPE},
            {"family": "lstm", "size": "tiny", "model": {"width": 16}},
        ],
        **(
            {"tasks": [{"name": "classification", "called": "moods", "data": str(task_file), "epochs": 1, **columns}]}
            if task_file
            else {}
        ),
        **more,
    }


def test_it_is_compared_by_tasks_and_has_no_bits_per_byte(corpus, tokenizer_folder, tmp_path):
    asked = recipes.parse(recipe_of(corpus, tokenizer_folder, reviews(tmp_path)))
    result = compare(asked, tmp_path / "out")
    assert result.ok and {row.candidate.family for row in result.rows} == {"elmo", "lstm"}
    table = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    line = next(line for line in table.splitlines() if line.startswith("| Bits per byte, held out"))
    cells = dict(zip([row.candidate.family for row in result.rows], line.strip("| ").split(" | ")[1:]))
    assert cells["elmo"].strip() == "-" and cells["lstm"].strip() != "-"
    assert "| Nats per token, both directions" in table and "Masked tokens" not in table
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Predicted masked tokens" not in page and "the previous one (in the other direction)" in page


def test_recipes_without_a_meaning_are_refused(corpus, tokenizer_folder, tmp_path):
    two = [{"family": "elmo", "size": "tiny"}, {"family": "elmo", "size": "tiny", "name": "other"}]
    with pytest.raises(ValueError, match="ELMo assigns no probability to text, so only a task can rank it"):
        recipes.parse(recipe_of(corpus, tokenizer_folder, candidates=two))
    wrong = recipe_of(corpus, tokenizer_folder, reviews(tmp_path))
    wrong["tasks"][0]["layers"] = "static"
    with pytest.raises(ValueError, match="task moods: layers has no effect on candidate lstm-tiny"):
        recipes.parse(wrong)
    assert recipes.parse(wrong | {"candidates": two}).tasks[0].layers == "static"
    for option, value in (("body_dropout", 0.1), ("gradient_windows", 2), ("optim", {"unfreeze": 0.5})):
        wrong["tasks"][0] = recipe_of(corpus, tokenizer_folder, reviews(tmp_path))["tasks"][0] | {option: value}
        named = "optim.unfreeze" if option == "optim" else option
        with pytest.raises(ValueError, match=f"task moods: {named} has no effect on candidate elmo-tiny"):
            recipes.parse(wrong)
    wrong["tasks"][0] |= {"optim": {}, "gradient_windows": 2}
    ulmfit = [{"family": "ulmfit", "size": "tiny"}, {"family": "ulmfit", "size": "tiny", "name": "other"}]
    assert recipes.parse(wrong | {"candidates": ulmfit}).tasks[0].gradient_windows == 2
