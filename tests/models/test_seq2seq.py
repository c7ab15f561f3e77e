"""Recurrent encoders and decoders: the papers' equations in plain loops, and one answer however a batch is laid out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import gyebo
from gyebo.models.family import FAMILIES
from gyebo.models.seq2seq import ATTENTIONS, Seq2seq, Seq2seqConfig

ODD = {"vocab_size": 53, "context": 32, "width": 11, "pad_id": 0, "bos_id": 1, "eos_id": 2, "init_std": 0.5}
ONE_WAY = {"bidirectional": False}

VARIANTS = {
    "none": {"attention": "none", **ONE_WAY},
    "none-reversed-lstm": {"attention": "none", **ONE_WAY, "reversed_source": True, "cell": "lstm", "layers": 2},
    "none-both-ways-lstm": {"attention": "none", "cell": "lstm", "layers": 2},
    "additive": {"embedding": 7, "maxout": 5, "tied": False},
    "additive-lstm": {"cell": "lstm", "layers": 2},
    "additive-reversed": {**ONE_WAY, "reversed_source": True, "layers": 2},
    "dot": {"attention": "dot", **ONE_WAY},
    "dot-fed-reversed": {"attention": "dot", **ONE_WAY, "input_feeding": True, "reversed_source": True, "layers": 2},
    "general": {"attention": "general", "layers": 2},
    "general-fed-lstm": {
        "attention": "general",
        "input_feeding": True,
        "cell": "lstm",
        "layers": 2,
        "embedding": 7,
        "tied": False,
    },
    "concat": {"attention": "concat", "cell": "lstm"},
    "concat-fed": {"attention": "concat", "input_feeding": True},
}
EACH = pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
ATTENTIVE = {name: options for name, options in VARIANTS.items() if options.get("attention") != "none"}
EACH_ATTENTIVE = pytest.mark.parametrize("options", ATTENTIVE.values(), ids=list(ATTENTIVE))


def make(seed: int = 0, **options) -> Seq2seq:
    torch.manual_seed(seed)
    model = Seq2seq(Seq2seqConfig(**{**ODD, **options})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
        for name, parameter in model.named_parameters():
            if name.startswith("attention."):
                parameter.mul_(2.0)
    return model


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(3, 53, shape, generator=torch.Generator().manual_seed(seed))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))


PAIRS = [(tokens(1, n, seed=n), tokens(1, m, seed=30 + m)) for n, m in ((7, 5), (1, 12), (12, 1), (4, 4))]


def padded(texts: list[Tensor], side: str, length: int = 15) -> tuple[Tensor, Tensor]:
    ids, mask = tokens(len(texts), length, seed=9), torch.zeros(len(texts), length, dtype=torch.long)
    for row, text in enumerate(texts):
        place = slice(0, text.shape[1]) if side == "right" else slice(length - text.shape[1], length)
        ids[row, place], mask[row, place] = text[0], 1
    return ids, mask


# ---- the equations, one number after the other


def cell(layer: nn.RNNBase, suffix: str = "") -> nn.Module:
    """A cell of torch with the weights of a layer; it takes and gives a tuple of states."""
    kind = {nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}[type(layer)]
    made = kind(layer.input_size, layer.hidden_size).double()
    made.load_state_dict(
        {name: getattr(layer, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    )

    def step(x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        after = made(x[None], state if len(state) > 1 else state[0])
        return after if isinstance(after, tuple) else (after,)

    return step


def run(step, xs: list[Tensor], width: int, states: int) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    state, found = (torch.zeros(1, width, dtype=torch.float64),) * states, []
    for x in xs:
        state = step(x, state)
        found.append(state[0][0])
    return found, state


def read_by_hand(model: Seq2seq, source: list[int], kept: float = 1.0) -> tuple[list[Tensor], list[tuple[Tensor, ...]]]:
    """States of the source's tokens, and what each layer of the decoder starts from. `kept`: by what dropout multiplies."""
    config, xs, start = model.config, [kept * model.token_embedding.weight[id] for id in source], []
    for layer in model.encoder:
        if config.reversed_source:
            backward, after = run(cell(layer), xs[::-1], config.width, 1 + (config.cell == "lstm"))
            xs = [kept * x for x in backward[::-1]]
        else:
            forward, after = run(cell(layer), xs, config.width, 1 + (config.cell == "lstm"))
            if config.bidirectional:
                backward, other = run(cell(layer, "_reverse"), xs[::-1], config.width, 1 + (config.cell == "lstm"))
                forward = [torch.cat(both) for both in zip(forward, backward[::-1])]
                after = tuple(torch.cat(both, 1) for both in zip(after, other)) if config.attention == "none" else other
            xs = [kept * x for x in forward]
        if config.bidirectional:
            bridges = model.bridge[len(start) * len(after) :]
            after = tuple(torch.tanh(part @ bridge.weight.T + bridge.bias) for part, bridge in zip(after, bridges))
        start.append(after)
    return xs, start


