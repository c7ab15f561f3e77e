"""A student from a teacher's run: it starts there, learns three things, and is a model like any other."""

import pytest
import torch

from gyebo.config import toml
from gyebo.interchange import load
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretrain import command_of, pretrain
from gyebo.jobs.pretraining.build import set_up, student_family
from gyebo.training import log
from tests.jobs.tuning_files import reviews, saved_model, tuning
from tests.refusals import option_error
from tests.training.test_resume import final_weights, interrupted


@pytest.fixture(scope="module")
def teachers(tokenizer_folder, tmp_path_factory):
    """A function that gives the directory of a tiny teacher."""
    folder, made = tmp_path_factory.mktemp("teachers"), {}

    def make(family):
        if family not in made:
            made[family] = saved_model(folder / family, family, tokenizer_folder, layers=4, context=32)
        return made[family]

    return make


def distilling(run_options, teacher, steps=6, **changes):
    """The options of a small distillation."""
    options = run_options(steps, family=student_family(str(teacher)), **changes)
    return options.model_copy(update={"model": changes.get("model", {}), "teacher": str(teacher), "tokenizer": None})


@pytest.mark.parametrize(("teacher", "student"), [("bert", "distilbert"), ("roberta", "roberta"), ("distilbert", "distilbert")])
def test_a_student_has_half_the_layers_and_starts_from_them(teachers, run_options, tmp_path, teacher, student):
    options = distilling(run_options, teachers(teacher))
    assert options.family == student
    setup = set_up(options, tmp_path, None)
    model, original = setup.make_model(), load(teachers(teacher))[0]
    assert (model.config.layers, model.config.width, model.heads) == (2, 32, ("mlm",))
    assert torch.equal(model.blocks[1].mlp.up.weight, original.blocks[3].mlp.up.weight)
    assert torch.equal(model.token_embedding.weight, original.token_embedding.weight)


def test_a_run_tells_of_three_terms_and_opens_in_transformers(teachers, run_options, corpus, tmp_path):
    import transformers

    out = tmp_path / "run"
    result = pretrain(distilling(run_options, teachers("bert"), 12), out)
    assert result.size == f"student of {teachers('bert')}" and result.family == "distilbert"
    records = [record for record in log.read(out) if "loss" in record]
    for record in records:
        parts = 20 * record["loss_soft"] + 2 * record["loss_mlm"] + record["loss_cosine"]
        assert record["loss"] == pytest.approx(parts, rel=1e-6)
    ours, tokenizer = load(out)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(out).eval()
    assert type(theirs).__name__ == "DistilBertForMaskedLM"
    batch = tokenizer(["나무 정말 바다 좋아한다."], return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(ours(**batch).logits, theirs(**batch).logits, atol=1e-4, rtol=0)
    assert evaluate(str(out))["masked_loss"] == pytest.approx(result.valid["masked_loss"], rel=1e-6)
    words = command_of(distilling(run_options, teachers("bert"), 12), out)
    assert words.startswith(f"gyebo distill {teachers('bert')} {corpus} -o {out.name} ") and "--steps 12" in words
    assert "gyebo distill" in (out / "README.md").read_text(encoding="utf-8")


def test_a_stopped_distillation_goes_on_to_the_same_weights(teachers, run_options, tmp_path, monkeypatch):
    options = distilling(run_options, teachers("bert"), 6)
    pretrain(options, tmp_path / "a")
    interrupted(options, tmp_path / "b", 3, monkeypatch)
    pretrain(options, tmp_path / "b", resume=True)
    for name, tensor in final_weights(tmp_path / "a").items():
        assert torch.equal(tensor, final_weights(tmp_path / "b")[name]), name


def test_a_student_hears_its_teacher(teachers, run_options, tmp_path):
    """Without the text's own pieces, its predictions and its last layer come nearer to the teacher's."""
    options = distilling(run_options, teachers("bert"), 60, optim={"lr": 2e-3}, objective={"mlm": 0.0})
    setup = set_up(options, tmp_path, None)
    trainer = setup.trainer("float32", 60)
    records = [trainer.advance() for _ in range(60)]
    for name in ("loss_soft", "loss_cosine"):
        first, last = (sum(record[name] for record in part) / 5 for part in (records[:5], records[-5:]))
        assert last < 0.8 * first, name


def test_the_layers_can_be_chosen_and_nothing_else_of_the_shape(teachers, run_options, tmp_path):
    setup = set_up(distilling(run_options, teachers("bert"), model={"layers": 3, "attention_dropout": 0.0}), tmp_path, None)
    config = setup.make_model().config
    assert (config.layers, config.attention_dropout) == (3, 0.0)
    with option_error("model.width"):
        set_up(distilling(run_options, teachers("bert"), model={"width": 64}), tmp_path, None)
    with pytest.raises(ValueError, match="a student has 1 to 4 layers .*, but 5 were requested"):
        set_up(distilling(run_options, teachers("bert"), model={"layers": 5}), tmp_path, None).make_model()


def test_a_teacher_must_predict_hidden_pieces(teachers, run_options, tmp_path):
    with pytest.raises(ValueError, match="holds a gpt2 model: a student learns from bert"):
        student_family(str(teachers("gpt2")))
    finetune(tuning(teachers("bert"), reviews(tmp_path), max_length=32), tmp_path / "tuned")
    with pytest.raises(ValueError, match="was fine-tuned and has no head to pretrain with"):
        set_up(distilling(run_options, tmp_path / "tuned"), tmp_path, None)


def test_options_are_stored(teachers, run_options, tmp_path):
    options = distilling(run_options, teachers("bert"), 2, objective={"temperature": 1.0, "cosine": 0.0})
    pretrain(options, tmp_path / "run")
    record = toml.read(tmp_path / "run" / "run.toml")
    assert record["options"]["teacher"] == teachers("bert").name and record["options"]["objective"]["temperature"] == 1.0
    records = [found for found in log.read(tmp_path / "run") if "loss" in found]
    assert all("loss_cosine" not in found for found in records)
    assert all(found["loss"] == pytest.approx(5 * found["loss_soft"] + 2 * found["loss_mlm"]) for found in records)
