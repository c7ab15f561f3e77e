"""Pooling against loops, and vectors of texts: their order, their frame, what is too long and what is empty."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gyebo.models.family import FAMILIES, model_class
from gyebo.nn import pooling
from gyebo.tasks import embedding
from gyebo.tasks.heads.task_model import add_head
from gyebo.text.roles import roles_of
from gyebo.text.training import train_tokenizer
from tests.conftest import sentences
from tests.refusals import option_error

HIDDEN = torch.arange(24.0).reshape(2, 4, 3).sin()


@pytest.mark.parametrize("mask", [[[1, 1, 1, 1], [1, 1, 0, 0]], [[0, 1, 1, 1], [0, 0, 0, 1]], [[0, 1, 0, 1], [0, 1, 1, 0]]])
def test_poolings_by_loops(mask):
    for row, places in enumerate([[i for i, real in enumerate(line) if real] for line in mask]):
        given = torch.tensor(mask)
        assert torch.equal(pooling.first_token(HIDDEN, given)[row], HIDDEN[row, places[0]])
        assert torch.equal(pooling.last_token(HIDDEN, given)[row], HIDDEN[row, places[-1]])
        for column in range(3):
            mean = sum(float(HIDDEN[row, place, column]) for place in places) / len(places)
            assert float(pooling.mean_token(HIDDEN, given)[row, column]) == pytest.approx(mean, abs=1e-6)
            largest = max(float(HIDDEN[row, place, column]) for place in places)
            assert float(pooling.max_token(HIDDEN, given)[row, column]) == largest


def test_without_a_mask_all_is_real_and_nothing_at_padding_counts():
    ones = torch.ones(2, 4, dtype=torch.long)
    for name, pool in {**embedding.POOLINGS, "max": pooling.max_token}.items():
        assert torch.equal(pool(HIDDEN, None), pool(HIDDEN, ones)), name
        mask = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0]])
        spoiled = HIDDEN.masked_fill(mask[..., None] == 0, float("nan"))
        assert torch.equal(pool(spoiled, mask), pool(HIDDEN, mask)), name
    assert pooling.mean_token(HIDDEN, torch.zeros(2, 4)).abs().max() == 0
    assert pooling.max_token(HIDDEN, torch.zeros(2, 4)).abs().max() == 0
    half = torch.full((1, 4000, 1), 1.0, dtype=torch.bfloat16)
    assert float(pooling.mean_token(half, torch.ones(1, 4000))) == 1.0  # added in float32: bfloat16 stops at 256


@pytest.fixture(scope="module")
def learned():
    return train_tokenizer(sentences(120), "bpe", 400)


def model_of(family, learned, context=40):
    tokenizer = learned.for_family(roles_of(FAMILIES[family]))
    torch.manual_seed(0)
    cls = model_class(family)
    shape = {"vocab_size": 400, "context": context, "width": 12, "layers": 2, "heads": 2, "init_std": 0.3}
    return cls(cls.config_class(**shape, pad_id=tokenizer.role_ids["pad"])).eval(), tokenizer


@pytest.mark.parametrize("name", ["mean", "cls", "last"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "roberta"])
@torch.no_grad()
def test_each_text_has_the_vector_it_has_alone(family, name, learned):
    model, tokenizer = model_of(family, learned)
    texts = [*sentences(9, seed=1), "가", "a b", "나무 정말 바다 보았다."]
    if family == "gpt2" and name == "cls":
        with option_error("pooling"):
            embedding.embed(model, tokenizer, texts, name)
        return
    for batch_tokens in (1, 64, 10**6):
        found, cut = embedding.embed(model, tokenizer, texts, name, batch_tokens=batch_tokens)
        assert found.shape == (12, 12) and found.dtype == np.float32
        long = 0
        for row, text in zip(found, texts):
            ids = tokenizer(text)["input_ids"]
            if len(ids) > 40:
                long += 1
                continue
            if family != "gpt2":
                assert ids[0] == tokenizer.role_ids["cls"] and ids[-1] == tokenizer.role_ids["sep"]
            hidden = model.encode(torch.tensor([ids])).hidden[0]
            expected = {"mean": hidden.mean(0), "cls": hidden[0], "last": hidden[-1]}[name]
            assert np.abs(row - expected.numpy()).max() < 1e-5
        assert cut == long
    assert len({row.tobytes() for row in found}) == 12  # else order would not show


def test_long_texts_are_cut_and_counted(learned):
    model, tokenizer = model_of("bert", learned, context=8)
    text = "나무 정말 바다 보았다. 하늘 아주 사람 찾았다."
    found, cut = embedding.embed(model, tokenizer, ["가", text, "나"], "last")
    assert cut == 1
    ids = tokenizer([text], truncation=True, max_length=8)["input_ids"]
    assert len(ids[0]) == 8 and ids[0][-1] == tokenizer.role_ids["sep"]
    with torch.no_grad():
        assert np.abs(found[1] - model.encode(torch.tensor(ids)).hidden[0, -1].numpy()).max() < 1e-5


def test_length_one_and_texts_without_tokens(learned):
    model, tokenizer = model_of("gpt2", learned)
    found, _ = embedding.embed(model, tokenizer, ["가나", "", "다"], normalize=True)
    assert not found[1].any()
    assert np.allclose(np.linalg.norm(found[[0, 2]], axis=1), 1, atol=1e-6)
    plain, _ = embedding.embed(model, tokenizer, ["가나", "", "다"])
    assert np.allclose(plain[0] / np.linalg.norm(plain[0]), found[0], atol=1e-6)
    assert embedding.embed(model, tokenizer, [])[0].shape == (0, 12)
    model, tokenizer = model_of("bert", learned)
    assert embedding.embed(model, tokenizer, [""])[0].any()  # the frame is there


def test_a_fine_tuned_model_gives_its_bodys_vectors(learned):
    model, tokenizer = model_of("bert", learned)
    before, _ = embedding.embed(model, tokenizer, ["가나", "다"])
    after, _ = embedding.embed(add_head(model, "pooled", "classification", 2), tokenizer, ["가나", "다"])
    assert np.array_equal(before, after)


def test_batches_hold_every_row_once_and_keep_their_size():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 50, 300)
    batches = embedding._batches(lengths, 128)
    rows = np.concatenate(batches)
    assert sorted(rows.tolist()) == np.flatnonzero(lengths).tolist()
    assert all(len(batch) * lengths[batch].max() <= 128 or len(batch) == 1 for batch in batches)
    assert all((np.diff(lengths[batch]) >= 0).all() for batch in batches)
    assert math.ceil(lengths.sum() / 128) <= len(batches) < 1.3 * lengths.sum() / 128 + 2
    with option_error("pooling"):
        embedding.check_pooling(object(), "max")
