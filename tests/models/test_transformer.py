"""The Transformer of 2017: the paper's formulas, and one answer however a batch is laid out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

import gyebo
from gyebo.models.family import FAMILIES
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.nn.positions import sinusoids
from tests.models.encoder_decoders import (
    assert_attends_to_real_tokens,
    assert_padding_and_neighbours_change_nothing,
    assert_step_by_step_is_at_once,
    close,
    padded,
    tokens,
    watched,
)

ODD = {
    "vocab_size": 53,
    "context": 32,
    "width": 24,
    "layers": 2,
    "decoder_layers": 3,
    "heads": 3,
    "inner": 40,
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "residual_dropout": 0.0,
}


def make(**options) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(**{**ODD, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


STYLES = [{}, {"pre_norm": True}, {"attention_bias": True, "positions": "halves", "output_bias": True, "tied": False}]
PAIRS = [(tokens(1, n, seed=n), tokens(1, m, seed=30 + m)) for n, m in ((7, 5), (1, 12), (12, 1), (4, 4))]


@pytest.mark.parametrize("options", STYLES)
def test_padding_and_neighbours_change_nothing(options):
    assert_padding_and_neighbours_change_nothing(make(**options), PAIRS)


@torch.no_grad()
def test_the_target_is_causal_and_the_source_is_seen_everywhere():
    model = make()
    source, target = tokens(1, 9), tokens(1, 8, seed=1)
    before = model(source, None, target).logits
    for position in (0, 4, 7):
        changed = target.clone()
        changed[0, position] = (changed[0, position] + 1) % 50 + 3
        after = model(source, None, changed).logits
        assert torch.equal(after[:, :position], before[:, :position])
        assert (after[:, position:] != before[:, position:]).any(-1).all()
    for position in (0, 8):
        changed = source.clone()
        changed[0, position] = (changed[0, position] + 1) % 50 + 3
        assert (model(changed, None, target).logits != before).any(-1).all()


@pytest.mark.parametrize("options", STYLES)
def test_the_slow_path_with_weights_is_the_fast_one(options):
    slow, (_, mask), (_, target_mask) = watched(make(**options), PAIRS)
    assert [len(part) for part in (slow.encoder_attentions, slow.decoder_attentions, slow.cross_attentions)] == [2, 3, 3]
    assert [len(part) for part in (slow.encoder_hidden_states, slow.decoder_hidden_states)] == [3, 4]
    for weights in slow.cross_attentions:
        assert_attends_to_real_tokens(weights, mask, target_mask)


@pytest.mark.parametrize("options", STYLES)
def test_step_by_step_is_at_once(options):
    assert_step_by_step_is_at_once(make(**options), PAIRS, places=3)


@torch.no_grad()
def test_beams_share_the_keys_of_their_source():
    model = make()
    cache = model.read_source(tokens(2, 5), slots=4).reorder(torch.tensor([0, 0, 0, 1, 1, 1]))
    assert cache.rows_per_source == 3
    again = cache.reorder(torch.tensor([2, 2, 0, 3, 5, 4]))
    assert again.keys[0] is cache.keys[0] and again.target.keys[0].shape[0] == 6


@torch.no_grad()
def test_what_is_watched_are_the_last_layers_weights():
    model = make()
    ids, target = tokens(2, 7), tokens(2, 3, seed=3)
    expected = model.encode(ids, None, target, return_attentions=True).cross_attentions[-1].mean(1)
    cache = model.read_source(ids, slots=3)
    cache.attentions = []
    for place in range(3):
        model.step(target[:, place], cache)
    assert close(torch.stack(cache.attentions, 1), expected)


def test_sinusoids_are_the_papers_formula():
    for order in ("interleaved", "halves"):
        table = sinusoids(torch.arange(40), 14, 40, order)
        for position in (0, 1, 7, 39):
            for i in range(7):
                angle = position / 10_000 ** (2 * i / 14)
                sine, cosine = (2 * i, 2 * i + 1) if order == "interleaved" else (i, 7 + i)
                assert float(table[position, sine]) == pytest.approx(math.sin(angle), abs=1e-6)
                assert float(table[position, cosine]) == pytest.approx(math.cos(angle), abs=1e-6)


def test_positions_and_word_order_matter():
    model = make()
    source, target = tokens(1, 6), tokens(1, 3, seed=2)
    model.requires_grad_(False)
    assert not close(model(source.flip(1), None, target).logits, model(source, None, target).logits, 1e-2)


@pytest.mark.parametrize(("size", "count"), [("base", 63_045_632), ("big", 214_171_648)])
def test_published_sizes(size, count):
    """Vaswani et al. 2017, table 3, with a shared vocabulary of 37,000 and no biases in attention."""
    with torch.device("meta"):
        assert Transformer(Transformer.sizes[size]).count_parameters() == count
        biased = Transformer(replace(Transformer.sizes[size], attention_bias=True)).count_parameters()
    assert biased == {"base": 63_082_496, "big": 214_245_376}[size]


def test_sizes_of_the_table():
    for size, count in FAMILIES["transformer"].sizes.items():
        with torch.device("meta"):
            assert Transformer(Transformer.sizes[size]).count_parameters() == count
    assert FAMILIES["transformer"].sizes["mini"] <= 2_600_000 * 1.01


def test_gradients_are_those_of_each_pair_alone():
    model = make(layers=1, decoder_layers=1)
    slopes = [
        torch.randn(target.shape[1], 24, generator=torch.Generator().manual_seed(n)) for n, (_, target) in enumerate(PAIRS)
    ]
    parameters = [p for name, p in model.named_parameters() if not name.startswith("lm_head")]
    alone = sum((model.encode(source, None, target).hidden[0] * slope).sum() for (source, target), slope in zip(PAIRS, slopes))
    expected = torch.autograd.grad(alone, parameters)
    (ids, mask), (target, target_mask) = (padded(list(texts), "right") for texts in zip(*PAIRS))
    total = (model.encode(ids, mask, target, target_mask).hidden[target_mask == 1] * torch.cat(slopes)).sum()
    for found, wanted in zip(torch.autograd.grad(total, parameters), expected):
        assert close(found, wanted, 1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 25}, "multiple of heads"),
        ({"decoder_layers": 0}, "decoder_layers must be at least 1"),
        ({"positions": "learned"}, "positions must be one of interleaved, halves"),
        ({"start_id": 53}, "start_id must be below vocab_size 53"),
        ({"inner_dropout": 1.0}, "inner_dropout must be from 0"),
    ],
)
def test_bad_configs_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        TransformerConfig(**{**ODD, **options})


def test_long_sentences_are_refused():
    model = make()
    with pytest.raises(ValueError, match="at most 32 tokens"):
        model(tokens(1, 33))


def test_exported():
    assert gyebo.Transformer is Transformer
