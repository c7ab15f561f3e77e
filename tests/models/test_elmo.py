"""What ELMo promises: its equations, one number at a time; no direction sees what it predicts; a text's answer is its own."""

from __future__ import annotations

import math

import pytest
import torch

from gyebo.models.elmo import CharacterEncoder, Elmo, ElmoConfig, Highway
from gyebo.models.family import FAMILIES

ODD = {
    "vocab_size": 53,
    "context": 32,
    "symbols": 23,
    "characters": 9,
    "character_width": 3,
    "filters": (2, 5, 1),
    "width": 14,
    "cells": 11,
    "layers": 3,
    "clip": 0.0,
    "dropout": 0.0,
    "init_std": 0.5,
}
FILLING = 22


def words(count, seed=0):
    """Symbols [count, 9]: words of different lengths, some as long as the table, filled up."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(1, FILLING, (count, 9), generator=generator)
    lengths = torch.randint(1, 8, (count, 1), generator=generator)
    lengths[::7] = 9
    return table.masked_fill(torch.arange(9)[None] >= lengths, FILLING)


def build(spelled=True, **options):
    """Every tensor is drawn at random, biases too."""
    torch.manual_seed(0)
    model = Elmo(ElmoConfig(**{**ODD, **options})).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
            elif "convolutions" in name or "embedding" in name:
                parameter.copy_(torch.randn_like(parameter))
    if spelled:
        model.spell(words(model.config.vocab_size))
    return model


@pytest.fixture
def model():
    return build()


def tokens(*shape, seed=0):
    return torch.randint(53, shape, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=1e-5):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance)


TEXTS = [tokens(1, n, seed=n) for n in (7, 1, 12, 4)]
SIZES = [text.shape[1] for text in TEXTS]


# -- the equations


def by_loops(encoder, symbols):
    """A word's vector from its equations, in Python's floats over the whole width of the table."""
    table = encoder.embedding.weight.tolist()
    x = [table[symbol] for symbol in symbols]
    features = []
    for convolution in encoder.convolutions:
        kernel, bias = convolution.weight.tolist(), convolution.bias.tolist()
        over = len(kernel[0][0])
        for filter, shift in zip(kernel, bias):
            found = [
                shift + sum(filter[k][j] * x[at + j][k] for k in range(len(filter)) for j in range(over))
                for at in range(len(x) - over + 1)
            ]
            features.append(max(0.0, max(found)))
    for highway in encoder.highways:
        matrix, bias = highway.both.weight.tolist(), highway.both.bias.tolist()
        size = len(features)
        products = [sum(w * f for w, f in zip(row, features)) + b for row, b in zip(matrix, bias)]
        changed = []
        for k, feature in enumerate(features):
            gate = 1 / (1 + math.exp(-products[size + k]))
            changed.append(gate * max(0.0, products[k]) + (1 - gate) * feature)
        features = changed
    matrix, bias = encoder.projection.weight.tolist(), encoder.projection.bias.tolist()
    return [sum(w * f for w, f in zip(row, features)) + b for row, b in zip(matrix, bias)]


@pytest.mark.parametrize("highways", [0, 1, 2])
@torch.no_grad()
def test_the_character_encoder_is_its_equations(highways):
    encoder = build(highways=highways).double().encoder
    for lengths in (slice(None), slice(1, 7)):  # with words as long as the table, and without: then columns are left out
        symbols = words(14)[lengths]
        found = encoder(symbols)
        for row, word in zip(found.tolist(), symbols.tolist()):
            assert row == pytest.approx(by_loops(encoder, word), abs=1e-12)
    assert float(found.std()) > 0.1


@torch.no_grad()
def test_columns_that_change_nothing_are_left_out():
    encoder, short = build().encoder, torch.full((4, 9), FILLING)
    short[:, :2] = torch.tensor([[3, 4], [5, 6], [7, 7], [8, 1]])
    seen = []
    encoder.embedding.register_forward_hook(lambda module, given, out: seen.append(given[0].shape))
    encoder(short)
    encoder(words(8))
    assert seen == [(4, 5), (8, 9)]  # two symbols and the widest filter's three


def test_slopes_of_the_character_encoder():
    encoder, symbols = build().double().encoder, words(6)
    parameters = [p for p in encoder.parameters() if p is not encoder.embedding.weight]
    assert torch.autograd.gradcheck(
        lambda *given: torch.func.functional_call(encoder, dict(zip(dict(encoder.named_parameters()), given)), (symbols,)),
        [p.detach().requires_grad_() for p in encoder.parameters()],
    )
    assert all(float(slope.abs().max()) > 0 for slope in torch.autograd.grad(encoder(symbols).sum(), parameters))


@torch.no_grad()
def test_a_highway_lets_through_what_its_gate_keeps_closed():
    layer = Highway(4)
    x = torch.randn(5, 4)
    layer.both.bias[4:] = -1e4
    assert torch.equal(layer(x), x)
    layer.both.bias[4:] = 1e4
    assert close(layer(x), (x @ layer.both.weight[:4].T + layer.both.bias[:4]).relu())


def torchs(cell):
    """torch's layer with the weights of ours."""
    theirs = torch.nn.LSTM(7, 11, proj_size=7).double()
    for mine, its in (("inputs", "weight_ih"), ("recurrent", "weight_hh"), ("bias", "bias_ih"), ("projection", "weight_hr")):
        getattr(theirs, f"{its}_l0").copy_(getattr(cell, mine))
    theirs.bias_hh_l0.zero_()
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("clip", [0.0, 0.2])
def test_layers_are_two_stacks_with_the_second_ones_input_added(clip):
    """Against torch's own projected LSTM on the text, and on the text turned round."""
    model = build(clip=clip).double()
    row = tokens(1, 9)
    token = model.encoder(model.spelling[row[0]])
    layers = model.encode(row, return_layers=True).layers
    assert len(layers) == 4 and close(layers[0][0], torch.cat([token, token], 1), 1e-12)
    for half, direction in enumerate(("forwards", "backwards")):
        x = token.flip(0) if half else token
        for number, block in enumerate(model.blocks):
            y = torchs(getattr(block, direction))(x[:, None])[0][:, 0]
            x = y + x if number else y
            found = layers[number + 1][0].chunk(2, 1)[half]
            assert close(found.flip(0) if half else found, x, 1e-12) == (clip == 0)  # torch's has no bounds


