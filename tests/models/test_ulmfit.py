"""The AWD-LSTM: three LSTMs of torch without dropout, five dropouts with it, and what the recurrent families promise."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gyebo.models.family import FAMILIES
from gyebo.models.ulmfit import DROPOUTS, Ulmfit, UlmfitConfig

STILL = dict.fromkeys(DROPOUTS, 0.0)
ODD = {"vocab_size": 53, "context": 32, "window": 8, "width": 13, "inner": 21, "layers": 3, "init_std": 0.5, **STILL}
SIZES = (7, 1, 12, 4)


def build(**options):
    torch.manual_seed(0)
    model = Ulmfit(UlmfitConfig(**{**ODD, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(*shape, seed=0):
    return torch.randint(53, shape, generator=torch.Generator().manual_seed(seed))


def close(a, b, tolerance=1e-5):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance)


def plain(model, ids, recurrent=None):
    """Logits [B, T, V] and the last layer's output by `nn.LSTM` alone; `recurrent`: other matrices, one a layer."""
    x = model.token_embedding.weight[ids]
    for number, block in enumerate(model.blocks):
        layer = nn.LSTM(block.input_size, block.hidden_size, batch_first=True).to(x.dtype)
        weights = dict(block.named_parameters())
        if recurrent is not None:
            weights["weight_hh_l0"] = recurrent[number]
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                parameter.copy_(weights[name])
        x, _ = layer(x)
    return x @ model.token_embedding.weight.T + model.lm_head.bias, x


# -- the network ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
@torch.no_grad()
def test_without_dropout_it_is_lstms_in_a_row(layers):
    model, ids = build(layers=layers), tokens(3, 12)
    widths = [block.hidden_size for block in model.blocks]
    assert widths == [21] * (layers - 1) + [13]
    logits, hidden = plain(model, ids)
    found = model(ids, output_hidden_states=True)
    assert close(found.logits, logits) and close(found.last_hidden_state, hidden)
    assert [layer.shape[-1] for layer in found.hidden_states] == [13, *widths]
    assert model.lm_head.weight is model.token_embedding.weight


@torch.no_grad()
def test_padding_neighbours_and_packing_change_nothing():
    model = build()
    texts = [tokens(1, n, seed=n) for n in SIZES]
    alone = [model(text).logits[0] for text in texts]
    assert min(float(logits.std()) for logits in alone) > 0.1
    for side in ("left", "right"):
        ids, mask, spans = tokens(4, 15, seed=9), torch.zeros(4, 15, dtype=torch.long), []
        for row, text in enumerate(texts):
            spans.append(slice(0, SIZES[row]) if side == "right" else slice(15 - SIZES[row], 15))
            ids[row, spans[row]], mask[row, spans[row]] = text[0], 1
        found = model(ids, attention_mask=mask).logits
        assert all(close(found[row, spans[row]], alone[row]) for row in range(4))
    documents = torch.tensor([4, 2, 9, 1]).repeat_interleave(torch.tensor(SIZES))[None]
    packed = model(torch.cat(texts, 1), document_ids=documents).logits[0]
    assert all(close(found, logits) for found, logits in zip(packed.split(SIZES), alone))


@torch.no_grad()
def test_a_state_of_layers_of_different_widths_joins_windows():
    model, ids = build(), tokens(3, 24)
    documents = torch.tensor([[1] * 24, [1] * 5 + [2] * 12 + [3] * 7, [1] * 8 + [0] * 16])
    whole = model.encode(ids, document_ids=documents)
    left = whole.state["state"]
    assert left.shape == model.fresh_state(3)["state"].shape == (3, 6, 21)
    assert left[:, 4:, 13:].count_nonzero() == 0 and left[:, 4:, :13].count_nonzero() == 3 * 2 * 13
    state, hidden = model.fresh_state(3), []
    for first in range(0, 24, 8):
        window = slice(first, first + 8)
        goes_on = torch.tensor([first > 0 and bool(row[first] == row[first - 1]) for row in documents])
        encoded = model.encode(ids[:, window], document_ids=documents[:, window], state=model.reset(state, ~goes_on))
        read = (documents[:, window] != 0).any(1)[:, None, None]
        state = {"state": torch.where(read, encoded.state["state"], state["state"])}
        hidden.append(encoded.hidden)
    assert close(torch.cat(hidden, 1), whole.hidden) and close(state["state"], left)


