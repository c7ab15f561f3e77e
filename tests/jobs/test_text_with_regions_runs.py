"""Pretraining on pictures: what is learned, stored, resumed, evaluated and opened, of LXMERT and ViLBERT."""

import math

import numpy as np
import pytest
import torch

import gyebo
from gyebo.jobs import held_out
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.models.lxmert import Lxmert
from gyebo.models.vilbert import Vilbert
from tests.refusals import option_error
from tests.training.test_resume import final_weights, interrupted

CORPUS = "world:pictures,ko,160,statements,questions"
CLASSES = {"lxmert": Lxmert, "vilbert": Vilbert}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that pretrains a tiny model once and gives (options, directory, result)."""
    runs = {}

    def make(family, run_options):
        if family not in runs:
            options, out = pictured(run_options, family), tmp_path_factory.mktemp(family) / "run"
            runs[family] = options, out, pretrain(options, out)
        return runs[family]

    return make


def pictured(run_options, family, steps=6, corpus=CORPUS, data=None, **rest):
    return run_options(steps, family=family, data={"corpus": [corpus], "valid_share": 0.1, **(data or {})}, **rest)


@pytest.mark.parametrize("family", CLASSES)
def test_each_family_learns(run_options, tmp_path, family):
    """It begins with the loss of guessing, which is known of all terms but the features', and falls."""
    setup = set_up(pictured(run_options, family), tmp_path, None)
    trainer = setup.trainer("float32", 60)
    records = [trainer.advance() for _ in range(60)]
    objective, first = setup.objective, records[0]
    guesses = {"mlm": math.log(setup.tokenizer.vocab_size), objective.matching: math.log(2)}
    if family == "lxmert":
        guesses |= {"object": math.log(len(objective.labels)), "attribute": math.log(len(objective.attributes))}
    else:
        guesses |= {"region": math.log(len(objective.labels))}
    for term, value in guesses.items():
        assert first[f"loss_{term}"] == pytest.approx(value, abs=0.4), term
    assert np.mean([record["loss"] for record in records[-5:]]) < 0.95 * np.mean([record["loss"] for record in records[:3]])


@pytest.mark.parametrize("family", CLASSES)
def test_a_run_is_opened_measured_and_told_of(made, run_options, family):
    _, out, result = made(family, run_options)
    model, tokenizer = gyebo.load(out)
    assert type(model) is CLASSES[family] and tokenizer is not None and model.config.crop == 16
    assert result.metric == "pictured_loss" and 0 <= result.valid["matching_accuracy"] <= 1
    assert evaluate(str(out)).items() >= {name: pytest.approx(value) for name, value in result.valid.items()}.items()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "matching accuracy" in card and "gyebo.load" in card and "AutoModel" not in card
    other = evaluate(str(out), ["world:pictures,ko,30,unseen"], context=32)
    assert other["pictured_tokens"] > 20 and "label_accuracy" not in other


@pytest.mark.parametrize("family", CLASSES)
def test_a_stopped_run_goes_on_to_the_same_weights(made, run_options, tmp_path, monkeypatch, family):
    options, out, _ = made(family, run_options)
    other = tmp_path / "run"
    interrupted(options, other, 3, monkeypatch)
    pretrain(options, other, resume=True)
    for name, tensor in final_weights(out).items():
        assert torch.equal(tensor, final_weights(other)[name]), name


def test_the_model_has_what_the_corpus_teaches(run_options, tmp_path):
    setup = set_up(pictured(run_options, "lxmert"), tmp_path / "a", None)
    pictures, config = setup.prepared.train.pictures, setup.make_model().config
    assert (config.objects, config.answers) == (len(pictures.labels), len(pictures.answer_names))
    assert setup.make_model().heads == ("mlm", "match", "object", "attribute", "feature", "answer")
    plain = set_up(pictured(run_options, "lxmert", corpus="world:pictures,ko,160", data={"crop_size": 8}), tmp_path / "b", None)
    assert plain.make_model().heads == ("mlm", "match", "object", "attribute", "feature")
    assert plain.make_model().config.feature_size == 3 * 8 * 8
    grid = set_up(pictured(run_options, "vilbert", objective={"regions": "grid", "grid": 3}), tmp_path / "c", None)
    assert grid.make_model().heads == ("mlm", "alignment") and grid.objective.most == 9


def test_training_on(made, run_options, tmp_path):
    _, out, _ = made("lxmert", run_options)
    further = pictured(run_options, "lxmert", 2).model_copy(update={"start_from": str(out), "model": {}, "tokenizer": None})
    assert pretrain(further, tmp_path / "further").steps == 2
    small = pictured(run_options, "lxmert", 2, data={"crop_size": 8})
    small = small.model_copy(update={"start_from": str(out), "model": {}, "tokenizer": None})
    with option_error("start_from", "data.crop_size"):
        set_up(small, tmp_path / "other", None)


def test_another_corpus_is_read_as_the_run_read_its_own(run_options, tmp_path, monkeypatch):
    """Regions of the size that the model reads, pictures of the run's: also of a model that was saved again and has no run."""
    run, again = tmp_path / "run", tmp_path / "again"
    pretrain(pictured(run_options, "vilbert", steps=2, data={"picture_size": 32, "crop_size": 8}), run)
    model, tokenizer = gyebo.load(run)
    model.save_pretrained(again)
    tokenizer.save(again)
    seen = []
    real = held_out.prepare
    monkeypatch.setattr(held_out, "prepare", lambda *given: seen.append(real(*given)) or seen[-1])
    for place in (run, again):
        assert evaluate(str(place), ["world:pictures,ko,20,unseen"])["matching_accuracy"] <= 1
    sizes = [(each.valid.pictures.size, each.valid.pictures.crop_size) for each in seen]
    assert sizes == [(32, 8), (64, 8)]
    (tmp_path / "t.txt").write_text("나무\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.txt has no pictures"):
        evaluate(str(run), [str(tmp_path / "t.txt")])


@pytest.mark.parametrize("family", CLASSES)
def test_text_alone_is_refused_before_a_tokenizer_is_trained(run_options, tmp_path, family):
    with pytest.raises(ValueError, match="has no pictures, from which it learns"):
        set_up(run_options(family=family), tmp_path, None)
    assert not list(tmp_path.iterdir())


def test_an_objective_on_pictures_is_for_families_that_see(run_options, tmp_path):
    with option_error("objective.name"):
        set_up(pictured(run_options, "bert", objective={"name": "cross-modality"}), tmp_path, None)