@torch.no_grad()
def test_both_heads_are_one_matrix_on_the_two_halves(model):
    hidden = torch.randn(2, 5, 14)
    ahead, back = model.project(hidden), model.project(hidden, "backward")
    assert close(ahead, hidden[..., :7] @ model.lm_head.weight.T + model.lm_head.bias)
    assert close(back, hidden[..., 7:] @ model.lm_head.weight.T + model.lm_head.bias)
    row = tokens(2, 6)
    found = model(row)
    assert torch.equal(found.logits, model.project(found.last_hidden_state))
    assert torch.equal(found.backward_logits, model.project(found.last_hidden_state, "backward"))
    assert not close(found.logits, found.backward_logits, 0.1)


# -- who sees what


@torch.no_grad()
def test_neither_direction_sees_what_it_predicts(model):
    """Token t moves the forward logits from t on and the backward ones up to t: never those that predict it."""
    model, row = model.double(), tokens(1, 20)
    before, token = model(row), model.encode(row, depth=0).hidden
    for t in (0, 1, 11, 18, 19):
        changed = row.clone()
        changed[0, t] = (changed[0, t] + 1) % 53
        after = model(changed)
        moved = {
            "forward": after.logits - before.logits,
            "backward": after.backward_logits - before.backward_logits,
            "token": model.encode(changed, depth=0).hidden - token,
        }
        reached = {name: (change[0].abs().amax(-1) > 1e-9).tolist() for name, change in moved.items()}
        assert reached["forward"] == [place >= t for place in range(20)]
        assert reached["backward"] == [place <= t for place in range(20)]
        assert reached["token"] == [place == t for place in range(20)]


@torch.no_grad()
def test_padding_and_neighbours_change_nothing(model):
    alone = [model.encode(text, return_layers=True).layers for text in TEXTS]
    assert min(float(layer.std()) for layers in alone for layer in layers) > 0.05
    for side in ("left", "right"):
        ids, mask, spans = tokens(4, 15, seed=9), torch.zeros(4, 15, dtype=torch.long), []
        for row, text in enumerate(TEXTS):
            spans.append(slice(0, SIZES[row]) if side == "right" else slice(15 - SIZES[row], 15))
            ids[row, spans[row]], mask[row, spans[row]] = text[0], 1
        for given in ({"attention_mask": mask}, {"document_ids": mask * 5}, {"attention_mask": mask.bool()}):
            found = model.encode(ids, **given, return_layers=True)
            assert found.hidden[mask == 0].count_nonzero() == 0
            for layer, parts in enumerate(zip(*alone)):
                assert all(close(found.layers[layer][row, spans[row]], parts[row][0]) for row in range(4))


