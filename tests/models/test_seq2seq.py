"""Recurrent encoders and decoders: the papers' equations in plain loops, and one answer however a batch is laid out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gyebo.models.seq2seq import ATTENTIONS, Seq2seq, Seq2seqConfig
from tests.models.encoder_decoders import close, padded, tokens
from tests.models.seq2seq_variants import EACH, EACH_ATTENTIVE, ONE_WAY, PAIRS, VARIANTS, make

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
    assert cache.rows_per_source == 3 and len(cache.source.keys) == 2
    model.step(tokens(6), cache)
    again = cache.reorder(torch.tensor([2, 2, 0, 3, 5, 4]))
    assert again.source is cache.source and again.rows_per_source == 3
    assert torch.equal(again.input_feed, cache.input_feed[[2, 2, 0, 3, 5, 4]]) and len(again.input_feed.unique(dim=0)) == 5
    assert torch.equal(again.state[0][0], cache.state[0][0][[2, 2, 0, 3, 5, 4]])
    fewer = again.reorder(torch.tensor([4, 5, 3]))
    assert fewer.rows_per_source == 3 and torch.equal(fewer.source.values, cache.source.values[1:])


@EACH_ATTENTIVE
@torch.no_grad()
def test_what_is_watched_are_the_weights(options):
    model = make(**options)
    (ids, mask), target = padded([source for source, _ in PAIRS], "right"), tokens(4, 3, seed=3)
    expected = model.encode(ids, mask, target, return_attentions=True).cross_attentions[0][:, 0]
    cache = model.read_source(ids, mask, slots=3)
    cache.attentions = []
    for place in range(3):
        model.step(target[:, place], cache)
    assert close(torch.stack(cache.attentions, 1), expected)


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
