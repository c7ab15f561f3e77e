"""Texts and codes: what stands in a batch, the loss by hand, counts, BPE-dropout and pictures without their text."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gyebo.data.batches import IGNORE, Rows
from gyebo.data.plan import DOCUMENT
from gyebo.evaluation.text_to_image import evaluate_codes
from gyebo.models.dalle import Dalle, DalleConfig
from gyebo.models.family import FAMILIES
from gyebo.objectives import text_to_image
from gyebo.objectives.codes import IMAGE, rows_and_labels
from gyebo.objectives.objective import Setting
from gyebo.objectives.text_to_image import Options
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from tests.objectives.prepared_pictures import prepared
from tests.refusals import option_error

CODES, PLACES = 11, 120


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(roles_of(FAMILIES["dalle"]))


@pytest.fixture(scope="module")
def shards(tokenizer):
    return prepared(tokenizer)


def config_of(tokenizer, **options):
    shape = {"context": PLACES, "image_codes": CODES, "grid": 2, "width": 12, "layers": 2, "heads": 2, "kernel": 3}
    return DalleConfig(vocab_size=tokenizer.vocab_size, **{**shape, **options})


def built(shards, tokenizer, config=None, **options):
    rng = np.random.default_rng(0)
    codes = {s.name: rng.integers(CODES, size=(len(s.pictures), 4), dtype=np.uint16) for s in (shards.train, shards.valid)}
    setting = Setting(tokenizer, roles_of(FAMILIES["dalle"]), shards.train, config=config or config_of(tokenizer), codes=codes)
    return text_to_image.build(Options(**options), setting)


def rows_of(shards, objective, context=PLACES, split="train"):
    found = getattr(shards, split)
    return Rows(found, objective.plan(found, context, 0), objective, 0)


def tensors(batch):
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def test_a_row_is_a_text_and_the_codes_of_its_picture(shards, tokenizer):
    objective = built(shards, tokenizer, bpe_dropout=0.0)
    rows = rows_of(shards, objective)
    assert len(rows.plan) == len(shards.train) and not objective.shortens
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    for row, piece in enumerate(rows.plan.pieces):
        document = int(piece[DOCUMENT])
        count = min(PLACES, int(shards.train.documents["tokens"][document]))
        assert np.array_equal(batch["input_ids"][row][:count], shards.train.read(document, 0, count))
        assert (batch["document_ids"][row] > 0).sum() == count
        picture = shards.train.pictures.of[document]
        assert np.array_equal(batch["image_ids"][row], objective.codes["train"][picture])
    assert (batch[IMAGE.document_ids] == 1).all()


@pytest.mark.parametrize("start", [True, False])
def test_the_loss_is_its_definition(shards, tokenizer, start):
    """Position by position: the text with the padding that ends it, then the codes; each normalised by its own count."""
    places = int(np.median(shards.train.documents["tokens"][:12]))
    config = config_of(tokenizer, start=start, init_std=0.5, context=places)
    torch.manual_seed(0)
    model = Dalle(config).eval()
    objective = built(shards, tokenizer, config, bpe_dropout=0.0)
    rows = rows_of(shards, objective, places)
    batch = rows.batch(np.arange(12), [[0]] * 12)
    sizes = (batch["document_ids"] > 0).sum(1)
    assert sizes.min() < places and sizes.max() == places  # one ends, one is cut
    nats, counts = {"text": 0.0, "image": 0.0}, {"text": 0, "image": 0}
    with torch.no_grad():
        for row in range(12):
            n, codes = int(sizes[row]), torch.from_numpy(batch["image_ids"][row])
            text = torch.from_numpy(batch["input_ids"][row][:n])
            found = model(text[None], image_ids=codes[None])
            labels = [*text.tolist(), *([config.vocab_size + n] if n < places else [])][0 if start else 1 :]
            logs = found.text_logits[0].log_softmax(-1)
            nats["text"] -= sum(float(logs[place, label]) for place, label in enumerate(labels))
            nats["image"] -= float(found.image_logits[0].log_softmax(-1).gather(1, codes[:, None]).sum())
            counts["text"] += len(labels)
            counts["image"] += 4
    terms = objective.loss(model, tensors(batch))
    assert objective.counts(batch) == objective.projected(batch) == objective.counts(tensors(batch)) == counts
    for name, weight in (("text", 1 / 8), ("image", 7 / 8)):
        assert terms[name][1] == weight and float(terms[name][0]) == pytest.approx(nats[name], rel=1e-5)


def test_what_follows_the_first_padding_is_not_learned(shards, tokenizer):
    model = Dalle(config_of(tokenizer))
    batch = tensors(rows_of(shards, built(shards, tokenizer, bpe_dropout=0.0)).batch(np.arange(5), [[0]] * 5))
    _, labels = rows_and_labels(model, batch)["text"]
    for row, n in enumerate((batch["document_ids"] > 0).sum(1).tolist()):
        assert labels[row, n] == tokenizer.vocab_size + n and (labels[row, n + 1 :] == IGNORE).all()
        assert torch.equal(labels[row, :n], batch["input_ids"][row, :n])


def test_texts_are_segmented_anew_as_the_seed_and_the_row_say(shards, tokenizer):
    objective = built(shards, tokenizer)
    assert objective.rate == 0.1 and objective.shortens and "BPE-dropout 0.1" in objective.describe()
    rows, plain = rows_of(shards, objective), rows_of(shards, built(shards, tokenizer, bpe_dropout=0.0))
    some = np.arange(20)
    first, same, other = (rows.batch(some, [[0, epoch]] * 20)["input_ids"] for epoch in (0, 0, 1))
    assert np.array_equal(first, same) and not np.array_equal(first, other)
    alone = rows.batch(some[7:8], [[0, 0]])["input_ids"]
    assert np.array_equal(alone[0], first[7])  # whatever shares the batch
    stored = plain.batch(some, [[0, 0]] * 20)
    for ids, usual in zip(first, stored["input_ids"]):
        if (ids != 0).sum() < PLACES:
            assert tokenizer.decode(ids[ids != 0].tolist()) == tokenizer.decode(usual[usual != 0].tolist())
    evaluated = rows_of(shards, objective.for_evaluation())
    assert np.array_equal(evaluated.batch(some, [[0]] * 20)["input_ids"], stored["input_ids"])


def test_some_pictures_are_learned_without_their_text(shards, tokenizer):
    objective = built(shards, tokenizer, without_text=0.3, bpe_dropout=0.0)
    assert objective.parts == {"guided": True} and built(shards, tokenizer).parts == {"guided": False}
    rows = rows_of(shards, objective)
    found = [rows.batch(np.arange(len(rows.plan)), [[0, epoch]] * len(rows.plan)) for epoch in range(20)]
    empty = np.concatenate([(batch["document_ids"] == 0).all(1) for batch in found])
    assert abs(empty.mean() - 0.3) < 4 * (0.21 / len(empty)) ** 0.5
    batch = found[0]
    kept = ~(batch["document_ids"] == 0).all(1)
    sizes = (batch["document_ids"] > 0).sum(1)
    assert objective.counts(batch)["text"] == (sizes + (sizes < PLACES))[kept].sum()
    model = Dalle(config_of(tokenizer))
    _, labels = rows_and_labels(model, tensors(batch))["text"]
    assert (labels[torch.from_numpy(~kept)] == IGNORE).all()


def test_held_out_pictures_are_measured_as_the_loss_has_it(shards, tokenizer):
    torch.manual_seed(0)
    model = Dalle(config_of(tokenizer, init_std=0.5)).eval()
    objective = built(shards, tokenizer).for_evaluation()
    rows = rows_of(shards, objective, split="valid")
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    terms, counts = objective.loss(model, tensors(batch)), objective.counts(batch)
    found = evaluate_codes(model, rows)
    assert found.metrics["image_loss"] == pytest.approx(float(terms["image"][0]) / counts["image"], rel=1e-5)
    assert found.metrics["text_loss"] == pytest.approx(float(terms["text"][0]) / counts["text"], rel=1e-5)
    assert found.metrics["image_tokens"] == counts["image"]
    sums = found.parts.sum(0)
    assert len(found.parts) == len(rows.plan) and found.metrics["image_loss"] == pytest.approx(sums[0] / sums[1])
    logits = rows_and_labels(model, tensors(batch))["image"]
    right = (model.project(logits[0], "image").argmax(-1) == logits[1]).float().mean()
    assert found.metrics["image_accuracy"] == pytest.approx(float(right))
    assert evaluate_codes(model, rows, tokens=100).metrics["image_tokens"] < counts["image"]


def test_dropout_needs_a_byte_level_bpe(shards):
    letters = train_tokenizer(["나무 하늘 abc"], "char", 64).for_family(roles_of(FAMILIES["dalle"]))
    assert built(shards, letters).dropping is None
    with option_error("objective.bpe_dropout"):
        built(shards, letters, bpe_dropout=0.2)


def test_a_text_that_grows_beyond_its_places_is_cut(shards, tokenizer):
    objective = built(shards, tokenizer, config_of(tokenizer, context=6), bpe_dropout=0.9)
    rows = rows_of(shards, objective, 6)
    assert rows.batch(np.arange(10), [[0]] * 10)["input_ids"].shape == (10, 6)
    assert replace(objective, dropping=None).lengths(6) == {"tokens": 6, "image": 4}