@torch.no_grad()
def test_packed_is_alone_and_does_not_leak(model):
    row = torch.cat(TEXTS, 1)
    documents = torch.tensor([4, 2, 9, 1]).repeat_interleave(torch.tensor(SIZES))[None]
    before = model.encode(row, document_ids=documents).hidden
    for found, text in zip(before[0].split(SIZES), TEXTS):
        assert close(found, model.encode(text).hidden[0])
    changed = torch.where(documents == 2, (row + 1) % 53, row)
    after = model.encode(changed, document_ids=documents).hidden
    assert torch.equal(after[documents != 2], before[documents != 2])
    assert not close(model.encode(row).hidden[0, SIZES[0] :], before[0, SIZES[0] :])  # without ids it would


def test_gradients_are_those_of_each_text_alone(model):
    slopes = [torch.randn(n, 14, generator=torch.Generator().manual_seed(n)) for n in SIZES]
    parameters = [p for name, p in model.named_parameters() if not name.startswith("lm_head")]
    alone = sum((model.encode(text).hidden[0] * slope).sum() for text, slope in zip(TEXTS, slopes))
    expected = torch.autograd.grad(alone, parameters)
    padded = torch.cat([torch.cat([tokens(1, 14 - n, seed=n), text], 1) for n, text in zip(SIZES, TEXTS)])
    mask = torch.cat([torch.arange(14)[None] >= 14 - n for n in SIZES]).long()
    packed = torch.cat(TEXTS, 1), torch.arange(1, 5).repeat_interleave(torch.tensor(SIZES))[None]
    for ids, given in ((padded, {"attention_mask": mask}), (packed[0], {"document_ids": packed[1]})):
        hidden = model.encode(ids, **given).hidden
        total = (hidden[next(iter(given.values())) != 0] * torch.cat(slopes)).sum()
        for found, wanted in zip(torch.autograd.grad(total, parameters), expected):
            assert close(found, wanted, 1e-4 * max(1.0, float(wanted.abs().max())))


@torch.no_grad()
def test_a_batch_of_nothing_but_padding(model):
    hidden = model.encode(tokens(2, 3), torch.zeros(2, 3, dtype=torch.long)).hidden
    assert hidden.shape == (2, 3, 14) and hidden.count_nonzero() == 0


# -- characters


@torch.no_grad()
def test_each_distinct_piece_is_read_once(model):
    ids, counts = tokens(4, 30) % 11, []
    model.encoder.register_forward_hook(lambda module, given, out: counts.append(len(given[0])))
    by_id = model.encode(ids).hidden
    by_symbols = model.encode(model.spelling[ids].long()).hidden  # the words' symbols instead of their numbers
    assert counts == [len(ids.unique()), len(model.spelling[ids.unique()].unique(dim=0))]
    assert close(by_id, by_symbols)
    unknown = model.encode(words(60, seed=4).view(2, 30, 9)).hidden  # words that no id has
    assert not close(unknown[:, :4], by_id[:2, :4], 0.1)


def test_a_model_that_was_not_told_the_spelling_says_so():
    model = build(spelled=False)
    with pytest.raises(ValueError, match="model.spell"):
        model.encode(tokens(1, 3))
    model.encode(words(3)[None])  # symbols need no table
    for table, said in ((words(52), r"must be \[53, 9\], but is \[52, 9\]"), (words(53) + 1, "from 0 to 22")):
        with pytest.raises(ValueError, match=said):
            model.spell(table)


def test_a_piece_is_its_spelling(model):
    """Two ids with one spelling have one vector; another symbol is another vector."""
    table = words(53)
    table[7] = table[3]
    table[8] = table[3]
    table[8, 1] = table[3, 1] % (FILLING - 1) + 1
    model.spell(table)
    vectors = model.encode(torch.tensor([[3, 7, 8]]), depth=0).hidden[0]
    assert torch.equal(vectors[0], vectors[1]) and not close(vectors[0], vectors[2], 1e-3)


