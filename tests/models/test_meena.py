"""Meena: the Evolved Transformer against numpy, its published size, and one answer however a batch is laid out or decoded."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch

import gyebo
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.models import meena, transformer
from gyebo.models.family import FAMILIES
from gyebo.models.meena import Meena, MeenaConfig
from gyebo.nn import decoding
from gyebo.nn.across import pairs_of
from gyebo.nn.cost import Workload
from gyebo.nn.int8 import has_int8, quantize
from gyebo.nn.ragged import ragged_layout
from tests.models import evolved_transformer
from tests.models.encoder_decoders import (
    assert_attends_to_real_tokens,
    assert_padding_and_neighbours_change_nothing,
    assert_step_by_step_is_at_once,
    close,
    padded,
    tokens,
    watched,
)
from tests.operations import counted

ODD = MeenaConfig(53, 32, 24, 2, 3, 3, residual_dropout=0.0, attention_dropout=0.0, pad_id=0, bos_id=1, eos_id=2)
PAIRS = [(tokens(1, n, seed=n), tokens(1, m, seed=30 + m)) for n, m in ((7, 5), (1, 14), (13, 1), (4, 4))]


def make(**options) -> Meena:
    """A model with every tensor drawn at random, large enough for a wrong place to show."""
    torch.manual_seed(0)
    model = Meena(replace(ODD, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif name.endswith("kernel.weight"):
                parameter.normal_(0.0, 0.5)
    return model


def arrays(module: torch.nn.Module) -> dict:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def dense_rows(length: int, seed: int) -> torch.Tensor:
    return torch.randn(length, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ---- against numpy


@pytest.mark.parametrize("length", [1, 2, 9, 20])
@torch.no_grad()
def test_a_block_of_the_encoder_is_that_of_tensor2tensor(length):
    block, x = make().double().encoder[1], dense_rows(length, 1)
    expected = evolved_transformer.encoder_block(arrays(block), x.numpy(), heads=3)
    found = block(x, ragged_layout((1, length), x.device))
    assert close(found, torch.from_numpy(expected), 1e-6) and float((found - x).std()) > 0.1


@pytest.mark.parametrize("heads", [1, 3, 24])  # in the first attention 2, 6 and 24
@pytest.mark.parametrize(("length", "source"), [(1, 6), (20, 1), (23, 6)])
@torch.no_grad()
def test_a_block_of_the_decoder_is_that_of_tensor2tensor(heads, length, source):
    block, x, rows = make(heads=heads).double().decoder[1], dense_rows(length, 1), dense_rows(source, 2)
    layouts = ragged_layout((1, length), x.device), ragged_layout((1, source), x.device)
    expected = evolved_transformer.decoder_block(arrays(block), x.numpy(), rows.numpy(), heads=heads)
    found = block(x, layouts[0], rows, pairs_of(*layouts, None))
    assert close(found, torch.from_numpy(expected), 1e-6) and float((found - x).std()) > 0.1


@torch.no_grad()
def test_the_whole_network_is_that_of_tensor2tensor():
    model = make().double()
    p = arrays(model)
    (ids, mask), (target, target_mask) = (padded(list(texts), side) for texts, side in zip(zip(*PAIRS), ("left", "right")))
    found = model(ids, mask, target, target_mask).logits
    for row, texts in enumerate(PAIRS):
        expected = evolved_transformer.logits(p, *(text[0].tolist() for text in texts), heads=3)
        assert close(found[row][target_mask[row] == 1], torch.from_numpy(expected), 1e-6)


# ---- counts


def test_the_published_model_has_as_many_parameters_as_its_paper_says():
    with torch.device("meta"):
        model = Meena(Meena.sizes["published"])
    assert model.count_parameters() == FAMILIES["meena"].sizes["published"] == 2_592_236_800
    assert sum(p.numel() for p in model.encoder[0].parameters()) == 141_066_240
    assert all(sum(p.numel() for p in block.parameters()) == 186_937_600 for block in model.decoder)
    assert (len(model.encoder), len(model.decoder), model.token_embedding.weight.shape) == (1, 13, (8192, 2560))
    assert model.decoder[0].wide_attention.heads == model.decoder[0].attention.heads == 32


def test_sizes_of_the_table():
    for size, count in FAMILIES["meena"].sizes.items():
        with torch.device("meta"):
            model = Meena(Meena.sizes[size])
        config = model.config
        d = config.width
        blocks = config.layers * (43 * d * d // 2 + 64 * d) + config.decoder_layers * (57 * d * d + 125 * d) // 2
        assert model.count_parameters() == count == config.vocab_size * d + blocks + 4 * d
    for size in ("mini", "small"):
        assert abs(FAMILIES["meena"].sizes[size] / FAMILIES["bart"].sizes[size] - 1) < 0.07


@pytest.mark.parametrize(("heads", "first"), [(1, 2), (4, 8), (8, 16), (12, 16), (16, 16), (32, 32)])
def test_the_first_attention_has_twice_the_heads_but_at_most_16_unless_the_others_have_more(heads, first):
    assert MeenaConfig(50, 8, 96, 1, 1, heads).wide_heads == first


@pytest.mark.parametrize("lengths", [(16, 23), (1, 3), (12, 1)])
def test_flops_are_those_that_torch_counts(lengths):
    model = make()
    source, target = (tokens(4, length) for length in lengths)
    work = Workload({"source": [lengths[0]] * 4, "target": [lengths[1]] * 4}, {"lm": 4})
    with torch.no_grad():
        flops = counted(lambda: model.project(model.encode(source, None, target).hidden[:, :1]))
    assert model.flops(work) == pytest.approx(flops, rel=1e-9)


# ---- what it sees


def test_padding_and_neighbours_change_nothing():
    assert_padding_and_neighbours_change_nothing(make(), PAIRS)


@torch.no_grad()
def test_many_texts_with_holes_are_each_read_alone():
    """Enough for spare rows and several groups; a convolution's neighbour is the next token, wherever it stands."""
    model = make()
    generator = torch.Generator().manual_seed(3)
    ids, target = tokens(40, 30), tokens(40, 30, seed=1)
    mask, target_mask = ((torch.rand(40, 30, generator=generator) < torch.rand(40, 1, generator=generator)) for _ in range(2))
    assert ragged_layout(mask.shape, mask.device, attention_mask=mask).spare
    mask[0] = False  # a source without a token
    for slow in (False, True):
        found = model(ids, mask, target, target_mask, output_attentions=slow)
        for row in range(1, 40, 3):
            if mask[row].any() and target_mask[row].any():
                alone = model(ids[row][mask[row]][None], None, target[row][target_mask[row]][None])
                assert close(found.logits[row][target_mask[row]], alone.logits[0])
    nothing = torch.zeros(2, 5, dtype=torch.long)
    assert not model.encode(ids[:2, :5], nothing, target[:2, :5], nothing).hidden.any()


