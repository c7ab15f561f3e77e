"""Transformer-XL through every job: pretrained segment by segment, scored with any memory, resumed, fine-tuned, asked."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

import gyebo
from gyebo.cli.app import app
from gyebo.config.errors import OptionError
from gyebo.generation.beams import search
from gyebo.generation.options import GenerationOptions
from gyebo.jobs.embed import embed
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.predict import predict
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.training import checkpoint
from tests.conftest import dropouts
from tests.jobs.tuning_files import reviews, sentences, tuning
from tests.training.test_resume import final_weights, same

WINDOW, MEMORY = 16, 12
MODEL = {"head_width": 16, "inner": 48, "memory": MEMORY, "cutoffs": [100, 250], "division": 2}


class Killed(BaseException):
    """What kill -9 looks like from inside."""


@pytest.fixture(scope="module")
def options(run_options):
    def make(steps=60, *, model=None, train=None, **rest):
        train = {"batch_tokens": 256, "checkpoint_every": 20, "evaluate_every": 30, **(train or {})}
        values = {"family": "transformer_xl", "context": WINDOW, "optim": {"lr": 5e-3}, **rest}
        return run_options(steps, model={**MODEL, **(model or {})}, train=train, **values)

    return make


@pytest.fixture(scope="module")
def run(options, tmp_path_factory):
    """(directory, result) of a run of 60 steps."""
    out = tmp_path_factory.mktemp("xl") / "run"
    return out, pretrain(options(), out)


@pytest.fixture(scope="module")
def long_text(tmp_path_factory):
    """Three documents, each of several segments."""
    file = tmp_path_factory.mktemp("long") / "long.txt"
    texts = [" ".join(text for text, _ in sentences(count, count)) for count in (9, 5, 12)]
    file.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return file


def test_it_learns_and_says_what_it_is(run):
    out, result = run
    assert result.valid["bits_per_byte"] < 1.2  # the first words alone leave about 2
    assert result.evaluate_context == 512  # the longest text, segment by segment
    card = (out / "README.md").read_text(encoding="utf-8")
    assert 'library_name: "gyebo"' in card and "from transformers import" not in card
    carried = checkpoint.read_carried(checkpoint.newest(out / "checkpoints")[0])
    assert carried["memory"].shape == (16, 2, MEMORY, 32) and carried["length"].max() == MEMORY


@pytest.mark.parametrize("memory", [None, 1, 30])
def test_a_text_is_charged_segment_by_segment(run, long_text, memory):
    """Each document by itself, with that memory; packed with the others in a batch it costs the same."""
    model, tokenizer = gyebo.load(run[0])
    nats = size = 0.0
    for text in long_text.read_text(encoding="utf-8").splitlines():
        ids = torch.tensor([[model.config.bos_id, *tokenizer([text])["input_ids"][0], model.config.eos_id]])
        assert ids.shape[1] > 2 * WINDOW
        state = model.fresh_state(1, memory)
        for start in range(0, ids.shape[1] - 1, WINDOW):
            labels = ids[0, start + 1 : start + 1 + WINDOW]
            with torch.no_grad():
                encoded = model.encode(ids[:, start : start + len(labels)], state=state)
                nats += float(F.cross_entropy(model.project(encoded.hidden)[0], labels, reduction="sum"))
            state = encoded.state
        size += len(text.encode())
    found = evaluate(str(run[0]), [str(long_text)], memory=memory)["bits_per_byte"]
    assert found == pytest.approx(nats / size / 0.6931471805599453, rel=1e-4)


def test_a_longer_memory_is_asked_for_on_the_command_line(run, long_text, capsys):
    app(["evaluate", str(run[0]), str(long_text), "--memory", "30", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)["bits_per_byte"]
    assert found == evaluate(str(run[0]), [str(long_text)], memory=30)["bits_per_byte"]
    assert found != evaluate(str(run[0]), [str(long_text)])["bits_per_byte"]


def test_evaluations_of_a_training_may_have_a_longer_memory(options, tmp_path):
    """The last one of the run is what `evaluate` finds, which takes the run's memory."""
    result = pretrain(options(4, data={"valid_share": 0.1}, train={"evaluate_memory": 64}), tmp_path / "run")
    found = evaluate(str(tmp_path / "run"))
    assert found["bits_per_byte"] == pytest.approx(result.valid["bits_per_byte"], rel=1e-6)
    other = evaluate(str(tmp_path / "run"), memory=2)
    assert other["bits_per_byte"] != found["bits_per_byte"]


def test_a_killed_run_is_resumed_to_the_same_bits(options, tmp_path):
    chosen = options(10, model=dropouts("transformer_xl", 0.2), train={"checkpoint_every": 3, "micro_batch_tokens": 96})

    def kill(step, seconds):
        if step == 8:
            raise Killed

    pretrain(chosen, tmp_path / "whole")
    with pytest.raises(Killed):
        pretrain(chosen, tmp_path / "killed", watch=kill)
    pretrain(chosen, tmp_path / "killed", resume=True)
    assert same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed"))


