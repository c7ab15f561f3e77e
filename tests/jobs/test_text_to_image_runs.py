"""DALL-E and CLIP through every job: pretrained on the world's pictures, stopped and resumed to the bit, measured, used."""

import json

import numpy as np
import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

import gyebo
from gyebo.interchange import save
from gyebo.jobs.draw import draw_pictures
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.build import set_up as set_up_task
from gyebo.jobs.picture_reading import pictures_as_read
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.verify import verify
from tests.jobs.drawing_models import CODES, GRID, SIZE, saved
from tests.jobs.tuning_files import reviews, tuning
from tests.refusals import option_error
from tests.training.test_resume import final_weights, interrupted, same


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer_folder):
    return saved(tmp_path_factory.mktemp("models"), tokenizer_folder)


@pytest.fixture(scope="module")
def make(models, tokenizer_folder):
    """A function that makes the options of a tiny run; keywords go to their sections by name."""

    def options(family="dalle", steps=6, *, model=None, data=None, train=None, **rest):
        shape = {"width": 16, "layers": 2, "heads": 2}
        shape |= {"picture_width": 16, "picture_layers": 1, "picture_heads": 2} if family == "clip" else {}
        painter = {"picture_tokenizer": str(models.codes)} if family == "dalle" else {}
        return gyebo.RunOptions.model_validate(
            {
                "family": family,
                "size": "tiny",
                "model": {**shape, **(model or {})},
                "tokenizer": str(tokenizer_folder),
                "context": 64,
                "data": {"corpus": ["world:pictures,80"], "valid_share": 0.2, **(data or {})},
                "budget": {"steps": steps},
                "train": {"batch_tokens": 800, "precision": "float32", "device": "cpu", **(train or {})},
                **painter,
                **rest,
            }
        )

    return options


@pytest.fixture(scope="module")
def drawer(make, tmp_path_factory):
    out = tmp_path_factory.mktemp("drawer") / "run"
    options = make(objective={"without_text": 0.2})
    return options, out, pretrain(options, out)


def test_a_run_learns_texts_and_codes_and_holds_its_picture_tokenizer(drawer, models, tmp_path):
    _, out, result = drawer
    assert result.metric == "image_loss" and result.valid["image_loss"] > 0
    model, tokenizer = gyebo.load(out)
    assert (model.config.image_codes, model.config.grid, model.config.context) == (CODES, GRID, 64)
    assert model.config.guided and model.picture_tokenizer.config.picture_size == SIZE and tokenizer is not None
    assert same(model.picture_tokenizer.state_dict(), gyebo.load(models.codes)[0].state_dict())
    found = draw_pictures(str(out), "빨간 집", {"candidates": 2, "guidance": 2.0}, out=tmp_path / "a.png")
    assert len(found["candidates"]) == 2
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"--picture-tokenizer {models.codes.name} " in card and "image loss" in card
    record = json.loads((out / "config.json").read_text())
    assert record["model_type"] == "gyebo-dalle" and (out / "picture_tokenizer" / "config.json").is_file()


def test_it_is_measured_as_it_was(drawer):
    _, out, result = drawer
    found = evaluate(str(out))
    for name in ("image_loss", "image_accuracy", "text_loss", "image_tokens"):
        assert found[name] == pytest.approx(result.valid[name], abs=1e-6)
    assert "picture tokenizer" in found["note"]
    assert evaluate(str(out), ["world:pictures,20,seed=5"])["image_tokens"] > 0
    assert verify(out, Console(quiet=True))


def test_a_stopped_run_goes_on_to_the_bit(drawer, tmp_path, monkeypatch):
    options, out, _ = drawer
    interrupted(options, tmp_path / "b", 3, monkeypatch)
    pretrain(options, tmp_path / "b", resume=True)
    assert same(final_weights(out), final_weights(tmp_path / "b"))


def test_another_picture_tokenizer_is_another_run(drawer, models, tmp_path_factory, tokenizer_folder, monkeypatch, tmp_path):
    options, _, _ = drawer
    interrupted(options, tmp_path / "run", 2, monkeypatch)
    weights = models.codes / "model.safetensors"
    before, content = weights.read_bytes(), load_file(weights)
    try:
        changed = {name: values + 0.01 if values.is_floating_point() else values for name, values in content.items()}
        save_file(changed, weights)
        with pytest.raises(ValueError, match="the picture tokenizer is another one"):
            pretrain(options, tmp_path / "run", resume=True)
    finally:
        weights.write_bytes(before)
    pretrain(options, tmp_path / "run", resume=True)


def test_training_goes_on_from_a_model_with_its_own_codes(drawer, make, tmp_path):
    _, out, _ = drawer
    options = make(steps=2).model_copy(update={"start_from": str(out), "tokenizer": None, "model": {}})
    with option_error("picture_tokenizer", "start_from"):
        set_up(options, tmp_path, None)
    further = pretrain(options.model_copy(update={"picture_tokenizer": None}), tmp_path / "run")
    assert further.steps == 2 and gyebo.load(tmp_path / "run")[0].picture_tokenizer is not None


