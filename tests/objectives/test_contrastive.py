"""Pairs of a text and a picture: what stands in a batch, the loss by hand, what is no wrong answer, and how it is measured."""

import math

import numpy as np
import pytest
import torch

from gyebo.data.batches import Rows
from gyebo.data.plan import DOCUMENT
from gyebo.evaluation import contrast
from gyebo.evaluation.contrast import evaluate_contrast
from gyebo.models.clip import Clip, ClipConfig
from gyebo.models.family import FAMILIES
from gyebo.objectives import contrastive
from gyebo.objectives.contrastive import Options, alike, compared
from gyebo.objectives.objective import Setting
from gyebo.text.roles import roles_of
from gyebo.text.tokenizer import Tokenizer
from tests.objectives.prepared_pictures import SIZE, prepared

ROLES, PLACES = roles_of(FAMILIES["clip"]), 120


@pytest.fixture(scope="module")
def tokenizer(tokenizer_folder):
    return Tokenizer.load(tokenizer_folder).for_family(ROLES)


@pytest.fixture(scope="module")
def shards(tokenizer):
    return prepared(tokenizer)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    end = tokenizer.role_ids["sep"]
    return Clip(ClipConfig(tokenizer.vocab_size, PLACES, 16, 1, 2, None, SIZE, 8, 16, 1, 2, projection=12, end_id=end)).eval()


def rows_of(shards, tokenizer, split="train"):
    objective = contrastive.build(Options(), Setting(tokenizer, ROLES, shards.train))
    found = getattr(shards, split)
    return Rows(found, objective.plan(found, PLACES, 0), objective, tokenizer.role_ids["pad"])


def tensors(batch):
    return {name: torch.from_numpy(values) for name, values in batch.items()}


def test_a_row_is_a_text_between_its_ids_and_the_pixels_of_its_picture(shards, tokenizer):
    rows = rows_of(shards, tokenizer)
    assert len(rows.plan) == len(shards.train) and rows.objective.whole_batches
    batch = rows.batch(np.arange(10), [[0]] * 10)
    for row in range(10):
        document = int(rows.plan.row(row)[0][DOCUMENT])
        ids = batch["input_ids"][row][batch["document_ids"][row] > 0]
        count = min(PLACES - 2, int(shards.train.documents["tokens"][document]))
        assert ids[0] == tokenizer.role_ids["bos"] and ids[-1] == tokenizer.role_ids["sep"]
        assert np.array_equal(ids[1:-1], shards.train.read(document, 0, count))
        picture = shards.train.pictures.of[document]
        assert batch["picture"][row] == picture and np.array_equal(batch["pixels"][row], shards.train.pictures.read(picture))
        assert tokenizer(tokenizer.decode(ids.tolist()))["input_ids"] == ids.tolist()


@torch.no_grad()
def test_the_loss_is_its_definition(shards, tokenizer, model):
    rows = rows_of(shards, tokenizer)
    batch = tensors(rows.batch(np.arange(0, 24, 2), [[0]] * 12))
    texts = model.text_vectors(batch["input_ids"], document_ids=batch["document_ids"])
    pictures = model.picture_vectors(batch["pixels"])
    cosines = torch.nn.functional.cosine_similarity(texts[:, None], pictures[None], dim=-1).double()
    numbers, words = batch["picture"].tolist(), [tuple(ids.tolist()) for ids in batch["input_ids"]]
    total = 0.0
    for i in range(12):
        others = [j for j in range(12) if j == i or (numbers[j] != numbers[i] and words[j] != words[i])]
        for scores in (cosines[i, others], cosines[others, i]):
            logits = scores * math.exp(float(model.scale))
            total += float(logits.logsumexp(0) - logits[others.index(i)]) / 2
    (found, weight) = rows.objective.loss(model, batch)["contrast"]
    assert weight == 1.0 and float(found) == pytest.approx(total, rel=1e-5)
    assert rows.objective.counts(batch) == {"contrast": 12}
    assert rows.objective.projected(batch) == {"text": 12, "picture": 12}


def test_what_is_alike_is_no_wrong_answer():
    ids = torch.tensor([[1, 7, 2, 0], [1, 7, 2, 9], [1, 8, 2, 0], [1, 7, 2, 5]])
    documents = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    found = alike(ids, documents, torch.tensor([3, 4, 3, 5]))
    assert found.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [2, 0]]


@torch.no_grad()
def test_the_scale_is_at_most_100(shards, tokenizer, model):
    batch = tensors(rows_of(shards, tokenizer).batch(np.arange(6), [[0]] * 6))
    before = model.scale.clone()
    model.scale.fill_(7.0)
    large = compared(model, batch)
    model.scale.fill_(math.log(100))
    assert torch.allclose(large, compared(model, batch), atol=1e-4)
    model.scale.copy_(before)


@torch.no_grad()
def test_pairs_are_found_among_groups_of_different_pictures(shards, tokenizer, model, monkeypatch):
    rows = rows_of(shards, tokenizer, "valid")
    count = len(shards.valid.pictures)
    monkeypatch.setattr(contrast, "AMONG", count // 2)
    seen = []
    real = contrast.compared
    monkeypatch.setattr(contrast, "compared", lambda m, batch: seen.append(batch["picture"].tolist()) or real(m, batch))
    found = evaluate_contrast(model, rows)
    assert sorted(number for group in seen for number in group) == list(range(count)) and len(seen) == 2
    assert found.metrics["among"] == count // 2 and found.parts[:, 1].sum() == count
    assert found.metrics["contrast_loss"] == pytest.approx(found.parts[:, 0].sum() / count)
    assert 0 <= found.metrics["picture_found"] < 1
    again = list(seen)
    seen.clear()
    assert evaluate_contrast(model, rows).metrics == found.metrics and seen == again
    seen.clear()
    evaluate_contrast(model, rows, tokens=1)
    assert seen == [seen[0]] and len(seen[0]) == count // 2


def test_a_few_steps_find_the_right_pictures(shards, tokenizer):
    """It learns: after 60 steps on 16 pairs, most texts find their picture."""
    torch.manual_seed(0)
    end = tokenizer.role_ids["sep"]
    model = Clip(ClipConfig(tokenizer.vocab_size, PLACES, 32, 1, 2, None, SIZE, 8, 32, 1, 2, projection=16, end_id=end))
    rows = rows_of(shards, tokenizer)
    _, firsts = np.unique(shards.train.pictures.of[rows.plan.pieces[:, DOCUMENT]], return_index=True)
    batch = tensors(rows.batch(firsts[:16], [[0]] * 16))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        (rows.objective.loss(model, batch)["contrast"][0] / 16).backward()
        optimizer.step()
    with torch.no_grad():
        right = (compared(model.eval(), batch).argmax(1) == torch.arange(16)).float().mean()
    assert float(right) > 0.8