def test_lanes_carry_the_memory(options, tmp_path):
    """Losses of three steps without an update, against each lane read as one long text."""
    setup = set_up(options(8, model={**dropouts("transformer_xl", 0.0), "memory": 99}), tmp_path, None)
    trainer = setup.trainer("float32", 8)
    trainer.optimizer.step = lambda: None
    batches = [setup.rows.step(step, setup.batch_rows, 0) for step in range(3)]
    losses = [trainer.advance()["loss"] for _ in batches]
    documents = []
    for number, batch in enumerate(batches):
        ids = torch.from_numpy(batch["document_ids"])
        ids = ids + 100 * number * (ids > 0)
        if number:
            before = documents[-1][:, -1:]
            ids = torch.where(torch.from_numpy(batch["continues"])[:, None] & (ids == ids[:, :1]), before, ids)
        documents.append(ids)
    inputs, labels = (torch.cat([torch.from_numpy(batch[name]) for batch in batches], 1) for name in ("input_ids", "labels"))
    model = trainer.model.eval()
    with torch.no_grad():
        logits = model(inputs, document_ids=torch.cat(documents, 1)).logits
    for number, loss in enumerate(losses):
        part = slice(number * WINDOW, (number + 1) * WINDOW)
        expected = F.cross_entropy(logits[:, part].flatten(0, 1), labels[:, part].flatten(), ignore_index=-100)
        assert loss == pytest.approx(float(expected), abs=1e-5)
    assert any(batch["continues"].any() for batch in batches[1:])


def test_it_writes_and_beams_keep_their_memory(run):
    """Beyond the length of the memory, against a search that reads each hypothesis anew."""
    out, _ = run
    model, tokenizer = gyebo.load(out)
    prompt = [model.config.bos_id, *tokenizer(["나무 정말"])["input_ids"][0]]
    count = 2 * MEMORY
    answers = search(model, [prompt], GenerationOptions(max_new_tokens=count, beams=3, samples=2, min_new_tokens=count))
    for answer in answers[0]:
        ids, state, total = torch.tensor([prompt + answer.ids]), model.fresh_state(1), 0.0
        for place in range(ids.shape[1] - 1):
            with torch.no_grad():
                encoded = model.encode(ids[:, place : place + 1], state=state)
                log_probabilities = model.project(encoded.hidden)[0, 0].log_softmax(-1)
            state = encoded.state
            if place >= len(prompt) - 1:
                total += float(log_probabilities[ids[0, place + 1]])
        assert answer.log_probability == pytest.approx(total, abs=1e-3)
    assert len(gyebo.generate(model, tokenizer, ["나무 정말", "바다"], max_new_tokens=40, seed=1)) == 2


def test_it_is_fine_tuned_and_asked(run, tmp_path):
    out, _ = run
    tuned = finetune(tuning(out, reviews(tmp_path), epochs=12, body_dropout=0.05, optim={"lr": 5e-3}), tmp_path / "tuned")
    assert tuned.test["accuracy"] > 0.8 and tuned.auto_class is None
    assert gyebo.load(tmp_path / "tuned")[0].body.config.dropout == 0.05
    (tmp_path / "new.txt").write_text("\n".join(text for text, _ in sentences(5, 3)) + "\n", encoding="utf-8")
    assert len(predict(str(tmp_path / "tuned"), str(tmp_path / "new.txt"))) == 5
    assert embed(str(out), str(tmp_path / "new.txt"), tmp_path / "x.npy", pooling="last")["width"] == 32


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {"order": "shuffled"}}, "model.memory=12 has no effect with data.order=shuffled: packed rows do not go on"),
        ({"train": {"compile": True}}, "train.compile"),
        ({"context": 513}, "a window of the text is at most as long as a text, 512 tokens"),
        ({"model": {"cutoffs": [100, 50]}}, "cutoffs must ascend"),
        ({"model": {"cutoffs": 3}}, "model.cutoffs must be a list of whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused(options, tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        pretrain(options(**changes), tmp_path / "run")


def test_a_memory_is_refused_where_there_is_none(run_options, tmp_path, long_text):
    with pytest.raises(OptionError, match=r"train\.evaluate_memory=8 has no effect: gpt2 is measured without a memory"):
        pretrain(run_options(2, train={"evaluate_memory": 8}), tmp_path / "run")
    pretrain(run_options(2), tmp_path / "run")
    with pytest.raises(OptionError, match="memory=8 has no effect: .* is a GPT-2, which is measured without a memory"):
        evaluate(str(tmp_path / "run"), [str(long_text)], memory=8)


def test_without_memory_it_is_a_model_of_one_segment(options, tmp_path, long_text):
    result = pretrain(options(4, model={"memory": 0}), tmp_path / "run")
    assert result.evaluate_context == WINDOW and not (tmp_path / "run" / "checkpoints" / "step-4" / checkpoint.CARRIED).exists()
    assert evaluate(str(tmp_path / "run"), [str(long_text)])["bits_per_byte"] > 0