def attend_by_hand(model: Seq2seq, s: Tensor, states: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores by the definition, a number for each pair; weights and context from them."""
    kind, attention, scores = model.config.attention, model.attention, []
    for h in states:
        if kind in ("additive", "concat"):
            inner = [math.tanh(float(w @ s) + float(u @ h)) for w, u in zip(attention.query.weight, attention.key.weight)]
            scores.append(sum(float(v) * x for v, x in zip(attention.energy.weight[0], inner)))
        else:
            other = attention.key.weight @ h if kind == "general" else h
            scores.append(sum(float(a) * float(b) for a, b in zip(s, other)))
    total = sum(math.exp(score) for score in scores)
    weights = [math.exp(score) / total for score in scores]
    return sum(weight * h for weight, h in zip(weights, states)), torch.tensor(weights, dtype=torch.float64)


def translate_by_hand(model: Seq2seq, source: list[int], target: list[int], kept: float = 1.0) -> tuple[Tensor, Tensor | None]:
    """What the output layer reads [U, width], and the weights [U, T]."""
    config = model.config
    states, layers = read_by_hand(model, source, kept)
    cells, fed = [cell(layer) for layer in model.decoder], torch.zeros(config.width, dtype=torch.float64)
    hidden, seen = [], []
    for id in target:
        embedded = x = kept * model.token_embedding.weight[id]
        if config.attention == "additive":
            context, weights = attend_by_hand(model, layers[-1][0][0], states)
            x = torch.cat([x, context])
        if config.input_feeding:
            x = torch.cat([x, fed])
        for number, step in enumerate(cells):
            layers[number] = step(x, layers[number])
            x = kept * layers[number][0][0]
        if config.attention == "additive":
            both = model.readout.weight @ torch.cat([x, embedded, context]) + model.readout.bias
            x = torch.stack([torch.maximum(both[2 * i], both[2 * i + 1]) for i in range(len(both) // 2)])
        elif config.attention != "none":
            context, weights = attend_by_hand(model, x, states)
            fed = x = torch.tanh(model.readout.weight @ torch.cat([context, x]) + model.readout.bias)
        hidden.append(x if config.attention == "none" else kept * x)
        if config.attention != "none":
            seen.append(weights)
    return torch.stack(hidden), torch.stack(seen) if seen else None


@EACH
@torch.no_grad()
def test_the_equations(options):
    model = make(**options).double()
    source, target = tokens(1, 6), tokens(1, 5, seed=1)
    found = model.encode(source, None, target, return_attentions=model.config.attention != "none")
    hidden, weights = translate_by_hand(model, source[0].tolist(), target[0].tolist())
    assert float(hidden.std(0).mean()) > 0.01 and (weights is None or float(weights.std(0).max()) > 0.001)
    assert close(found.hidden[0], hidden, 1e-12)
    assert close(found.encoder_hidden[0], torch.stack(read_by_hand(model, source[0].tolist())[0]), 1e-12)
    if weights is None:
        assert found.cross_attentions is None
    else:
        assert found.cross_attentions[0].shape == (1, 1, 5, 6) and close(found.cross_attentions[0][0, 0], weights, 1e-12)
    assert close(model.project(found.hidden)[0], hidden @ model.lm_head.weight.T + model.lm_head.bias, 1e-12)


def test_all_attentions_are_among_the_variants():
    assert {options.get("attention", "additive") for options in VARIANTS.values()} == set(ATTENTIONS)


# ---- one answer however a batch is laid out


@EACH
@torch.no_grad()
def test_padding_and_neighbours_change_nothing(options):
    model = make(**options)
    alone = [model(source, None, target) for source, target in PAIRS]
    assert min(float(found.logits.std()) for found in alone) > 0.1
    for sides in (("left", "right"), ("right", "left"), ("right", "right")):
        (ids, mask), (target, target_mask) = (padded(list(texts), side) for texts, side in zip(zip(*PAIRS), sides, strict=True))
        found = model(ids, mask, target, target_mask, output_hidden_states=True)
        for row, single in enumerate(alone):
            assert close(found.logits[row][target_mask[row] == 1], single.logits[0])
            assert close(found.encoder_last_hidden_state[row][mask[row] == 1], single.encoder_last_hidden_state[0])
        assert not any(part[target_mask == 0].any() for part in (found.last_hidden_state, *found.decoder_hidden_states))
        assert not any(part[mask == 0].any() for part in (found.encoder_last_hidden_state, *found.encoder_hidden_states))
        assert len(found.encoder_hidden_states) == len(found.decoder_hidden_states) == 1 + model.config.layers


@EACH
@torch.no_grad()
def test_a_large_batch_with_holes_and_an_empty_source(options):
    """So many rows that spare ones are added; a source without any token is answered, and disturbs nobody."""
    model, generator = make(**options), torch.Generator().manual_seed(4)
    ids, target = tokens(40, 23), tokens(40, 17, seed=1)
    mask, target_mask = (
        (torch.rand(*t.shape, generator=generator) < torch.rand(40, 1, generator=generator)).long() for t in (ids, target)
    )
    mask[:, 3] = target_mask[:, 5] = 1
    mask[7] = 0
    hidden = model.encode(ids, mask, target, target_mask).hidden
    assert hidden.isfinite().all()
    for row in (0, 6, 8, 39):
        alone = model.encode(ids[row][mask[row] == 1][None], None, target[row][target_mask[row] == 1][None]).hidden[0]
        assert close(hidden[row][target_mask[row] == 1], alone)


@EACH
@torch.no_grad()
def test_nothing_but_padding_is_zeros(options):
    model, ids, target = make(**options), tokens(2, 5), tokens(2, 4, seed=1)
    blank = torch.zeros(2, 5, dtype=torch.long)
    found = model.encode(ids, blank, target)
    assert not found.encoder_hidden.any() and found.hidden.isfinite().all()
    found = model.encode(ids, None, target, blank[:, :4], return_layers=True)
    assert found.hidden.shape == (2, 4, model.config.output_width) and not any(x.any() for x in (found.hidden, *found.layers))


@EACH
def test_gradients_are_those_of_each_pair_alone(options):
    model = make(**options)
    width = model.config.output_width
    slopes = [
        torch.randn(target.shape[1], width, generator=torch.Generator().manual_seed(n)) for n, (_, target) in enumerate(PAIRS)
    ]
    parameters = [p for name, p in model.named_parameters() if not name.startswith("lm_head")]
    alone = sum((model.encode(source, None, target).hidden[0] * slope).sum() for (source, target), slope in zip(PAIRS, slopes))
    expected = torch.autograd.grad(alone, parameters)
    for sides in (("right", "right"), ("left", "left")):
        (ids, mask), (target, target_mask) = (padded(list(texts), side) for texts, side in zip(zip(*PAIRS), sides))
        total = (model.encode(ids, mask, target, target_mask).hidden[target_mask == 1] * torch.cat(slopes)).sum()
        for found, wanted in zip(torch.autograd.grad(total, parameters), expected):
            assert float(wanted.abs().max()) > 0 and close(found, wanted, 1e-4)


@EACH
@torch.no_grad()
def test_the_target_is_causal_and_the_source_is_seen_everywhere(options):
    model = make(**options)
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


# ---- step by step


@EACH
@torch.no_grad()
def test_step_by_step_is_at_once(options):
    model = make(**options)
    (ids, mask), target = padded([source for source, _ in PAIRS], "left"), tokens(4, 6, seed=5)
    whole = model.encode(ids, mask, target).hidden
    cache = model.read_source(ids, mask, slots=9)
    for place in range(3):
        assert close(model.step(target[:, place], cache), whole[:, place])
    rows = torch.tensor([2, 2, 0, 0, 3, 3])  # beams of some sources, then of other ones in unequal numbers
    cache = cache.reorder(rows)
    assert close(model.step(target[rows, 3], cache), whole[rows, 3])
    more = torch.tensor([0, 1, 1, 5])
    cache = cache.reorder(more)
    assert close(model.step(target[rows[more], 4], cache), whole[rows[more], 4])
    last = torch.tensor([3, 0])
    cache = cache.reorder(last)
    assert close(model.step(target[rows[more[last]], 5], cache), whole[rows[more[last]], 5])


@torch.no_grad()
def test_a_copy_for_decoding_writes_the_same():
    from gyebo.nn.decoding import PackedLinear, decoding_copy

    model, ids = make(width=200), tokens(3, 5)
    fast = decoding_copy(model)
    assert isinstance(fast.readout, PackedLinear)
    caches = model.read_source(ids, slots=4), fast.read_source(ids, slots=4)
    for token in tokens(4, 3, seed=1):
        one, other = (each.step(token, cache) for each, cache in zip((model, fast), caches))
        assert close(other, one)


@torch.no_grad()
def test_beams_share_the_keys_of_their_source_and_have_states_of_their_own():
    model = make(attention="general", input_feeding=True)
    cache = model.read_source(tokens(2, 5), slots=4).reorder(torch.tensor([0, 0, 0, 1, 1, 1]))
    assert cache.each == 3 and len(cache.source.keys) == 2
    model.step(tokens(6), cache)
    again = cache.reorder(torch.tensor([2, 2, 0, 3, 5, 4]))
    assert again.source is cache.source and again.each == 3
    assert torch.equal(again.fed, cache.fed[[2, 2, 0, 3, 5, 4]]) and len(again.fed.unique(dim=0)) == 5
    assert torch.equal(again.state[0][0], cache.state[0][0][[2, 2, 0, 3, 5, 4]])
    fewer = again.reorder(torch.tensor([4, 5, 3]))
    assert fewer.each == 3 and torch.equal(fewer.source.values, cache.source.values[1:])


@EACH_ATTENTIVE
@torch.no_grad()
def test_what_is_watched_are_the_weights(options):
    model = make(**options)
    (ids, mask), target = padded([source for source, _ in PAIRS], "right"), tokens(4, 3, seed=3)
    expected = model.encode(ids, mask, target, return_attentions=True).cross_attentions[0][:, 0]
    cache = model.read_source(ids, mask, slots=3)
    cache.watched = []
    for place in range(3):
        model.step(target[:, place], cache)
    assert close(torch.stack(cache.watched, 1), expected)


# ---- what the papers say


@torch.no_grad()
def test_without_attention_the_last_states_are_all_that_the_decoder_gets(monkeypatch):
    import gyebo.models.seq2seq as module

    real = module.read

    def disturbed(layer, x, steps, state=None):
        rows, after = real(layer, x, steps, state)
        return (rows, after) if state is not None else (rows + 3, after)  # the encoder starts from nothing given

    source, target = tokens(2, 7), tokens(2, 5, seed=1)
    for options, same in (({"attention": "none"}, True), ({"attention": "none", **ONE_WAY}, True), ({}, False)):
        model = make(**options)
        before = model.encode(source, None, target)
        with monkeypatch.context() as patch:
            patch.setattr(module, "read", disturbed)
            after = model.encode(source, None, target)
        assert not close(after.encoder_hidden, before.encoder_hidden, 0.1)
        assert torch.equal(after.hidden, before.hidden) == same
    memory = make(attention="none").read_source(source, slots=1)
    assert memory.source is None and [part.shape for part in memory.state[0]] == [(2, 11)]  # whatever the source's length


@EACH_ATTENTIVE
@torch.no_grad()
def test_weights_are_a_distribution_over_real_tokens(options):
    model = make(**options)
    (ids, mask), (target, target_mask) = (padded(list(texts), side) for texts, side in zip(zip(*PAIRS), ("right", "left")))
    (weights,) = model(ids, mask, target, target_mask, output_attentions=True).cross_attentions
    assert weights.shape == (4, 1, 15, 15)
    assert close(weights[target_mask[:, None] == 1].sum(-1), torch.ones(int(target_mask.sum())))
    assert not weights[(mask == 0)[:, None, None].expand_as(weights)].any()
    assert not weights[target_mask[:, None] == 0].any()
    assert (weights[0, 0][target_mask[0] == 1][:, mask[0] == 1] > 0).all()


@torch.no_grad()
def test_a_reversed_source_is_the_source_reversed_by_hand():
    for options in (VARIANTS["none-reversed-lstm"], VARIANTS["additive-reversed"]):
        turned, plain = make(**options), make(**{**options, "reversed_source": False})
        (ids, mask), target = padded([source for source, _ in PAIRS], "right"), tokens(4, 5, seed=2)
        by_hand = ids.clone()
        for row, (source, _) in enumerate(PAIRS):
            by_hand[row, : source.shape[1]] = source[0].flip(0)
        found, expected = turned.encode(ids, mask, target), plain.encode(by_hand, mask, target)
        assert close(found.hidden, expected.hidden)
        assert not close(plain.encode(ids, mask, target).hidden, expected.hidden, 1e-2)
        for row, (source, _) in enumerate(PAIRS):  # each state stands at its own token all the same
            length = source.shape[1]
            assert close(found.encoder_hidden[row, :length], expected.encoder_hidden[row, :length].flip(0))


@torch.no_grad()
def test_both_ways_begin_at_real_ends():
    """The backward half at the last real token has read that token alone, the forward half at the first one too."""
    model = make()
    for side in ("left", "right"):
        ids, mask = padded([source for source, _ in PAIRS], side)
        states = model.encode(ids, mask).encoder_hidden
        for row, (source, _) in enumerate(PAIRS):
            real = states[row][mask[row] == 1]
            last, first = (model.encode(source[:, [place]]).encoder_hidden[0, 0] for place in (-1, 0))
            assert close(real[-1, 11:], last[11:]) and close(real[0, :11], first[:11])


@torch.no_grad()
def test_input_feeding_and_the_early_context_matter():
    source, target = tokens(1, 6), tokens(1, 5, seed=1)
    for options in (VARIANTS["concat-fed"], {}):
        model = make(**options)
        before = model.encode(source, None, target, return_layers=True).layers[-1]
        model.decoder[0].weight_ih_l0[:, 11:] = 0
        after = model.encode(source, None, target, return_layers=True).layers[-1]
        changed = (after != before).any(-1)[0].tolist()
        assert changed == ([False] if model.config.input_feeding else [True]) + [True] * 4  # nothing is fed to the first step


@EACH
@torch.no_grad()
def test_dropout_acts_on_what_goes_up_and_never_in_time(options, monkeypatch):
    """With a dropout that shrinks all numbers alike it is seen where it acts: what cells and attention hand on is whole."""
    model = make(**options, dropout=0.4).double()
    source, target = tokens(1, 6), tokens(1, 5, seed=1)
    whole = model.encode(source, None, target).hidden
    assert not torch.equal(model.train().encode(source, None, target).hidden, model.encode(source, None, target).hidden)
    monkeypatch.setattr("gyebo.models.seq2seq.dropout", lambda x, p: (1 - p) * x)
    found = model.encode(source, None, target).hidden
    assert close(found[0], translate_by_hand(model, source[0].tolist(), target[0].tolist(), kept=0.6)[0], 1e-12)
    assert close(model.eval().encode(source, None, target).hidden, whole, 1e-12) and not close(found, whole, 1e-2)
    assert all(block.dropout == 0 for block in (*model.encoder, *model.decoder))  # torch's layers have none of their own


@torch.no_grad()
def test_fresh_weights():
    for kind in ("gru", "lstm"):
        fresh = Seq2seq(Seq2seqConfig(vocab_size=400, width=32, cell=kind, layers=2))
        assert abs(float(fresh.token_embedding.weight.std()) - 0.05) < 0.002
        assert fresh.lm_head.weight is fresh.token_embedding.weight
        for name, parameter in fresh.named_parameters():
            tensor = name.rpartition(".")[2]
            if tensor.startswith("weight_hh"):
                assert all(close(gate @ gate.T, torch.eye(32)) for gate in parameter.split(32))
            elif tensor.startswith("weight_ih"):
                assert all(abs(float(gate.std()) - (2 / (32 + gate.shape[1])) ** 0.5) < 0.02 for gate in parameter.split(32))
            elif parameter.ndim == 1:
                forget = kind == "lstm" and tensor.startswith("bias_ih")
                assert [float(part.mean()) for part in parameter.chunk(4)] == [0.0, float(forget), 0.0, 0.0]


# ---- sizes, costs, refusals


def numbers(inputs: int, width: int, gates: int) -> int:
    """Parameters of a cell: two matrices and two biases for each gate."""
    return gates * (inputs * width + width * width + 2 * width)


def test_the_published_shapes_have_their_counts():
    """Bahdanau et al.: 1000 units, embeddings of 620, a maxout of 500; Sutskever et al.: 64 million recurrent parameters."""
    sizes = FAMILIES["seq2seq"].sizes
    assert list(Seq2seq.sizes) == list(sizes)
    for size, count in sizes.items():
        with torch.device("meta"):
            assert Seq2seq(Seq2seq.sizes[size]).count_parameters() == count
    units, words, out, ids = 1000, 620, 500, 30_000
    recurrent = 2 * numbers(words, units, 3) + numbers(words + 2 * units, units, 3)
    looking = (units + 2 * units + 1) * units + units * units + units  # W, U and v; the bridge
    maxout = 2 * out * (units + words + 2 * units + 1)
    assert sizes["rnnsearch"] == ids * words + recurrent + looking + maxout + ids * (out + 1)
    recurrent = 8 * numbers(1000, 1000, 4)
    assert sizes["sutskever"] == recurrent + 2 * 80_000 * 1000 + 80_000
    assert abs(recurrent / 64e6 - 1) < 0.002
    width, ids = 512, 16_000  # small: two layers of an LSTM, two ways
    recurrent = 2 * numbers(width, width, 4) + 2 * numbers(2 * width, width, 4) + numbers(3 * width, width, 4)
    recurrent += numbers(width, width, 4)
    looking = (3 * width + 1) * width + 4 * (width + 1) * width
    assert sizes["small"] == ids * width + recurrent + looking + 2 * width * (4 * width + 1) + ids
    assert sizes["tiny"] < 1_000_000
    assert abs(sizes["mini"] / FAMILIES["transformer"].sizes["mini"] - 1) < 0.03


@pytest.mark.parametrize("name", ["none", "none-both-ways-lstm", "additive", "dot", "general", "general-fed-lstm", "concat"])
def test_flops_are_those_that_torch_counts(name):
    from torch.utils.flop_counter import FlopCounterMode

    model, ids = make(**{**VARIANTS[name], "layers": 2, "cell": "gru"}), tokens(4, 16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.project(model.encode(ids, None, ids).hidden)
    assert model.flops(2 * 4 * 16, 16) == pytest.approx(counter.get_total_flops(), rel=1e-6)
    saved = model.flops(2 * 4 * 16, 16) - model.flops(2 * 4 * 16, 16, 0.25)
    assert saved == pytest.approx(0.75 * 2 * 4 * 16 * model.config.output_width * 53)


def test_layer_groups_go_from_input_to_output():
    model = make(layers=2)
    groups = model.layer_groups()
    assert [len(group) for group in groups] == [1, 8, 8, 4, 4, len(list(model.parameters())) - 25]
    assert groups[0][0] is model.token_embedding.weight and groups[3][0] is model.decoder[0].weight_ih_l0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cell": "rnn"}, "cell must be one of gru, lstm"),
        ({"attention": "local"}, "attention must be one of none, additive, dot, general, concat"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"embedding": 0}, "embedding must be at least 1"),
        ({"dropout": 1.0}, "dropout must be from 0"),
        ({"start_id": 53}, "start_id must be below vocab_size 53"),
        ({"attention": "none", "input_feeding": True}, "input_feeding has no effect where attention is none"),
        ({"input_feeding": True}, "input_feeding has no effect where attention is additive"),
        ({"reversed_source": True}, "reversed_source has no effect where bidirectional"),
        ({"attention": "general", "maxout": 5}, "maxout has no effect where"),
        ({"attention": "dot"}, "dot needs states of one width.*use general"),
        ({"embedding": 7, "attention": "general"}, "embedding.*7 and 11 wide.*tied"),
        ({"maxout": 5}, "11 and 5 wide.*tied"),
    ],
)
def test_bad_configs_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Seq2seqConfig(**{**ODD, **options})


def test_what_has_no_meaning_is_refused():
    model = make(attention="none")
    with pytest.raises(ValueError, match="at most 32 tokens"):
        model(tokens(1, 33))
    with pytest.raises(ValueError, match="labels="):
        model(tokens(1, 3), labels=tokens(1, 3))
    with pytest.raises(ValueError, match="return_attentions"):
        model(tokens(1, 3), output_attentions=True)
    cache = model.read_source(tokens(1, 3), slots=2)
    cache.watched = []
    with pytest.raises(ValueError, match="this model has no attention.*no weights to watch"):
        model.step(tokens(1), cache)


@torch.no_grad()
def test_the_decoder_begins_with_the_start():
    for ids, start in (({}, 1), ({"start_id": 4}, 4), ({"bos_id": None}, 0)):
        model = make(**ids)
        assert model.start_id == start
        assert torch.equal(model(tokens(2, 5)).logits, model(tokens(2, 5), None, torch.full((2, 1), start)).logits)


def test_exported():
    assert gyebo.Seq2seq is Seq2seq