def test_no_gradient_reaches_a_later_token_of_the_target_and_every_token_of_the_source_has_one():
    model = make()
    seen = {}
    for name, stack in (("source", model.encoder), ("target", model.decoder)):
        stack[0].register_forward_pre_hook(lambda _, inputs, name=name: seen.update({name: inputs[0]}))
    source, target = tokens(1, 20), tokens(1, 25, seed=1)
    for place in (0, 3, 17, 24):
        hidden = model.encode(source, None, target).hidden[0, place]
        slopes = torch.autograd.grad(hidden.square().sum(), [seen["source"], seen["target"]])
        assert not slopes[1][place + 1 :].any()
        assert (slopes[1][: place + 1] != 0).any(-1).all() and (slopes[0] != 0).any(-1).all()


@pytest.mark.parametrize(("stack", "before", "after"), [("encoder", 5, 5), ("decoder", 16, 0)])
def test_how_far_convolutions_see(stack, before, after):
    """In the encoder 1 and then 4 places to both sides, in the decoder 10 and then 6 before."""
    part = getattr(make(), stack)[0].convolutions
    x = torch.randn(40, 24, requires_grad=True)
    y = part(x, ragged_layout((1, 40), x.device))
    (slope,) = torch.autograd.grad(y[20].square().sum(), x)
    seen = (slope != 0).any(-1).nonzero().flatten()
    assert (20 - int(seen.min()), int(seen.max()) - 20) == (before, after)


def test_the_slow_path_with_weights_is_the_fast_one():
    slow, (_, mask), (_, target_mask) = watched(make(), PAIRS)
    assert [len(part) for part in (slow.encoder_hidden_states, slow.decoder_hidden_states)] == [3, 4]
    assert [weights.shape[1] for weights in slow.encoder_attentions] == [3, 3]
    assert [weights.shape[1] for weights in slow.decoder_attentions] == [6, 3] * 3
    assert [weights.shape[1] for weights in slow.cross_attentions] == [3, 3] * 3
    for weights in slow.cross_attentions:
        assert_attends_to_real_tokens(weights, mask, target_mask)


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


# ---- step by step