# -- what it costs, what it is refused


def test_dropout_acts_in_training_alone(model):
    noisy, ids = build(dropout=0.5).train(), tokens(2, 12)
    assert not torch.equal(noisy.encode(ids).hidden, noisy.encode(ids).hidden)
    assert torch.equal(
        noisy.encode(ids, depth=0).hidden, noisy.encode(ids, depth=0).hidden
    )  # what goes into a layer, not before
    noisy.eval()
    assert torch.equal(noisy.encode(ids).hidden, model.encode(ids).hidden)


@torch.no_grad()
def test_fresh_weights():
    model = Elmo(ElmoConfig(**{**ODD, "width": 64, "cells": 32, "filters": (30, 50), "vocab_size": 400}))
    for block in model.blocks:
        for cell in (block.forwards, block.backwards):
            assert all(close(gate.T @ gate, torch.eye(32)) for gate in cell.recurrent.split(32))
            assert all(bool((part == (number == 1)).all()) for number, part in enumerate(cell.bias.split(32)))
    for highway in model.encoder.highways:
        assert (highway.both.bias == torch.tensor([0.0, -2.0]).repeat_interleave(80)).all()
        assert abs(float(highway.both.weight.std()) - 80**-0.5) < 0.01
    assert abs(float(model.lm_head.weight.std()) - 0.5) < 0.02
    for over, convolution in enumerate(model.encoder.convolutions, 1):
        assert float(convolution.weight.std()) == pytest.approx((2 / (3 * over)) ** 0.5, rel=0.2)


def test_what_is_refused(model):
    with pytest.raises(ValueError, match=r"at most 32 tokens.*33"):
        model(tokens(1, 33))
    with pytest.raises(ValueError, match="head must be one of forward, backward"):
        model.project(torch.zeros(1, 14), "lm")
    for wrong in (
        {"width": 15},
        {"dropout": 1.0},
        {"init_std": -1.0},
        {"pad_id": 53},
        {"filters": ()},
        {"filters": (3, 0)},
        {"characters": 2},
        {"clip": -1.0},
        {"highways": -1},
        {"cells": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ElmoConfig(**{**ODD, **wrong})


def test_groups_of_layers_hold_every_parameter_once(model):
    groups = model.layer_groups()
    assert len(groups) == 5 and {id(p) for p in groups[0]} == {id(p) for p in model.encoder.parameters()}
    assert sorted(id(p) for group in groups for p in group) == sorted(id(p) for p in model.parameters())


def test_the_published_model_has_the_published_count():
    """93.6 million without the softmax, by part; the softmax of the training vocabulary beside it."""
    with torch.device("meta"):
        model = Elmo(Elmo.sizes["published"])

    def count(module):
        return sum(p.numel() for p in module.parameters())

    encoder = model.encoder
    assert count(encoder.embedding) + count(encoder.convolutions) == 203_360
    assert count(encoder.highways) == 16_785_408 and count(encoder.projection) == 1_049_088
    assert count(model.blocks) == 75_563_008
    assert model.count_parameters(embeddings=False) == 93_600_864
    assert model.count_parameters() - 93_600_864 == 407_050_623


def test_sizes_have_their_counts():
    assert list(Elmo.sizes) == list(FAMILIES["elmo"].sizes)
    for name, c in Elmo.sizes.items():
        with torch.device("meta"):
            model = Elmo(c)
        features, half = sum(c.filters), c.width // 2
        characters = c.symbols * c.character_width + sum(
            n * (c.character_width * over + 1) for over, n in enumerate(c.filters, 1)
        )
        highways, projection = c.highways * 2 * features * (features + 1), half * (features + 1)
        lstm = 4 * c.cells * (2 * half + 1) + half * c.cells
        total = characters + highways + projection + 2 * c.layers * lstm + c.vocab_size * (half + 1)
        assert model.count_parameters() == FAMILIES["elmo"].sizes[name] == total
    assert FAMILIES["elmo"].sizes["tiny"] < 1_000_000


def test_the_encoder_alone_is_what_the_model_reads_with(model):
    assert isinstance(model.encoder, CharacterEncoder)
    assert close(model.encode(torch.tensor([[5]]), depth=0).hidden[0, 0, :7], model.encoder(model.spelling[5:6])[0])
