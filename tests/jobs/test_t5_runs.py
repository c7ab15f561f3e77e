"""Pretraining a T5: what is learned, stored, resumed, evaluated, shown, and opened by transformers."""

import math

import numpy as np
import pytest
import torch

import gyebo
from gyebo.evaluation.samples import filled
from gyebo.jobs.embed import embed
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.predict import predict
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from tests.jobs.tuning_files import json_lines, questions, reviews, tagged, tuning
from tests.refusals import option_error
from tests.training.test_resume import final_weights, interrupted


@pytest.fixture(scope="module")
def options(run_options):
    return run_options(6, family="t5", model={"decoder_layers": 2, "inner": 48, "head_width": 12})


@pytest.fixture(scope="module")
def run(options, tmp_path_factory):
    out = tmp_path_factory.mktemp("t5") / "run"
    return out, pretrain(options, out)


def test_the_loss_starts_at_that_of_guessing_and_falls(options, tmp_path):
    setup = set_up(options, tmp_path, None)
    trainer = setup.trainer("float32", 60)
    losses = [trainer.advance()["loss"] for _ in range(60)]
    assert losses[0] == pytest.approx(math.log(setup.tokenizer.vocab_size), abs=0.8)
    assert np.mean(losses[-5:]) < losses[0] - 0.8


def test_it_is_measured_as_it_learned_and_resumed_to_the_bit(run, options, tmp_path, monkeypatch):
    out, result = run
    found = evaluate(str(out))
    assert found["target_loss"] == pytest.approx(result.valid["target_loss"], rel=1e-6)
    assert "no likelihood" in found["note"]
    interrupted(options, tmp_path / "again", 4, monkeypatch)
    pretrain(options, tmp_path / "again", resume=True)
    assert all(torch.equal(a, final_weights(out)[name]) for name, a in final_weights(tmp_path / "again").items())


def test_transformers_opens_model_and_tokenizer(run):
    transformers = pytest.importorskip("transformers")
    out, _ = run
    ours, tokenizer = gyebo.load(out)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(out).eval()
    reader = transformers.AutoTokenizer.from_pretrained(out)
    text = "나무 the 바다"
    given = reader(text, return_tensors="pt")
    assert given["input_ids"].tolist() == [tokenizer(text)["input_ids"]]
    assert given["input_ids"][0, -1] == tokenizer.role_ids["eos"] == theirs.config.eos_token_id
    assert reader.convert_tokens_to_ids("<extra_id_0>") == len(reader) - 1 == tokenizer.sentinel_ids[0]
    assert reader.extra_special_tokens == [f"<extra_id_{number}>" for number in range(100)]
    assert tokenizer.sentinel_ids[0] in reader("나무 <extra_id_0> 바다")["input_ids"]
    assert tokenizer.sentinel_ids[0] not in tokenizer("나무 <extra_id_0> 바다")["input_ids"]  # text is text
    target = torch.tensor([[0, tokenizer.sentinel_ids[0], 30, 31]])
    with torch.no_grad():
        expected = theirs(**given, decoder_input_ids=target).logits
        torch.testing.assert_close(ours(given["input_ids"], None, target).logits, expected, atol=1e-4, rtol=1e-4)


def test_what_was_filled_in_is_shown(run, options, tmp_path):
    setup = set_up(options, tmp_path, None)
    model, tokenizer = gyebo.load(run[0])
    lines = filled(model, tokenizer, setup.valid, 3)
    assert len(lines) == 3 and all("[" in line and "extra_id" not in line for line in lines)


def test_embeddings_are_means_of_the_encoder(run, tmp_path):
    texts = ["나무 아주 바다", "고양이"]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    found = embed(str(run[0]), str(tmp_path / "texts.txt"), tmp_path / "out.npy")
    vectors = np.load(tmp_path / "out.npy")
    assert found["width"] == vectors.shape[1]
    model, tokenizer = gyebo.load(run[0])
    for text, vector in zip(texts, vectors):
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        expected = model.encode(ids).encoder_hidden[0].mean(0).detach().numpy()
        np.testing.assert_allclose(vector, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "answer"), [("classification", None), ("classification", "head"), ("spans", None), ("tagging", "head")]
)
def test_tasks_are_answered_by_text_or_with_a_head(kind, answer, run, tmp_path):
    files = {"classification": lambda folder: reviews(folder, 60)}
    files |= {"spans": lambda folder: json_lines(folder / "q.jsonl", questions(40))}
    files |= {"tagging": lambda folder: json_lines(folder / "t.jsonl", tagged(40))}
    data = files[kind](tmp_path)
    chosen = {} if answer is None else {"answer": answer}
    result = finetune(tuning(run[0], data, kind, **chosen), tmp_path / "tuned")
    assert result.answer == (answer or "text")
    rows = predict(str(tmp_path / "tuned"), str(data))
    assert all("prediction" in row for row in rows)
    assert any("probabilities" in row for row in rows) == (kind == "classification" and answer == "head")
    model, tokenizer = gyebo.load(tmp_path / "tuned")
    if answer is None:
        assert model.tasks[0].kind == kind and tokenizer.sentinel_ids


def test_a_model_without_room_for_sentinels_says_what_to_do(run_options, tmp_path, tokenizer_folder):
    from gyebo.models.family import find
    from gyebo.models.t5 import T5, T5Config
    from gyebo.text.roles import roles_of
    from gyebo.text.tokenizer import Tokenizer

    plain = Tokenizer.load(tokenizer_folder).for_family(roles_of(find("t5")))
    model = T5(T5Config(plain.vocab_size, 32, 16, 1, 1, heads=1, head_width=4, inner=8))
    gyebo.save(model, plain, tmp_path / "model")
    values = run_options(2, family="t5").model_dump()
    values |= {"start_from": str(tmp_path / "model"), "model": {}, "tokenizer": None}
    with pytest.raises(ValueError, match=r"needs sentinels \(<extra_id_0>"):
        set_up(type(run_options(2)).model_validate(values), tmp_path / "run", None)


def test_an_option_of_another_objective_is_refused(run_options, tmp_path):
    with pytest.raises(ValueError, match="objective.mask_share"):
        set_up(run_options(family="t5", objective={"mask_share": 0.5}), tmp_path, None)
    with option_error("train.compile"):
        set_up(run_options(family="t5", train={"compile": True}), tmp_path, None)