def test_step_by_step_is_at_once():
    """Farther than all convolutions of a block see together."""
    assert_step_by_step_is_at_once(make(), PAIRS, places=23)
    assert len(make().read_source(tokens(1, 4), slots=1).keys) == 6, "two attentions to the source in each block"


@torch.no_grad()
def test_beams_take_their_windows_with_them():
    """Rows that change places often, and never in number: each goes on from what it has read."""
    model, source = make(), tokens(1, 8).expand(4, -1)
    written = tokens(4, 1, seed=6)
    cache = model.read_source(source, slots=20)
    generator = torch.Generator().manual_seed(7)
    for _ in range(19):
        expected = model.encode(source, None, written).hidden[:, -1]
        assert close(model.step(written[:, -1], cache), expected)
        rows = torch.randint(4, (4,), generator=generator)
        cache = cache.reorder(rows)
        written = torch.cat([written[rows], torch.randint(3, 53, (4, 1), generator=generator)], 1)


@torch.no_grad()
def test_a_cache_that_has_grown_goes_on_by_itself():
    model, target = make(), tokens(2, 6, seed=5)
    cache = model.read_source(tokens(2, 4), slots=3)
    for place in range(3):
        model.step(target[:, place], cache)
    grown = replace(cache, target=cache.target.grow(6))
    whole = model.encode(tokens(2, 4), None, target).hidden
    windows = list(cache.target.windows)
    for place in range(3, 6):
        assert close(model.step(target[:, place], grown), whole[:, place])
    assert all(kept is window for kept, window in zip(cache.target.windows, windows, strict=True))


@torch.no_grad()
def test_what_is_watched_are_the_last_weights():
    model = make()
    ids, target = tokens(2, 7), tokens(2, 3, seed=3)
    expected = model.encode(ids, None, target, return_attentions=True).cross_attentions[-1].mean(1)
    cache = model.read_source(ids, slots=3)
    cache.attentions = []
    for place in range(3):
        model.step(target[:, place], cache)
    assert close(torch.stack(cache.attentions, 1), expected)


WAYS = [GenerationOptions(), GenerationOptions(beams=3), GenerationOptions(beams=3, coverage_penalty=0.5)]


@pytest.mark.parametrize("options", WAYS)
def test_an_answer_depends_on_its_source_alone_and_has_the_models_own_probability(options):
    model = make()
    model.requires_grad_(False)
    sources = [[*text[0].tolist(), 2] for text, _ in PAIRS]
    together = translate(model, sources, options, max_length=lambda length: 20)
    for source, answers in zip(sources, together, strict=True):
        (alone,) = translate(model, [source], options, max_length=lambda length: 20)
        assert [answer.ids for answer in alone] == [answer.ids for answer in answers]
        written = torch.tensor([[model.start_id, *answers[0].ids[:-1]]])
        logs = model(torch.tensor([source]), None, written).logits[0].log_softmax(-1)
        expected = float(logs[torch.arange(len(answers[0].ids)), answers[0].ids].sum())
        assert answers[0].log_probability == pytest.approx(expected, abs=1e-3)
    assert max(len(answers[0].ids) for answers in together) > 12


@pytest.mark.parametrize("way", ["packed", "bfloat16", "autocast", "int8"])
@torch.no_grad()
def test_what_makes_decoding_fast_writes_nearly_the_same(way, monkeypatch):
    monkeypatch.setattr(decoding, "LARGE", 1)
    model, ids, target = make(), tokens(3, 9), tokens(3, 14, seed=5)
    whole = model.encode(ids, None, target).hidden
    half = torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast")
    if way == "int8":
        if not has_int8():
            pytest.skip("this processor has no int8 instructions")
        assert quantize(model) == sum(type(layer) is torch.nn.Linear for layer in make().modules())
    with half:
        fast = decoding.decoding_copy(model.bfloat16() if way == "bfloat16" else model)
        cache = fast.read_source(ids, slots=14)
        steps = torch.stack([fast.step(target[:, place], cache) for place in range(14)], 1).float()
        again = fast.encode(ids, None, target).hidden.float()
    if way == "packed":
        assert not any(type(layer) is torch.nn.Linear for layer in fast.modules())
    for found in (steps, again):
        cosine = torch.nn.functional.cosine_similarity(found, whole, dim=-1).min()
        assert float(cosine) > (1 - 1e-5 if way == "packed" else 0.98)


# ---- learning