def test_what_is_missing_or_has_no_effect_is_refused(make, models, tmp_path, corpus):
    with option_error("picture_tokenizer"):
        set_up(make().model_copy(update={"picture_tokenizer": None}), tmp_path, None)
    with option_error("picture_tokenizer"):
        set_up(make().model_copy(update={"picture_tokenizer": str(models.judge)}), tmp_path, None)
    with option_error("picture_tokenizer"):
        set_up(make("clip").model_copy(update={"picture_tokenizer": str(models.codes)}), tmp_path, None)
    with option_error("data.picture_size"):
        set_up(make(data={"picture_size": 32}), tmp_path, None)
    with pytest.raises(ValueError, match="has no pictures"):
        set_up(make("clip", data={"corpus": [str(corpus)]}), tmp_path, None)
    with pytest.raises(ValueError, match=r"unknown option 'model\.image_codes'"):
        set_up(make(model={"image_codes": 5}), tmp_path, None)


# ---- the reversed order


@pytest.fixture(scope="module")
def captioner(make, tmp_path_factory):
    out = tmp_path_factory.mktemp("captioner") / "run"
    options = make(objective={"name": "image-to-text", "without_picture": 0.2}, data={"picture_fit": "stretch"})
    return options, out, pretrain(options, out)


def test_the_picture_first_is_learned_measured_stopped_and_resumed(captioner, tmp_path, monkeypatch):
    options, out, result = captioner
    assert result.metric == "caption_loss"
    model, tokenizer = gyebo.load(out)
    assert model.config.image_first and model.config.guided
    found = evaluate(str(out))
    for name in ("caption_loss", "caption_loss_of_another", "caption_loss_without_picture", "caption_tokens"):
        assert found[name] == pytest.approx(result.valid[name], abs=1e-6)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'pipeline_tag: "image-to-text"' in card and "caption loss" in card
    rows = set_up(options, tmp_path, None).valid
    assert len(result.samples) > 1 and all(sample.endswith(")") for sample in result.samples)
    assert tokenizer.decode(rows.batch(np.arange(1), [[0]])["input_ids"][0].tolist()) in result.samples[0]
    interrupted(options, tmp_path / "b", 3, monkeypatch)
    pretrain(options, tmp_path / "b", resume=True)
    assert same(final_weights(out), final_weights(tmp_path / "b"))


def test_a_model_that_is_no_run_shows_in_which_order_it_learned(captioner, tmp_path):
    model, tokenizer = gyebo.load(captioner[1])
    save(model, tokenizer, tmp_path / "alone")
    corpus = ["world:pictures,20,seed=5"]
    found = evaluate(str(tmp_path / "alone"), corpus)
    assert found["caption_loss"] == pytest.approx(evaluate(str(captioner[1]), corpus)["caption_loss"], abs=1e-6)


def test_one_order_goes_on_from_the_other(drawer, captioner, make, tmp_path):
    """The flags of the config follow what is learned last; weights are those it went on from."""
    for number, (start, objective, order) in enumerate(((drawer, "image-to-text", True), (captioner, "text-to-image", False))):
        options = make(steps=1, objective={"name": objective}, optim={"lr": 1e-30})
        unset = {"tokenizer": None, "model": {}, "picture_tokenizer": None}
        options = options.model_copy(update={"start_from": str(start[1]), **unset})
        pretrain(options, tmp_path / str(number))
        model, _ = gyebo.load(tmp_path / str(number))
        assert (model.config.image_first, model.config.guided) == (order, False)
        before, after = final_weights(start[1]), final_weights(tmp_path / str(number))
        assert all(abs(after[name] - before[name]).max() < 1e-6 for name in before)


def test_another_corpus_is_read_as_the_runs_own_pictures(captioner, drawer):
    assert pictures_as_read(str(captioner[1]), gyebo.load(captioner[1])[0]) == {"picture_size": SIZE, "picture_fit": "stretch"}
    assert pictures_as_read(str(drawer[1]), gyebo.load(drawer[1])[0])["picture_size"] == SIZE


# ---- CLIP


def test_clip_learns_is_measured_and_judges(make, drawer, tmp_path, monkeypatch):
    options = make("clip", 4, data={"picture_size": SIZE}, train={"batch_tokens": 1024})
    result = pretrain(options, tmp_path / "a")
    assert result.metric == "contrast_loss" and 0 <= result.valid["picture_found"] <= 1
    model, _ = gyebo.load(tmp_path / "a")
    assert model.config.picture_size == SIZE and model.config.end_id == 5
    found = evaluate(str(tmp_path / "a"))
    assert found["contrast_loss"] == pytest.approx(result.valid["contrast_loss"], abs=1e-6)
    interrupted(options, tmp_path / "b", 2, monkeypatch)
    pretrain(options, tmp_path / "b", resume=True)
    assert same(final_weights(tmp_path / "a"), final_weights(tmp_path / "b"))
    _, out, _ = drawer
    ranked = draw_pictures(str(out), "빨간 집", {"candidates": 3}, out=tmp_path / "a.png", rerank=str(tmp_path / "a"))
    scores = [entry["score"] for entry in ranked["candidates"]]
    assert scores == sorted(scores, reverse=True)


def test_a_batch_of_pairs_is_not_divided(make, tmp_path):
    options = make("clip", data={"picture_size": SIZE}, train={"micro_batch_tokens": 200})
    with option_error("train.micro_batch_tokens"):
        set_up(options, tmp_path, None)


@pytest.mark.parametrize("family", ["dalle", "clip"])
def test_no_task_is_learned(family, drawer, models, tmp_path):
    name = str(drawer[1] if family == "dalle" else models.judge)
    with pytest.raises(ValueError, match="learns no task"):
        set_up_task(tuning(name, reviews(tmp_path, 20)))