@torch.no_grad()
def test_step_by_step_is_at_once():
    model = build()
    ids, mask = tokens(3, 12), torch.ones(3, 12, dtype=torch.long)
    mask[0, :5] = mask[2, 3:] = 0
    hidden, memory = model.prefill(ids, mask, slots=20)
    rows = torch.tensor([2, 0, 0, 1])
    memory = memory.reorder(rows)
    more = tokens(4, 3, seed=8)
    steps = [hidden[rows], *(model.step(more[:, at], memory) for at in range(3))]
    for beam, row in enumerate(rows.tolist()):
        text = torch.cat([ids[row][mask[row] == 1], more[beam]])[None]
        assert close(torch.stack([step[beam] for step in steps]), model.encode(text).hidden[0, -4:])


def test_sizes_have_their_counts():
    """V D + V, and 4 (I H + H H + 2 H) for each layer from I to H: by hand, and as published."""
    published = {"ptb": 24_221_600, "wikitext-2": 33_556_078, "paper": 32_242_402, "fastai": 44_333_280}
    assert list(Ulmfit.sizes) == list(FAMILIES["ulmfit"].sizes)
    for name, c in Ulmfit.sizes.items():
        with torch.device("meta"):
            model = Ulmfit(c)
        widths = [c.width, *[c.inner] * (c.layers - 1), c.width]
        layers = sum(4 * (i * h + h * h + 2 * h) for i, h in zip(widths, widths[1:]))
        expected = c.vocab_size * c.width + c.vocab_size + layers
        assert model.count_parameters() == FAMILIES["ulmfit"].sizes[name] == published.get(name, expected) == expected
        assert model.count_parameters(embeddings=False) == layers
    assert FAMILIES["ulmfit"].sizes["tiny"] < 1_000_000