@torch.no_grad()
def test_initial_weights_have_the_deviations_of_glorot():
    torch.manual_seed(0)
    d = 96
    model = Meena(replace(ODD, vocab_size=997, width=d, layers=1, decoder_layers=1))
    for name, fans in {
        "encoder.0.convolutions.near.kernel": (3 * d, 3 * d // 2),
        "encoder.0.convolutions.far.depthwise.kernel": (9, 9 * 4 * d),
        "encoder.0.convolutions.far.pointwise": (4 * d, d // 2),
        "decoder.0.convolutions.left.depthwise.kernel": (11, 11 * d),
        "decoder.0.wide_attention.out": (d, d),
        "decoder.0.mlp.down": (4 * d, d),
    }.items():
        assert float(model.get_submodule(name).weight.std()) == pytest.approx(math.sqrt(2 / sum(fans)), rel=0.05), name
    for part in (*model.decoder[0].wide_attention.qkv.weight.chunk(3), *model.encoder[0].gate.value_gate.weight.chunk(2)):
        assert float(part.std()) == pytest.approx(math.sqrt(1 / d), rel=0.05)
    assert float(model.token_embedding.weight.std()) == pytest.approx(d**-0.5, rel=0.05)
    assert not any(p.any() for name, p in model.named_parameters() if name.endswith("bias"))
    logits = model(tokens(2, 20), None, tokens(2, 20)).logits
    assert float(logits.std()) == pytest.approx(1.0, rel=0.2)


def test_it_learns_to_say_things_backwards():
    torch.manual_seed(1)
    model = Meena(MeenaConfig(12, 16, 32, 1, 1, 2, residual_dropout=0.0, attention_dropout=0.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(2)
    losses = []
    for _ in range(120):
        source = torch.randint(2, 12, (32, 5), generator=generator)
        answer = source.flip(1)
        logits = model(source, None, torch.cat([source.new_ones(32, 1), answer[:, :-1]], 1)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), answer.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 2.2 and losses[-1] < 0.3


@pytest.mark.parametrize(("training", "rate"), [(True, 0.4), (False, 0.0)])
def test_where_dropout_is(monkeypatch, training, rate):
    """Inside of sublayers after each branch of the convolutions and after the activation; on the input of a stack and on the
    output of every sublayer."""
    inside, outside = [], []
    monkeypatch.setattr(meena, "dropout", lambda x, p: inside.append((x.shape[-1], p)) or x)
    monkeypatch.setattr(transformer, "dropout", lambda x, p: outside.append((x.shape[-1], p)) or x)
    make(residual_dropout=0.4).train(training).encode(tokens(2, 7), None, tokens(2, 5))
    encoder, decoder = [4 * 24, 12, 4 * 24], [2 * 24, 12, 4 * 24]
    assert inside == [(width, rate) for width in 2 * encoder + 3 * decoder]
    assert outside == [(24, rate)] * (1 + 2 * 4 + 1 + 3 * 6)


def test_layer_groups_go_from_input_to_output():
    model = make()
    groups = model.layer_groups()
    assert len(groups) == 1 + 2 + 3 + 1 and groups[0] == [model.token_embedding.weight]
    assert groups[1] == list(model.encoder[0].parameters()) and groups[5] == list(model.decoder[2].parameters())
    assert sum(p.numel() for group in groups for p in group) == model.count_parameters()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 25}, "multiple of heads"),
        ({"width": 15}, "multiple of the 6 heads of the decoder's first self-attention"),
        ({"width": 20, "heads": 5}, None),
        ({"width": 17, "heads": 17}, "width must be even"),
        ({"decoder_layers": 0}, "decoder_layers must be at least 1"),
        ({"start_id": 53}, "start_id must be below vocab_size 53"),
        ({"attention_dropout": 1.0}, "attention_dropout must be from 0"),
        ({"norm_eps": 0.0}, "norm_eps must be positive"),
    ],
)
def test_bad_configs_are_refused(options, words):
    if words is None:
        assert replace(ODD, **options).wide_heads == 10
        return
    with pytest.raises(ValueError, match=words):
        replace(ODD, **options)


def test_long_texts_are_refused():
    model = make()
    with pytest.raises(ValueError, match="at most 32 tokens"):
        model(tokens(1, 33))


@torch.no_grad()
def test_the_decoder_begins_with_the_start():
    for ids, start in (({}, 1), ({"start_id": 4}, 4), ({"bos_id": None}, 0)):
        model = make(**ids)
        assert model.start_id == start and model.forced_ids == (None, None)
        assert torch.equal(model(tokens(2, 5)).logits, model(tokens(2, 5), None, torch.full((2, 1), start)).logits)


def test_exported():
    assert gyebo.Meena is Meena and {field.name for field in fields(MeenaConfig)} >= {"width", "heads"}
