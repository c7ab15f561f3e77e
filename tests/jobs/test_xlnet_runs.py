"""XLNet through every job: pretrained packed and in lanes with memory, resumed, evaluated, opened elsewhere, fine-tuned."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rich.console import Console

import gyebo
from gyebo.jobs.embed import embed
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.predict import predict
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.verify import verify
from gyebo.training import checkpoint
from tests.conftest import dropouts
from tests.jobs.tuning_files import reviews, sentences, tuning
from tests.refusals import option_error
from tests.training.test_resume import final_weights, interrupted, same

REMEMBERS = {"memory": 24}


@pytest.fixture(scope="module")
def run(run_options, tmp_path_factory):
    """(options, directory, result) of a run of 60 steps."""
    options, out = run_options(60, family="xlnet", optim={"lr": 3e-3}), tmp_path_factory.mktemp("xlnet") / "run"
    return options, out, pretrain(options, out)


def test_it_learns_from_packed_texts_without_memory(run):
    options, _, result = run
    assert options.data.order == "auto" and not set_up(options, run[1], None).rows.carries
    assert result.valid["permutation_loss"] < math.log(400) - 1.5
    assert 0 < result.valid["permutation_accuracy"] < 1 and result.valid["predicted_tokens"] > 50


def test_it_is_measured_again_and_on_any_text(run, corpus):
    _, out, result = run
    again = evaluate(str(out))
    assert again["permutation_loss"] == pytest.approx(result.valid["permutation_loss"], rel=1e-5)
    assert "no bits per byte" in again["note"]
    assert evaluate(str(out), [str(corpus)])["permutation_loss"] < math.log(400)


def test_transformers_opens_the_run_and_agrees(run):
    import transformers

    _, out, _ = run
    theirs, tokens = (
        transformers.AutoModelForCausalLM.from_pretrained(out).eval(),
        transformers.AutoTokenizer.from_pretrained(out),
    )
    ours, tokenizer = gyebo.load(out)
    assert type(theirs).__name__ == "XLNetLMHeadModel"
    texts = ["나무 정말 바다 보았다.", "하늘"]
    given = tokens(texts, padding=True, return_tensors="pt")
    own = tokenizer(texts, padding=True, return_tensors="pt")
    assert given["attention_mask"].tolist() == own["attention_mask"].tolist() and given["attention_mask"][1, 0] == 0
    assert given["input_ids"].tolist() == own["input_ids"].tolist()
    assert tokens.convert_ids_to_tokens(given["input_ids"][0, -2:].tolist()) == ["<sep>", "<cls>"]
    assert given["token_type_ids"][0, -1] == 2
    with torch.no_grad():
        expected = theirs(**{name: x.float() if name == "attention_mask" else x for name, x in given.items()}).logits
        found = ours(**own).logits
    assert float(((expected - found) * given["attention_mask"][..., None]).abs().max()) < 1e-4
    pair = tokens("나무", "바다", return_tensors="pt")
    assert sorted(set(pair["token_type_ids"][0].tolist())) == [0, 1, 2]


def test_it_writes(run):
    _, out, _ = run
    model, tokenizer = gyebo.load(out)
    text = gyebo.generate(model, tokenizer, "나무 정말", max_new_tokens=8, greedy=True)
    ids = tokenizer.encode("나무 정말")
    start = len(ids)
    with torch.no_grad():
        for _ in range(8):  # without a cache
            ranks = torch.cat([torch.full((start,), -1), torch.arange(len(ids) - start + 1)])[None]
            targets = torch.arange(len(ids) + 1)[None] == len(ids)
            hidden = model.encode(torch.tensor([[*ids, 0]]), ranks=ranks, targets=targets).hidden[0, -1]
            logits = model.project(hidden)
            logits[[*tokenizer.all_role_ids]] = -torch.inf
            ids.append(int(logits.argmax()))
    assert text.strip() == tokenizer.decode(ids[start:]).strip()
    assert len(gyebo.generate(model, tokenizer, ["나무 정말", "바다"], max_new_tokens=6, beams=3)) == 2
    with pytest.raises(ValueError, match="prompt"):
        gyebo.generate(model, tokenizer, "", max_new_tokens=2)


def test_it_is_fine_tuned_and_asked(run, tmp_path):
    import transformers

    _, out, _ = run
    tuned = finetune(tuning(out, reviews(tmp_path), epochs=8, optim={"lr": 5e-3}), tmp_path / "tuned")
    assert tuned.test["accuracy"] > 0.8
    assert type(transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned")).__name__ == (
        "XLNetForSequenceClassification"
    )
    (tmp_path / "new.txt").write_text("\n".join(text for text, _ in sentences(5, 3)) + "\n", encoding="utf-8")
    assert len(predict(str(tmp_path / "tuned"), str(tmp_path / "new.txt"))) == 5
    assert embed(str(out), str(tmp_path / "new.txt"), tmp_path / "x.npy", pooling="cls")["width"] == 32


# ---- memory


def test_memory_makes_lanes(run_options, tmp_path):
    setup = set_up(run_options(family="xlnet", model=REMEMBERS), tmp_path, None)
    assert setup.rows.carries and setup.objective.options.format == "continuous"
    assert setup.valid.objective.options.format == "doc-sentences" and not setup.valid.carries
    work = setup.tokens_per_step
    assert work == pytest.approx(256, rel=0.05)
    trainer = setup.trainer("float32", 60)
    losses = [trainer.advance()["loss"] for _ in range(40)]
    assert np.mean(losses[-5:]) < losses[0] - 0.8
    assert setup.rows.step(0, 8, 0)["backwards"].tolist() == [False] * 4 + [True] * 4
    lengths = trainer.carried["length"]
    assert trainer.carried["memory"].shape == (8, 2, 24, 32) and 0 < int(lengths.max()) <= 24


def test_parts_of_a_batch_remember_their_own_rows(run_options, tmp_path):
    losses, memories = [], []
    for rows in (8, 3):
        options = run_options(family="xlnet", model={**REMEMBERS, **dropouts("xlnet", 0.0), "init_std": 0.3})
        setup = set_up(options, tmp_path, None)
        setup.micro_rows = rows
        trainer = setup.trainer("float32", 100)
        losses.append([trainer.advance()["loss"] for _ in range(4)])
        memories.append(trainer.carried["memory"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    torch.testing.assert_close(*memories, atol=1e-4, rtol=1e-3)


def test_a_run_that_remembers_is_resumed_to_the_bit(run_options, tmp_path, monkeypatch):
    options = run_options(9, family="xlnet", model=REMEMBERS, train={"checkpoint_every": 3})
    pretrain(options, tmp_path / "whole")
    assert verify(tmp_path / "whole", Console(quiet=True))
    carried = checkpoint.read_carried(tmp_path / "whole" / "checkpoints" / "step-6")
    assert carried.keys() == {"memory", "length"} and int(carried["length"].sum()) > 0
    interrupted(options, tmp_path / "parts", 5, monkeypatch)
    pretrain(options, tmp_path / "parts", resume=True)
    assert same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "parts"))
    model, _ = gyebo.load(tmp_path / "whole")
    assert model.config.memory == 24


def test_memory_and_packed_texts_exclude_each_other(run_options, tmp_path):
    with option_error("model.memory"):
        set_up(run_options(family="xlnet", model=REMEMBERS, data={"order": "shuffled"}), tmp_path, None)
    with option_error("data.order"):
        set_up(run_options(family="xlnet", data={"order": "lanes"}), tmp_path, None)
    with option_error("objective.format"):
        set_up(run_options(family="xlnet", model=REMEMBERS, objective={"format": "segment-pair"}), tmp_path, None)
