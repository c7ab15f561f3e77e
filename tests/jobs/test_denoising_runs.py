"""BART from a text to a task: pretraining, resumption, evaluation, heads."""

from __future__ import annotations

import json

import pytest
import torch

import gyebo
from gyebo.compare.recipe import parse
from gyebo.config.finetune import FinetuneOptions
from gyebo.jobs.evaluate import evaluate, evaluate_task
from gyebo.jobs.finetuning.build import set_up as set_up_task
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.translate import translate
from tests.training.test_resume import final_weights, interrupted

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def made(run_options, tmp_path_factory):
    """A tiny BART, pretrained once."""
    options, out = run_options(8, family="bart"), tmp_path_factory.mktemp("bart") / "run"
    return options, out, pretrain(options, out)


def test_an_interrupted_run_ends_with_the_same_weights(made, tmp_path, monkeypatch):
    options, out, result = made
    interrupted(options, tmp_path / "again", 3, monkeypatch)
    assert pretrain(options, tmp_path / "again", resume=True).valid == result.valid
    for name, tensor in final_weights(out).items():
        assert torch.equal(tensor, final_weights(tmp_path / "again")[name]), name


def test_what_a_run_says_is_what_an_evaluation_finds(made):
    _, out, result = made
    found = evaluate(str(out))
    assert found.pop("note").endswith("no bits per byte") and found == result.valid
    assert result.metric == "denoising_loss" and found["denoising_loss"] > 0 and 0 <= found["denoising_accuracy"] <= 1
    assert all(" -> " in line and "<mask>" in line for line in result.samples[:1])


def test_the_measured_loss_is_that_of_transformers(made, tmp_path):
    options, out, result = made
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(out).eval()
    rows = set_up(options, tmp_path, None).valid
    batch = {
        name: torch.from_numpy(values)
        for name, values in rows.batch(torch.arange(len(rows.plan)).numpy(), [[0]] * len(rows.plan)).items()
    }
    nats, count = 0.0, 0
    for row in range(len(rows.plan)):
        for number in range(1, int(batch["document_ids"][row].max()) + 1):
            source = batch["input_ids"][row][batch["document_ids"][row] == number][None]
            labels = batch["labels"][row][batch["decoder_document_ids"][row] == number][None]
            with torch.no_grad():  # their loss shifts the labels by itself, with their own start
                nats += float(theirs(input_ids=source, labels=labels).loss) * labels.numel()
            count += labels.numel()
    assert count == result.valid["denoising_tokens"]
    assert nats / count == pytest.approx(result.valid["denoising_loss"], rel=1e-4)


def test_a_step_has_the_tokens_that_were_asked_for(run_options, tmp_path):
    setup = set_up(run_options(family="bart", train={"batch_tokens": 512}), tmp_path, None)
    assert setup.batch_rows == 8  # of 32 places in each of two streams
    real = [setup.rows.step(step, 8, 1) for step in range(60)]
    tokens = sum(int((batch[name] > 0).sum()) for batch in real for name in ("document_ids", "decoder_document_ids")) / 60
    assert setup.tokens_per_step == pytest.approx(tokens, rel=0.03) and tokens <= 512


def table(folder, kind: str):
    """A file of one's own, of 60 texts."""
    rows = [
        {"text": f"영화 {n} 정말 {'좋아' if n % 2 else '싫어'} 했다.", "label": "good" if n % 2 else "bad"} for n in range(60)
    ]
    if kind == "regression":
        rows = [{"text": row["text"], "pair": "영화", "label": float(n % 5)} for n, row in enumerate(rows)]
    path = folder / f"{kind}.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_head_on_the_decoder_learns_and_is_opened_by_transformers(made, kind, tmp_path):
    task = {"name": kind, "data": str(table(tmp_path, kind)), **({"pair": "pair"} if kind == "regression" else {})}
    asked = {"model": str(made[1]), "task": task, "steps": 6, "batch": 8, "device": "cpu", "precision": "float32"}
    result = finetune(FinetuneOptions.model_validate(asked), tmp_path / "tuned")
    assert result.answer == "head"
    ours, tokenizer = gyebo.load(tmp_path / "tuned")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned").eval()
    inputs = transformers.AutoTokenizer.from_pretrained(tmp_path / "tuned")("영화 정말 좋아 했다.", return_tensors="pt")
    assert inputs["input_ids"][0].tolist() == tokenizer("영화 정말 좋아 했다.")["input_ids"]
    with torch.no_grad():
        expected, found = theirs(**inputs).logits, ours(**inputs).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert "task" in evaluate_task(str(tmp_path / "tuned"))


def test_models_that_read_other_noise_are_not_ranked_by_their_loss(corpus):
    shape = {"family": "bart", "size": "tiny"}
    values = {"data": {"corpus": [str(corpus)]}, "budget": {"steps": 1}}
    same = {"noise": ["sentence-permutation", "text-infilling"]}
    assert parse(values | {"candidates": [shape | {"name": "a"}, shape | {"name": "b", "objective": same}]})
    with pytest.raises(ValueError, match=r"the candidates differ in objective.noise .* can't be compared"):
        parse(values | {"candidates": [shape, shape | {"name": "b", "objective": {"noise": ["token-deletion"]}}]})
    with pytest.raises(ValueError, match=r"differ in family \(bart, bert\)|so only a task can rank it"):
        parse(values | {"candidates": [shape, {"family": "bert", "size": "tiny"}]})


def test_text_that_it_writes_begins_and_ends_as_in_pretraining(made, tmp_path):
    rows = "".join(f"나무 {n}\ttree {n}\n" for n in range(60))
    (tmp_path / "pairs.tsv").write_text("ko\ten\n" + rows, encoding="utf-8")
    task = {"name": "translation", "data": str(tmp_path / "pairs.tsv"), "text": "ko", "label": "en"}
    asked = {"model": str(made[1]), "task": task, "steps": 4, "device": "cpu", "precision": "float32"}
    options = FinetuneOptions.model_validate(asked | {"translation": {"batch_tokens": 128, "average": 1}})
    setup = set_up_task(options)
    batch = setup.rows.step(0, 1, 0)
    ids = setup.tokenizer.role_ids
    assert set(batch["decoder_input_ids"][:, 0]) == {ids["eos"]} and set(batch["labels"][:, 0]) == {ids["bos"]}
    assert all(row[row >= 0][-1] == ids["eos"] for row in batch["labels"])
    assert set(batch["input_ids"][:, 0]) == {ids["bos"]}
    result = finetune(options, tmp_path / "tuned")
    assert result.answer == "text" and "bleu" in result.test
    ours = gyebo.load(tmp_path / "tuned")[0]
    assert ours.forced_ids == (ids["bos"], ids["eos"])
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "tuned").generation_config
    assert (theirs.forced_bos_token_id, theirs.forced_eos_token_id) == ours.forced_ids
    assert translate(str(tmp_path / "tuned"), ["나무 7", ""])[1] == ""