@pytest.mark.parametrize("tied", [True, False])
def test_groups_go_from_the_embedding_up(tied):
    """Five groups with a head on it: the tied output layer belongs to the embedding."""
    model = build(tied=tied)
    names = {id(p): name for name, p in model.named_parameters()}
    groups = [{names[id(p)].partition("_l0")[0] for p in group} for group in model.layer_groups()]
    tables, output = {"token_embedding.weight"}, {"lm_head.bias"} if tied else {"lm_head.weight", "lm_head.bias"}
    blocks = [{f"blocks.{n}.{kind}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")} for n in range(3)]
    assert groups == ([*blocks, tables | output] if tied else [tables, *blocks, output])


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"at most 32 tokens.*33"):
        build()(tokens(1, 33))
    for wrong in (
        {"width": 0},
        {"inner": 0},
        {"window": 33},
        {"init_std": 0},
        {"pad_id": 53},
        *({name: 1.0} for name in DROPOUTS),
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            UlmfitConfig(**{**ODD, **wrong})


# -- dropout -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DROPOUTS)
@torch.no_grad()
def test_each_dropout_acts_in_training_alone(name):
    model, ids = build(**{name: 0.5}), tokens(2, 12)
    still = build().encode(ids).hidden
    assert torch.equal(model.encode(ids).hidden, still)
    model.train()
    torch.manual_seed(1)
    first, second = (model.encode(ids).hidden for _ in range(2))
    assert not close(first, second, 1e-2) and not close(first, still, 1e-2)
    torch.manual_seed(1)
    assert torch.equal(model.encode(ids).hidden, first)  # a function of the generator alone


@pytest.mark.parametrize("padded", [False, True])
def test_dropped_weights_are_one_mask_a_pass(padded):
    """The recurrent matrices that explain every step of every row: those of one draw, and none of another."""
    model = build(weight_dropout=0.5).double().train()
    ids = tokens(3, 11)
    mask = torch.ones(3, 11, dtype=torch.long)
    if padded:
        mask[1, :6] = 0
    seen = []

    def remember(x, p):
        if p == 0.5 and x.ndim == 2 and x.shape[0] == 4 * x.shape[1]:
            seen.append((torch.rand(x.shape, generator=generator) >= 0.5) * x / 0.5)
            return seen[-1]
        return x

    with pytest.MonkeyPatch.context() as patch:
        generator = torch.Generator().manual_seed(5)
        patch.setattr("gyebo.models.ulmfit.dropout", remember)
        hidden = model.encode(ids, attention_mask=mask).hidden
        assert len(seen) == 3
        for row in range(3):
            real = mask[row] == 1
            expected = plain(model, ids[row][real][None], seen)[1][0]
            assert torch.allclose(hidden[row][real], expected, atol=1e-12)
            assert not torch.allclose(plain(model, ids[row][real][None])[1][0][1:], expected[1:], atol=1e-3)
        (hidden.square().sum()).backward()
    for block, dropped in zip(model.blocks, seen):  # the raw matrix learns, what was dropped does not
        grad = block.weight_hh_l0.grad
        assert grad is not None and grad[dropped == 0].count_nonzero() == 0 and grad[dropped != 0].abs().sum() > 0


def test_dropped_weights_leave_the_first_step_alone_and_change_all_others():
    """h_1 has no state before it; from there on two passes must differ, or the dropped matrix was ignored."""
    model, ids = build(weight_dropout=0.5, layers=1).train(), tokens(4, 9)
    first, second = (model.encode(ids).hidden for _ in range(2))
    assert torch.equal(first[:, 0], second[:, 0])
    assert ((first - second)[:, 1:].abs().amax((0, 2)) > 1e-3).all()
    raw = model.blocks[0].weight_hh_l0.detach().clone()
    model.encode(ids)
    assert torch.equal(model.blocks[0].weight_hh_l0, raw)


@pytest.mark.parametrize(
    ("name", "layer"), [("input_dropout", 0), ("hidden_dropout", 1), ("hidden_dropout", 2), ("output_dropout", 3)]
)
@torch.no_grad()
def test_masks_are_one_a_sequence_for_all_steps(name, layer):
    model, ids = build(**{name: 0.5}, vocab_size=400).train(), torch.randint(400, (40, 20))
    documents = (torch.arange(20) >= 8).long().expand(40, -1) + 1
    documents = documents * (torch.arange(20) < 18)
    x = model.encode(ids, document_ids=documents, return_layers=True).layers[layer]
    assert x[:, 18:].count_nonzero() == 0
    for part in (x[:, :8], x[:, 8:18]):
        gone = part == 0
        assert torch.equal(gone, gone[:, :1].expand_as(gone))
        assert 0.4 < float(gone[:, 0].float().mean()) < 0.6
    assert not torch.equal(x[:, 0] == 0, x[:, 8] == 0)  # another text, another mask
    assert not torch.equal(x[0, 0] == 0, x[1, 0] == 0)


@torch.no_grad()
def test_dropout_keeps_the_mean():
    model, ids = (
        build(input_dropout=0.3, embedding_dropout=0.2, vocab_size=5000, width=40).train(),
        torch.arange(5000).view(200, 25),
    )
    expected = model.token_embedding.weight.square().mean()
    x = model.encode(ids, return_layers=True).layers[0]
    share = (x != 0).float().mean()
    assert float(share) == pytest.approx(0.7 * 0.8, abs=0.02)
    # Each survivor is divided by its probability: E x^2 / p.
    assert float(x.square().mean()) == pytest.approx(float(expected) / (0.7 * 0.8), rel=0.03)


def test_whole_words_leave_the_embedding():
    model = build(embedding_dropout=0.4, vocab_size=300).train()
    ids = torch.arange(300).repeat(2).view(30, 20)
    x = model.encode(ids, return_layers=True).layers[0].flatten(0, 1)
    gone = (x == 0).all(1)
    assert torch.equal(gone[:300], gone[300:])  # wherever a word stands
    assert 0.3 < float(gone.float().mean()) < 0.5
    kept = ~gone[:300]
    assert close(x[:300][kept], model.token_embedding.weight[kept] / 0.6, 1e-3)
    x.sum().backward()
    grad = model.token_embedding.weight.grad
    assert grad[gone[:300]].count_nonzero() == 0 and close(grad[kept], torch.full_like(grad[kept], 2 / 0.6), 1e-3)
    shares = torch.eye(300)[ids]
    torch.manual_seed(3)
    one = model.embed(ids)
    torch.manual_seed(3)
    assert close(model.embed(shares), one)


@torch.no_grad()
def test_the_raw_output_is_what_the_output_dropout_acts_on():
    model, ids = build(output_dropout=0.5).train(), tokens(3, 9)
    encoded = model.encode(ids, return_raw=True)
    kept = encoded.hidden != 0
    assert 0.2 < float(kept.float().mean()) < 0.8
    assert close(encoded.hidden[kept], encoded.raw[kept] / 0.5)
    assert close(encoded.raw, plain(model, ids)[1]) and model.encode(ids).raw is None
