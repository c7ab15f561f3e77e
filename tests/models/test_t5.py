"""T5: one answer however a batch is laid out or decoded, its initialisation, its encoder alone, float16."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import gyebo
from gyebo.models.family import FAMILIES
from gyebo.models.t5 import T5, T5Config
from tests.models.encoder_decoders import (
    assert_padding_and_neighbours_change_nothing,
    assert_step_by_step_is_at_once,
    close,
    padded,
    tokens,
    watched,
)

ODD = T5Config(53, 32, 24, 2, 3, heads=3, head_width=5, inner=40, buckets=8, farthest=9, dropout=0.0)
VERSIONS = [{}, {"activation": "gelu_tanh", "gated": True, "divided": False, "untied": True}]
PAIRS = [(tokens(1, n, seed=n), tokens(1, m, seed=30 + m)) for n, m in ((7, 5), (1, 12), (12, 1), (4, 4))]


def make(**options) -> T5:
    torch.manual_seed(0)
    model = T5(replace(ODD, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_bias.weight"):
                parameter.mul_(10)
            elif parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("options", VERSIONS)
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
    changed = source.flip(1)
    assert (model(changed, None, target).logits != before).any(-1).all()


@torch.no_grad()
def test_order_is_known_from_the_bias_alone():
    model = make()
    model.encoder_bias.weight.zero_()
    source, target = tokens(1, 6), tokens(1, 3, seed=2)
    assert close(model(source.flip(1), None, target).logits, model(source, None, target).logits)


@pytest.mark.parametrize("options", VERSIONS)
def test_the_slow_path_with_weights_is_the_fast_one(options):
    slow, *_ = watched(make(**options), PAIRS)
    assert [len(part) for part in (slow.encoder_attentions, slow.decoder_attentions, slow.cross_attentions)] == [2, 3, 3]
    assert [len(part) for part in (slow.encoder_hidden_states, slow.decoder_hidden_states)] == [3, 4]


@pytest.mark.parametrize("options", VERSIONS)
def test_step_by_step_is_at_once(options):
    """Beyond the farthest distance."""
    assert_step_by_step_is_at_once(make(**options), PAIRS, places=10)


@torch.no_grad()
def test_its_encoder_alone():
    model = make()
    ids, mask = padded([source for source, _ in PAIRS], "left")
    alone = model.without_decoder()
    found = alone.encode(ids, mask, return_attentions=True, return_layers=True)
    assert torch.equal(alone.encode(ids, mask).hidden, model.encode(ids, mask).encoder_hidden)
    assert len(found.attentions) == 2 and len(found.layers) == 3
    assert alone.token_embedding.weight is model.token_embedding.weight and alone.heads == ()
    assert not any(name.startswith(("decoder", "lm_head")) for name, _ in alone.named_parameters())
    with pytest.raises(ValueError, match="encoder alone"):
        alone.encode(ids, mask, ids)
    with pytest.raises(ValueError, match="no output layer"):
        alone.output_layer(found.hidden)


@torch.no_grad()
def test_the_initialisation_makes_up_for_the_missing_scale():
    """Scores of the first layer have the variance of a scaled product: q is smaller by sqrt(K)."""
    torch.manual_seed(0)
    model = T5(T5Config(997, 64, 96, 1, 1, heads=8, head_width=32, inner=64, dropout=0.0))
    x = torch.randn(200, 96)
    query, key, _ = model.encoder[0].attention.qkv(x).unflatten(-1, (3, 8, 32)).unbind(1)
    assert float(torch.einsum("nhk,mhk->hnm", query, key).std()) == pytest.approx(1.0, rel=0.05)
    deviations = {
        "encoder.0.attention.out": 256**-0.5,
        "encoder.0.mlp.up": 96**-0.5,
        "encoder.0.mlp.down": 64**-0.5,
        "decoder.0.source_attention.query": (96 * 32) ** -0.5,
        "decoder.0.source_attention.key_value": 96**-0.5,
        "token_embedding": 1.0,
    }
    for name, expected in deviations.items():
        assert float(model.get_submodule(name).weight.std()) == pytest.approx(expected, rel=0.05), name
    logits = model(tokens(2, 20), None, tokens(2, 20)).logits
    assert float(logits.std()) == pytest.approx(1.0, rel=0.15)


@torch.no_grad()
def test_float16_does_not_overflow():
    model = make(gated=True)
    for block in (*model.encoder, *model.decoder):
        block.mlp.gate_up.weight.mul_(5)
        block.mlp.down.weight.mul_(1e4)
    ids, target = tokens(2, 9), tokens(2, 4)
    expected = model(ids, None, target).logits
    inner = model(ids, None, target, output_hidden_states=True).encoder_hidden_states[1]
    assert float(inner.abs().max()) > torch.finfo(torch.float16).max
    half = T5(model.config).eval()
    half.load_state_dict(model.state_dict())
    half = half.half()
    found = half(ids, None, target).logits
    assert bool(found.isfinite().all()) and close(found.float(), expected, 0.05)
    cache = half.read_source(ids, slots=4)
    steps = torch.stack([half.project(half.step(target[:, place], cache)) for place in range(4)], 1)
    assert close(steps.float(), expected, 0.05)


@pytest.mark.parametrize(
    ("size", "count"),
    [  # Raffel et al. 2020 and the released weights
        ("small", 60_506_624),
        ("base", 222_903_552),
        ("large", 737_668_096),
        ("3b", 2_851_598_336),
        ("11b", 11_307_321_344),
        ("v1.1-small", 76_961_152),
        ("v1.1-base", 247_577_856),
    ],
)
def test_published_sizes(size, count):
    with torch.device("meta"):
        assert T5(T5.sizes[size]).count_parameters() == count


def test_sizes_of_the_table_and_order_of_the_layers():
    assert list(FAMILIES["t5"].sizes) == list(T5.sizes)
    for size, count in FAMILIES["t5"].sizes.items():
        with torch.device("meta"):
            model = T5(T5.sizes[size])
        assert model.count_parameters() == count
        groups = model.layer_groups()
        assert sum(p.numel() for group in groups for p in group) == count
        assert len(groups[0]) == 3 and len(groups) == model.config.layers + model.config.decoder_layers + 2


def test_gradients_are_those_of_each_pair_alone():
    model = make(layers=1, decoder_layers=1)
    slopes = [
        torch.randn(target.shape[1], 24, generator=torch.Generator().manual_seed(n)) for n, (_, target) in enumerate(PAIRS)
    ]
    parameters = list(model.parameters())
    alone = sum((model.encode(source, None, target).hidden[0] * slope).sum() for (source, target), slope in zip(PAIRS, slopes))
    expected = torch.autograd.grad(alone, parameters)
    (ids, mask), (target, target_mask) = (padded(list(texts), "right") for texts in zip(*PAIRS))
    total = (model.encode(ids, mask, target, target_mask).hidden[target_mask == 1] * torch.cat(slopes)).sum()
    for found, wanted in zip(torch.autograd.grad(total, parameters), expected):
        assert close(found, wanted, 1e-4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"head_width": 0}, "head_width must be at least 1"),
        ({"buckets": 7}, "buckets must be an even number"),
        ({"buckets": 18}, "farthest must be above half of the 18 buckets"),
        ({"activation": "softmax"}, "activation must be one of"),
        ({"eos_id": 53}, "eos_id must be below vocab_size 53"),
    ],
)
def test_bad_configs_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        replace(ODD, **options)


def test_exported():
    assert gyebo.T5 is T5
