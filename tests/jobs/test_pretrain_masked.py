"""Pretraining of encoders: what is learned, stored, resumed, evaluated, and opened by transformers."""

import math

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import gyebo
from gyebo.config import toml
from gyebo.data.batches import IGNORE, Rows
from gyebo.evaluation import evaluate_masked
from gyebo.evaluation.measures import Evaluation
from gyebo.evaluation.samples import predicted
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.pretrain import command_of, pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.verify import verify
from gyebo.objectives.masked import encode
from gyebo.training import log
from tests.training.test_resume import final_weights, interrupted

FAMILIES = ("bert", "roberta", "distilbert")
FORMATS = {"bert": "segment-pair", "roberta": "full-sentences", "distilbert": "doc-sentences"}

NOTHING = Evaluation(metrics={}, parts=np.zeros((0, 2)))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A function that pretrains a tiny encoder once and gives (options, directory, result)."""
    runs = {}

    def make(family, run_options):
        if family not in runs:
            options, out = run_options(6, family=family), tmp_path_factory.mktemp(family) / "run"
            runs[family] = options, out, pretrain(options, out)
        return runs[family]

    return make


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_learns_as_it_was_published(run_options, tmp_path, family):
    setup = set_up(run_options(family=family), tmp_path, None)
    assert setup.objective.options.format == FORMATS[family]
    assert setup.objective.next_sentence == (family == "bert")
    assert setup.make_model().heads == (("mlm", "nsp") if family == "bert" else ("mlm",))
    trainer = setup.trainer("float32", 60)
    losses = [trainer.advance()["loss"] for _ in range(60)]
    start = math.log(setup.tokenizer.vocab_size) + (math.log(2) if family == "bert" else 0)
    assert losses[0] == pytest.approx(start, abs=0.3)  # the loss of guessing
    assert np.mean(losses[-5:]) < start - 0.8


@pytest.mark.parametrize("family", FAMILIES)
def test_budgets_count_tokens_that_are_there(run_options, tmp_path, family):
    """Pairs are joined with parts of other documents, so their rows hold less than was planned for them."""
    setup = set_up(run_options(family=family), tmp_path, None)
    real = sum(int((setup.rows.step(step, setup.batch_rows, 1)["document_ids"] > 0).sum()) for step in range(100)) / 100
    assert setup.tokens_per_step == pytest.approx(real, rel=0.03)
    planned = setup.batch_rows * setup.rows.plan.mean_tokens
    assert real < 0.98 * planned if family == "bert" else real == pytest.approx(planned, rel=0.03)


def test_bert_without_sentences_has_no_head_for_them(run_options, tmp_path):
    setup = set_up(run_options(family="bert", objective={"format": "doc-sentences"}), tmp_path, None)
    assert setup.make_model().heads == ("mlm",) and setup.make_model().pooler is None


@pytest.mark.parametrize("family", FAMILIES)
def test_transformers_opens_the_run_and_agrees(made, run_options, family):
    import transformers

    _, out, result = made(family, run_options)
    kind = transformers.AutoModelForPreTraining if family == "bert" else transformers.AutoModelForMaskedLM
    theirs, tokens = kind.from_pretrained(out).eval(), transformers.AutoTokenizer.from_pretrained(out)
    ours, tokenizer = gyebo.load(out)
    text = "나무 정말 바다 좋아한다."
    assert tokens(text)["input_ids"] == tokenizer(text)["input_ids"]
    batch = tokenizer([text, "하늘"], padding=True, return_tensors="pt")
    with torch.no_grad():
        found, expected = ours(**batch), theirs(**batch)
    expected_logits = expected.prediction_logits if family == "bert" else expected.logits
    real = batch["attention_mask"].bool()
    torch.testing.assert_close(found.logits[real], expected_logits[real], atol=1e-4, rtol=0)
    if family == "bert":
        torch.testing.assert_close(found.seq_relationship_logits, expected.seq_relationship_logits, atol=1e-4, rtol=0)
    assert result.metric == "masked_loss" and "bits_per_byte" not in result.valid


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_stopped_run_goes_on_to_the_same_weights(made, run_options, tmp_path, monkeypatch, family):
    options, out, _ = made(family, run_options)
    other = tmp_path / "run"
    interrupted(options, other, 3, monkeypatch)
    pretrain(options, other, resume=True)
    for name, tensor in final_weights(out).items():
        assert torch.equal(tensor, final_weights(other)[name]), name


def test_verify_replays_it(made, run_options):
    _, out, _ = made("bert", run_options)
    assert verify(out, Console(quiet=True))


def test_evaluate_gives_the_runs_own_last_figures(made, run_options, corpus):
    for family in FAMILIES:
        _, out, result = made(family, run_options)
        found = evaluate(str(out))
        assert found["masked_loss"] == pytest.approx(result.valid["masked_loss"], rel=1e-6)
        assert "no likelihood" in found["note"]
    other = evaluate(str(out), [str(corpus)], context=32)
    assert other["masked_tokens"] > 500 and 0 < other["masked_accuracy"] < 1


def test_the_masked_loss_is_that_of_transformers_under_the_same_masks(made, run_options, tmp_path):
    import transformers

    options, out, result = made("distilbert", run_options)
    setup = set_up(options, tmp_path, None)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(out).eval()
    nats, right, pieces = 0.0, 0, 0
    for row in range(len(setup.valid.plan)):
        batch = {name: torch.from_numpy(values) for name, values in setup.valid.batch(np.array([row]), [[0]]).items()}
        for number in range(1, int(batch["document_ids"].max()) + 1):
            here = batch["document_ids"][0] == number
            ids, labels = batch["input_ids"][:, here], batch["labels"][0, here]
            with torch.no_grad():
                logits = theirs(ids).logits[0]
            nats += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum"))
            right += int((logits.argmax(-1) == labels).sum())
            pieces += int((labels != IGNORE).sum())
    assert result.valid["masked_tokens"] == pieces
    assert result.valid["masked_loss"] == pytest.approx(nats / pieces, rel=1e-4)
    assert result.valid["masked_accuracy"] == pytest.approx(right / pieces)


def test_all_ways_of_masking_are_measured_under_the_same_masks(run_options, tmp_path):
    batches = []
    for objective in ({}, {"whole_words": True}, {"static_copies": 3}, {"rate": 0.4}):
        setup = set_up(run_options(family="distilbert", objective=objective), tmp_path, None)
        batches.append(setup.valid.batch(np.arange(3), [[0]] * 3))
    for other in batches[1:]:
        assert all(np.array_equal(batches[0][name], other[name]) for name in other)


def test_evaluation_touches_no_global_generator(run_options, tmp_path):
    setup = set_up(run_options(family="bert"), tmp_path, None)
    model = setup.make_model().eval()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = evaluate_masked(model, setup.valid).metrics
    assert torch.equal(before, torch.get_rng_state()) and first == evaluate_masked(model, setup.valid).metrics
    assert 0.2 < first["next_sentence_accuracy"] < 0.8


def test_packed_texts_do_not_leak(run_options, tmp_path):
    setup = set_up(run_options(family="bert"), tmp_path, None)
    model = setup.make_model().eval()
    batch = {name: torch.from_numpy(values) for name, values in setup.rows.step(0, 4, 0).items()}
    row = int((batch["document_ids"].max(1).values >= 2).nonzero()[0])
    first, second = (batch["document_ids"][row] == number for number in (1, 2))
    with torch.no_grad():
        before = encode(model, batch)[row]
        batch["input_ids"][row, second] = 20
        after = encode(model, batch)[row]
    assert torch.equal(before[first], after[first]) and not torch.equal(before[second], after[second])


def test_a_sample_shows_guesses_in_brackets(made, run_options):
    options, out, _ = made("distilbert", run_options)
    setup = set_up(options, out, None)
    model = setup.make_model()

    class Perfect:
        """Guesses every masked token."""

        config, has_segments = model.config, False

        def eval(self):
            return self

        def parameters(self):
            return iter([torch.zeros(1)])

        def encode(self, ids, document_ids):
            batch = setup.valid.batch(np.arange(len(ids)), [[0]] * len(ids))
            labels = torch.from_numpy(np.where(batch["labels"] != IGNORE, batch["labels"], batch["input_ids"]))
            return type("Encoded", (), {"hidden": torch.nn.functional.one_hot(labels, 400).float()})

        def project(self, hidden, head):
            return hidden

    lines = predicted(Perfect(), setup.tokenizer, setup.valid, 3)
    assert len(lines) == 3 and all("[" in line and "|" not in line and "MASK" not in line for line in lines)
    assert any("|" in line for line in predicted(model, setup.tokenizer, setup.valid, 3))


def test_the_run_says_what_it_was(made, run_options):
    options, out, result = made("bert", run_options)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "AutoModelForMaskedLM" in card and "fill-mask" in card and "masked loss" in card and "continues text" not in card
    assert load_file(out / "model.safetensors") and (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    record = toml.read(out / "run.toml")
    assert record["result"]["valid"] == result.valid
    changed = options.model_copy(update={"objective": {"format": "doc-sentences", "rate": 0.2}})
    words = command_of(changed, out)
    assert "--set 'objective.format=\"doc-sentences\"'" in words and "--set objective.rate=0.2" in words
    assert result.reported == ("nats per masked token", result.valid["masked_loss"])
    assert all("loss_nsp" in r for r in log.read(out) if "loss" in r)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": {"fromat": "x"}}, "unknown option 'objective.fromat'; did you mean objective.format"),
        ({"objective": {"rate": 1.5}}, "rate must be less than 1, but is 1.5"),
        ({"objective": {"format": "sentences"}}, "format must be"),
        ({"data": {"across_documents": True}}, "data.across_documents has no effect here"),
        ({"objective": {"format": "segment-pair", "next_sentence": True}}, "has no head for it"),
        ({"model": {"nsp": True}}, "unknown option 'model.nsp'"),
    ],
)
def test_wrong_options_are_named(run_options, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        set_up(run_options(family="roberta", **options), tmp_path, None)


def test_from_goes_on_with_the_heads_that_there_are(made, run_options, tmp_path):
    _, out, _ = made("distilbert", run_options)
    options = run_options(4, family="distilbert", start_from=str(out)).model_copy(update={"model": {}, "tokenizer": None})
    setup = set_up(options, tmp_path, None)
    assert isinstance(setup.rows, Rows) and setup.make_model().heads == ("mlm",)
    assert torch.equal(setup.make_model().token_embedding.weight, gyebo.load(out)[0].token_embedding.weight)


def test_another_text_is_read_document_by_document_whatever_was_learned(made, run_options, corpus, monkeypatch):
    _, out, _ = made("bert", run_options)
    seen = []
    keep = lambda model, rows, **_: seen.append(rows.objective.options.format) or NOTHING  # noqa: E731
    monkeypatch.setattr("gyebo.evaluation.measures.resolve", lambda _: keep)
    evaluate(str(out))
    evaluate(str(out), [str(corpus)], context=32)
    assert seen == ["segment-pair", "doc-sentences"]


def test_the_curve_is_that_of_masked_tokens_without_pairs(run_options, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("gyebo.jobs.pretrain.training_curve", lambda path, steps, losses, *_, **__: drawn.append(losses))
    pretrain(run_options(2, family="bert"), tmp_path / "run")
    records = [record for record in log.read(tmp_path / "run") if "loss" in record]
    assert drawn == [[record["loss_mlm"] for record in records]] != [[record["loss"] for record in records]]
