"""Codes, then a text: what stands in a batch, the loss by hand, counts, texts without their picture, held-out captions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gyebo.data.batches import IGNORE
from gyebo.data.plan import DOCUMENT
from gyebo.evaluation.image_to_text import evaluate_captions
from gyebo.models.dalle import Dalle
from gyebo.models.family import FAMILIES
from gyebo.nn.grid_attention import NOTHING
from gyebo.objectives import image_to_text
from gyebo.objectives.codes import rows_and_labels
from gyebo.objectives.image_to_text import Options
from gyebo.objectives.objective import Setting
from gyebo.text.roles import roles_of
from tests.objectives.test_text_to_image import CODES, PLACES, config_of, rows_of, shards, tensors, tokenizer  # noqa: F401


def built(shards, tokenizer, config=None, **options):  # noqa: F811
    rng = np.random.default_rng(0)
    codes = {s.name: rng.integers(CODES, size=(len(s.pictures), 4), dtype=np.uint16) for s in (shards.train, shards.valid)}
    config = config or config_of(tokenizer, image_first=True)
    setting = Setting(tokenizer, roles_of(FAMILIES["dalle"]), shards.train, config=config, codes=codes)
    return image_to_text.build(Options(**options), setting)


def nats_of(model, text, codes, places):
    """Nats of a text and its end, and of the codes, place by place; their numbers."""
    found = model(text[None], image_ids=codes[None])
    labels = [*text.tolist(), *([model.config.vocab_size + len(text)] if len(text) < places else [])]
    logs = found.text_logits[0].log_softmax(-1)
    words = -sum(float(logs[place, label]) for place, label in enumerate(labels))
    known = codes if model.config.start else codes[1:]
    picture = -found.image_logits[0].log_softmax(-1).gather(1, known.clamp(min=0)[:, None])[:, 0][known != NOTHING].sum()
    return words, float(picture), len(labels), int((known != NOTHING).sum())


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("without", [0.0, 0.5])
def test_the_loss_is_its_definition(shards, tokenizer, start, without):  # noqa: F811
    """Position by position: the codes, then the text with the padding that ends it; each normalised by its own count."""
    places = int(np.median(shards.train.documents["tokens"][:12]))
    config = config_of(tokenizer, start=start, init_std=0.5, context=places, image_first=True)
    torch.manual_seed(0)
    model = Dalle(config).eval()
    objective = built(shards, tokenizer, config, without_picture=without)
    batch = rows_of(shards, objective, places).batch(np.arange(12), [[0]] * 12)
    sizes = (batch["document_ids"] > 0).sum(1)
    assert sizes.min() < places and sizes.max() == places  # one ends, one is cut
    empty = (batch["image_ids"] == NOTHING).all(1)
    assert (empty | (batch["image_ids"] != NOTHING).all(1)).all() and (0 < empty.sum() < 12) == (without > 0)
    sums = np.zeros(4)
    with torch.no_grad():
        for row in range(12):
            text, codes = (torch.from_numpy(batch[name][row]) for name in ("input_ids", "image_ids"))
            sums += nats_of(model, text[: sizes[row]], codes, places)
    terms = objective.loss(model, tensors(batch))
    expected = {"text": sums[2], "image": sums[3]}
    assert objective.counts(batch) == objective.projected(batch) == objective.counts(tensors(batch)) == expected
    for name, nats, weight in (("text", sums[0], 7 / 8), ("image", sums[1], 1 / 8)):
        assert terms[name][1] == weight and float(terms[name][0]) == pytest.approx(nats, rel=1e-5)
    other = built(shards, tokenizer, config, image_weight=0.25).loss(model, tensors(batch))
    assert other["text"][1] == 0.75 and other["image"][1] == 0.25


def test_a_row_is_the_codes_of_a_picture_and_its_text_as_it_is_stored(shards, tokenizer):  # noqa: F811
    objective = built(shards, tokenizer)
    rows = rows_of(shards, objective)
    assert objective.parts == {"image_first": True, "guided": False} and not objective.shortens
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    for row, piece in enumerate(rows.plan.pieces):
        document = int(piece[DOCUMENT])
        count = min(PLACES, int(shards.train.documents["tokens"][document]))
        assert np.array_equal(batch["input_ids"][row][:count], shards.train.read(document, 0, count))
        assert np.array_equal(batch["image_ids"][row], objective.codes["train"][shards.train.pictures.of[document]])
    _, labels = rows_and_labels(Dalle(config_of(tokenizer, image_first=True)), tensors(batch))["text"]
    for row, n in enumerate((batch["document_ids"] > 0).sum(1).tolist()):
        if n < labels.shape[1]:
            assert labels[row, n] == tokenizer.vocab_size + n and (labels[row, n + 1 :] == IGNORE).all()


def test_some_texts_are_learned_without_their_picture(shards, tokenizer):  # noqa: F811
    objective = built(shards, tokenizer, without_picture=0.3)
    assert objective.parts == {"image_first": True, "guided": True} and "30%" in objective.describe()
    rows = rows_of(shards, objective)
    found = [rows.batch(np.arange(len(rows.plan)), [[0, epoch]] * len(rows.plan)) for epoch in range(20)]
    empty = np.concatenate([(batch["image_ids"] == NOTHING).all(1) for batch in found])
    assert abs(empty.mean() - 0.3) < 4 * (0.21 / len(empty)) ** 0.5
    evaluated = rows_of(shards, objective.for_evaluation())
    assert (evaluated.batch(np.arange(20), [[0]] * 20)["image_ids"] != NOTHING).all()


@pytest.mark.parametrize("guided", [True, False])
def test_held_out_captions_are_measured_with_their_picture_with_another_and_with_none(shards, tokenizer, guided):  # noqa: F811
    torch.manual_seed(0)
    model = Dalle(config_of(tokenizer, init_std=0.5, image_first=True, guided=guided)).eval()
    objective = built(shards, tokenizer).for_evaluation()
    rows = rows_of(shards, objective, split="valid")
    batch = rows.batch(np.arange(len(rows.plan)), [[0]] * len(rows.plan))
    terms, counts = objective.loss(model, tensors(batch)), objective.counts(batch)
    found = evaluate_captions(model, rows)
    assert found.metrics["caption_loss"] == pytest.approx(float(terms["text"][0]) / counts["text"], rel=1e-5)
    assert found.metrics["caption_tokens"] == counts["text"]
    sums = found.parts.sum(0)
    assert len(found.parts) == len(rows.plan) and found.metrics["caption_loss"] == pytest.approx(sums[0] / sums[1])
    nothing = {**tensors(batch), "image_ids": torch.full_like(torch.from_numpy(batch["image_ids"]), NOTHING)}
    alone = float(objective.loss(model, nothing)["text"][0]) / counts["text"]
    assert ("caption_loss_without_picture" in found.metrics) == guided
    if guided:
        assert found.metrics["caption_loss_without_picture"] == pytest.approx(alone, rel=1e-5)
    pictures, count = shards.valid.pictures.of[rows.plan.pieces[:, DOCUMENT]], len(shards.valid.pictures)
    assert count > 1
    others = objective.codes["valid"][(pictures + count // 2) % count].astype(np.int64)
    assert (others != batch["image_ids"]).any(1).all()
    exchanged = {**tensors(batch), "image_ids": torch.from_numpy(others)}
    other = float(objective.loss(model, exchanged)["text"][0]) / counts["text"]
    assert found.metrics["caption_loss_of_another"] == pytest.approx(other, rel=1e-5)
    assert evaluate_captions(model, rows, tokens=100).metrics["caption_tokens"] < counts["text"]


def test_there_is_nothing_to_choose_about_the_segmentation(shards, tokenizer):  # noqa: F811
    assert set(Options.model_fields) == {"image_weight", "without_picture"}
    assert replace(built(shards, tokenizer), text_weight=0.5).lengths(7) == {"tokens": 7, "image": 4}
