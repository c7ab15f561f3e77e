"""The recurrent families and DAN through every job: pretrained, scored, continued, fine-tuned, asked, and their cards."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import gyebo
from gyebo.jobs.embed import embed
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.predict import predict
from gyebo.jobs.pretrain import pretrain
from tests.conftest import HEADLESS, dropouts
from tests.jobs.tuning_files import reviews, sentences, tuning


@pytest.fixture(scope="module", params=HEADLESS)
def run(request, corpus, tokenizer_folder, tmp_path_factory):
    """(directory, result) of a run of 60 steps."""
    out = tmp_path_factory.mktemp("recurrent") / request.param
    options = gyebo.RunOptions.model_validate(
        {
            "family": request.param,
            "size": "tiny",
            "model": {"width": 48},
            "tokenizer": str(tokenizer_folder),
            "context": 64,
            "data": {"corpus": [str(corpus)], "valid_share": 0.05},
            "optim": {"lr": 1e-2},
            "budget": {"steps": 60},
            "train": {"batch_tokens": 512, "precision": "float32", "device": "cpu"},
        }
    )
    return out, pretrain(options, out)


def test_it_learns_and_says_what_it_is(run):
    out, result = run
    assert result.valid["bits_per_byte"] < 1.2  # the first words alone leave about 2
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'library_name: "gyebo"' in card and "from transformers import" not in card
    assert "gyebo.load" in card and f"gyebo pretrain {result.family}" in card


def test_evaluation_charges_every_byte(run, corpus):
    """Bits per byte of the held-out text, against logits of each document alone."""
    out, _ = run
    model, tokenizer = gyebo.load(out)
    texts = corpus.read_text(encoding="utf-8").splitlines()[:7]
    nats = size = 0.0
    for text in texts:
        ids = tokenizer([text])["input_ids"][0]
        bos, eos = model.config.bos_id, model.config.eos_id
        with torch.no_grad():
            logits = model(torch.tensor([[bos, *ids]])).logits[0]
        nats += float(F.cross_entropy(logits, torch.tensor([*ids, eos]), reduction="sum"))
        size += len(text.encode())
    file = out.parent / "seven.txt"
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    assert evaluate(str(out), [str(file)])["bits_per_byte"] == pytest.approx(nats / size / 0.6931471805599453, rel=1e-4)


def test_it_writes(run):
    out, _ = run
    model, tokenizer = gyebo.load(out)
    one = str(gyebo.generate(model, tokenizer, "나무 정말", max_new_tokens=8, greedy=True))
    ids = [model.config.bos_id, *tokenizer(["나무 정말"])["input_ids"][0]]
    start = len(ids)
    with torch.no_grad():
        while len(ids) < start + 8 and ids[-1] != model.config.eos_id:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert one and one.strip() == tokenizer.decode(ids[start:]).strip()
    assert len(gyebo.generate(model, tokenizer, ["나무 정말", "바다"], max_new_tokens=8, beams=3)) == 2


def test_it_is_fine_tuned_and_asked(run, tmp_path):
    out, _ = run
    rates = {"lr": 5e-3, "layer_decay": 1.0}  # a body of so few steps has to learn as much as the head
    tuned = finetune(tuning(out, reviews(tmp_path), epochs=12, body_dropout=0.05, optim=rates), tmp_path / "tuned")
    assert tuned.test["accuracy"] > 0.8 and tuned.auto_class is None
    assert dropouts(tuned.family, 0.05).items() <= vars(gyebo.load(tmp_path / "tuned")[0].config).items()
    (tmp_path / "new.txt").write_text("\n".join(text for text, _ in sentences(5, 3)) + "\n", encoding="utf-8")
    assert len(predict(str(tmp_path / "tuned"), str(tmp_path / "new.txt"))) == 5
    assert embed(str(out), str(tmp_path / "new.txt"), tmp_path / "x.npy", pooling="last")["width"] == 48
