"""XLNet: two streams against a naive implementation, what a query may depend on, layouts, memory, generation."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.models.family import FAMILIES, model_class
from gyebo.models.xlnet import Xlnet, XlnetConfig
from gyebo.nn.cost import Workload
from tests.models.encoder_models import NO_DROPOUT, close, tokens
from tests.operations import counted, counted_of_positions

ODD = XlnetConfig(vocab_size=53, context=64, width=15, layers=3, heads=3, inner=11, init_std=0.4, **NO_DROPOUT)


def made(seed: int = 0, **options) -> Xlnet:
    torch.manual_seed(seed)
    model = Xlnet(replace(ODD, **options)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
    return model


def naive(model: Xlnet, ids, types, ranks, memory=None):
    """Both streams of one text, one query and key at a time, from the formula: content [T, D] and query [T, D] streams.

    memory: the inputs of each layer at the tokens before, a list of [M, D]."""
    size, heads = len(ids), model.config.heads
    past = 0 if memory is None else len(memory[0])
    content, query = model.token_embedding(ids), model.query_vector.expand(size, -1)
    at = torch.arange(0, model.config.width, 2).double()

    def distance(d: int):
        if model.config.clamp:
            d = max(-model.config.clamp, min(model.config.clamp, d))
        angle = d / 10_000 ** (at / model.config.width)
        return torch.cat([angle.sin(), angle.cos()])[: model.config.width].to(content.dtype)

    def layer(block, stream, keys, strict):
        a = block.attention
        split = lambda x: x.unflatten(-1, (heads, -1))  # noqa: E731
        q, (k, v) = split(a.query(stream)), (split(x) for x in a.key_value(keys).chunk(2, -1))
        r = {d: split(a.position(distance(d))) for d in range(1 - size, past + size)}
        out = torch.zeros(size, heads, q.shape[-1], dtype=content.dtype)
        for i in range(size):
            seen, scores = [], []
            for j in range(past + size):
                own = j - past
                if own >= 0 and not (ranks[own] < ranks[i] if strict else ranks[own] <= ranks[i]):
                    continue
                segment = a.segments[0 if types[i] == (types[own] if own >= 0 else 0) else 1]
                score = (q[i] + a.content_bias) * k[j] + (q[i] + a.position_bias) * r[i - own]
                score = score + (q[i] + a.segment_bias) * segment
                seen.append(j)
                scores.append(score.sum(-1) * q.shape[-1] ** -0.5)
            if seen:
                out[i] = torch.einsum("jh,jhk->hk", torch.stack(scores).softmax(0), v[seen])
        x = block.attention_norm(stream + a.out(out.flatten(1)))
        return block.mlp_norm(x + block.down(block.activation(block.up(x))))

    for number, block in enumerate(model.blocks):
        keys = content if memory is None else torch.cat([memory[number], content])
        query, content = layer(block, query, keys, True), layer(block, content, keys, False)
    return content, query


def an_order(length: int, seed: int, share: float = 0.5):
    """Ranks and targets of a text, and its types; also tokens that are neither predicted nor seen by all."""
    generator = torch.Generator().manual_seed(seed)
    ranks = torch.randperm(length, generator=generator)
    draw = torch.rand(length, generator=generator)
    targets = draw < share
    targets[0] = True
    ranks = torch.where(draw < share + 0.2, ranks, -1)
    ranks[0] = ranks[0].clamp(min=0)
    return ranks, targets, torch.randint(3, (length,), generator=generator)


@settings(max_examples=10, deadline=None)
@given(length=st.integers(1, 8), seed=st.integers(0, 10**6), clamp=st.sampled_from([None, 2]))
@torch.no_grad()
def test_both_streams_are_those_of_the_formula(length, seed, clamp):
    model = made(layers=2, clamp=clamp).double()
    ids = tokens(length, seed=seed)
    ranks, targets, types = an_order(length, seed)
    content, query = naive(model, ids, types, ranks)
    given = {"token_type_ids": types[None], "ranks": ranks[None]}
    found = model.encode(ids[None], targets=targets[None], **given).hidden[0]
    assert close(found[targets], query[targets], 1e-6)
    assert not found[~targets].any()
    assert close(model.encode(ids[None], **given).hidden[0], content, 1e-6)


@torch.no_grad()
def test_memory_is_that_of_the_formula_and_of_its_document_alone():
    model = made(layers=2, memory=5).double()
    first, second = tokens(2, 9, seed=1), tokens(2, 7, seed=2)
    documents = torch.tensor([[1] * 9, [1] * 6 + [2] * 3])
    state = model.encode(first, document_ids=documents, state=model.fresh_state(2)).state
    assert state["length"].tolist() == [5, 3]
    ranks, targets, types = an_order(7, 3)
    streams = {"token_type_ids": types.expand(2, -1), "ranks": ranks.expand(2, -1)}
    found = model.encode(second, state=state, targets=targets.expand(2, -1), **streams)
    for row, real in enumerate((5, 3)):
        memory = list(state["memory"][row, :, 5 - real :])
        assert close(found.hidden[row, targets], naive(model, second[row], types, ranks, memory)[1][targets], 1e-6)
    alone = model.encode(first[1:, 6:], state=model.fresh_state(1)).state  # the second document of the second row
    assert close(alone["memory"], state["memory"][1:], 1e-6)
    fresh = model.encode(second, targets=targets.expand(2, -1), **streams).hidden
    reset = model.encode(
        second, targets=targets.expand(2, -1), state=model.reset(state, torch.tensor([True, False])), **streams
    )
    assert close(reset.hidden[0], fresh[0], 1e-6) and close(reset.hidden[1], found.hidden[1], 1e-6)
    assert not close(reset.hidden[0], found.hidden[0], 1e-3)


@settings(max_examples=15, deadline=None)
@given(length=st.integers(2, 13), seed=st.integers(0, 10**6), remembers=st.booleans())
def test_a_prediction_depends_on_no_token_at_its_place_or_later_in_the_order(length, seed, remembers):
    model = made(seed % 7, memory=4)
    ids = tokens(1, length, seed=seed)
    ranks, targets, types = an_order(length, seed)
    state = model.encode(tokens(1, 6, seed=seed + 1), state=model.fresh_state(1)).state if remembers else None
    vectors = model.token_embedding.weight[ids].detach().requires_grad_()
    model.embed = lambda _: vectors.flatten(0, 1)  # one row of the table for each token
    given = {"state": state} if remembers else {}
    hidden = model.encode(ids, token_type_ids=types[None], ranks=ranks[None], targets=targets[None], **given).hidden[0]
    for place in targets.nonzero().squeeze(1).tolist():
        (slope,) = torch.autograd.grad(hidden[place].square().sum(), vectors, retain_graph=True, allow_unused=True)
        reached = torch.zeros(length, dtype=torch.bool) if slope is None else slope[0].abs().sum(-1) > 0
        assert not reached[ranks >= ranks[place]].any()
        assert reached[ranks < ranks[place]].all()


@torch.no_grad()
def test_the_content_stream_does_depend_on_its_own_token():
    model = made()
    ids = tokens(1, 8)
    ranks, targets, _ = an_order(8, 0)
    other = ids.clone()
    other[0, 0] = (ids[0, 0] + 1) % 53
    query = [model.encode(x, ranks=ranks[None], targets=targets[None]).hidden[0, 0] for x in (ids, other)]
    content = [model.encode(x, ranks=ranks[None]).hidden[0, 0] for x in (ids, other)]
    assert torch.equal(*query) and not close(*content, 1e-3)


@torch.no_grad()
def test_all_orders_together_are_the_exact_likelihood():
    """Four symbols, three tokens: for each order the probabilities of all 64 texts sum to 1, though the first one is predicted
    from nothing; and the mean over the six orders is what `encode` gives for each order by itself."""
    model = made(vocab_size=4).double()
    texts = torch.tensor(list(itertools.product(range(4), repeat=3)))
    everywhere = torch.ones_like(texts, dtype=torch.bool)
    mean = torch.zeros(64, dtype=torch.float64)
    for order in itertools.permutations(range(3)):
        ranks = torch.tensor(order).expand_as(texts)
        logits = model.project(model.encode(texts, ranks=ranks, targets=everywhere).hidden)
        log_p = logits.log_softmax(-1).gather(-1, texts[..., None]).squeeze(-1)
        assert float(log_p.sum(1).exp().sum()) == pytest.approx(1, abs=1e-6)
        first = order.index(0)  # predicted from its place alone
        assert torch.unique(logits[:, first].round(decimals=6), dim=0).shape[0] == 1
        mean += log_p.sum(1) / 6
        for text, total in zip(texts[::9], log_p.sum(1)[::9]):  # token by token, each from a text that shows no later one
            parts = 0.0
            for place in range(3):
                hidden = torch.where(torch.tensor(order) < order[place], text, (text + 1) % 4)
                query = naive(model, hidden, torch.zeros(3, dtype=torch.long), torch.tensor(order))[1]
                parts += float(model.project(query)[place].log_softmax(-1)[text[place]])
            assert float(total) == pytest.approx(parts, abs=1e-6)
    assert (mean < 0).all()


LENGTHS = (21, 4, 1, 13)


@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_a_prediction_is_the_same_however_the_batch_is_laid_out(side):
    model = made()
    texts = [tokens(1, length, seed=length) for length in LENGTHS]
    orders = [an_order(length, length) for length in LENGTHS]
    alone = [
        model.encode(ids, token_type_ids=types[None], ranks=ranks[None], targets=targets[None]).hidden[0]
        for ids, (ranks, targets, types) in zip(texts, orders)
    ]
    content = [
        model.encode(ids, token_type_ids=types[None], ranks=ranks[None]).hidden[0]
        for ids, (ranks, _, types) in zip(texts, orders)
    ]

    def batch(parts, fill):
        out = torch.full((len(LENGTHS), 25), fill)
        for row, part in enumerate(parts):
            out[row, slice(25 - part.shape[-1], 25) if side == "left" else slice(0, part.shape[-1])] = part
        return out

    fields = {
        "token_type_ids": batch([types for *_, types in orders], 2),
        "ranks": batch([ranks for ranks, *_ in orders], 0),
        "targets": batch([targets for _, targets, _ in orders], False),
    }
    mask, ids = batch([torch.ones(1, length, dtype=torch.long) for length in LENGTHS], 0), batch(texts, 7)
    for options in ({}, {"return_attentions": True}):
        found = model.encode(ids, mask, **fields, **options).hidden
        read = model.encode(ids, mask, **{name: x for name, x in fields.items() if name != "targets"}, **options).hidden
        for row, (expected, own, part) in enumerate(zip(alone, content, mask.bool())):
            assert close(found[row, part], expected) and close(read[row, part], own)
            assert not found[row, ~part].any() and not read[row, ~part].any()
    packed = {name: torch.cat([x[m.bool()] for x, m in zip(values, mask)])[None] for name, values in fields.items()}
    documents = torch.cat([torch.full((length,), number + 1) for number, length in enumerate(LENGTHS)])[None]
    for options in ({}, {"return_attentions": True}, {"state": model.fresh_state(1)}):
        found = model.encode(torch.cat(texts, 1), document_ids=documents, **packed, **options).hidden[0]
        assert close(found, torch.cat(alone))


def test_gradients_are_those_of_each_text_alone():
    model = made()
    texts = [tokens(1, length, seed=length) for length in LENGTHS]
    orders = [an_order(length, length) for length in LENGTHS]
    torch.manual_seed(0)
    slopes = [torch.randn(length, 15) for length in LENGTHS]

    def gradients(pairs):
        model.zero_grad()
        sum((hidden * slope).sum() for hidden, slope in pairs).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients(
        (model.encode(ids, token_type_ids=types[None], ranks=ranks[None], targets=targets[None]).hidden[0], slope)
        for ids, (ranks, targets, types), slope in zip(texts, orders, slopes)
    )
    ranks, targets, types = (torch.cat(parts)[None] for parts in zip(*orders))
    documents = torch.cat([torch.full((length,), number + 1) for number, length in enumerate(LENGTHS)])[None]
    given = {"token_type_ids": types, "ranks": ranks, "targets": targets}
    hidden = model.encode(torch.cat(texts, 1), document_ids=documents, **given).hidden[0]
    found = gradients([(hidden, torch.cat(slopes))])
    assert found.keys() == expected.keys() and "query_vector" in found
    assert all(close(found[name], expected[name], 1e-4) for name in expected)


@torch.no_grad()
def test_a_text_written_backwards_is_the_same_text():
    model = made(layers=2)
    ids, (ranks, targets, types) = tokens(2, 9), an_order(9, 1)
    given = {"token_type_ids": types.expand(2, -1), "ranks": ranks.expand(2, -1), "targets": targets.expand(2, -1)}
    turned = {name: x.flip(1) for name, x in given.items()}
    expected = model.encode(ids, **given).hidden
    found = model.encode(ids.flip(1), backwards=torch.tensor([True, True]), **turned).hidden.flip(1)
    assert close(found, expected)
    half = model.encode(torch.cat([ids[:1], ids[1:].flip(1)]), backwards=torch.tensor([False, True]),
                        **{name: torch.cat([x[:1], turned[name][1:]]) for name, x in given.items()}).hidden  # fmt: skip
    assert close(half[0], expected[0]) and close(half[1].flip(0), expected[1])


@torch.no_grad()
def test_a_long_text_read_in_windows_remembers():
    """Without bidirectional attention within a window, a memory that holds everything would be the whole text; here it is what
    stood before, so only tokens of earlier windows agree with a text read at once that shows no more."""
    model = made(memory=30, layers=1)
    ids = tokens(2, 24)
    state = model.fresh_state(2)
    for start in range(0, 24, 8):
        found = model.encode(ids[:, start : start + 8], state=state)
        state = found.state
        visible = torch.ones(2, start + 8, start + 8, dtype=torch.bool)
        whole = model.encode(ids[:, : start + 8], visible=visible).hidden  # one layer: keys are the tokens themselves
        assert close(found.hidden, whole[:, start:])
    assert state["length"].tolist() == [24, 24]


@torch.no_grad()
def test_generation_is_the_same_with_and_without_a_cache():
    model = made()
    ids, mask = tokens(3, 20), torch.ones(3, 20, dtype=torch.long)
    mask[0, :4] = 0  # a shorter prompt
    hidden, cache = model.prefill(ids[:, :9], mask[:, :9], slots=12)
    for length in range(9, 20):
        # without a cache: the prompt sees all of itself, the others what stands before, and the place behind them is asked
        ranks = torch.cat([torch.full((9,), -1), torch.arange(length - 9 + 1)]).expand(3, -1)
        targets = torch.arange(length + 1).expand(3, -1) == length
        more = torch.cat([ids[:, :length], torch.zeros(3, 1, dtype=torch.long)], 1)
        real = torch.cat([mask[:, :length], torch.ones(3, 1, dtype=torch.long)], 1)
        whole = model.encode(more, real, ranks=ranks, targets=targets).hidden[:, -1]
        assert close(hidden, whole)
        if length == 12:
            cache = cache.grow(20)
        if length == 14:
            cache, ids, mask = cache.reorder(torch.tensor([2, 0])), ids[[2, 0, 1]], mask[[2, 0, 1]]
            hidden = torch.cat([model.step(ids[:2, length], cache), hidden[:1]])
            break
        hidden = model.step(ids[:, length], cache)
    ranks = torch.cat([torch.full((9,), -1), torch.arange(7)]).expand(2, -1)
    more, real = torch.cat([ids[:2, :15], torch.zeros(2, 1, dtype=torch.long)], 1), torch.ones(2, 16, dtype=torch.long)
    real[:, :15] = mask[:2, :15]
    targets = torch.arange(16).expand(2, -1) == 15
    assert close(hidden[:2], model.encode(more, real, ranks=ranks, targets=targets).hidden[:, -1])


@torch.no_grad()
def test_hidden_states_are_of_the_content_stream():
    model = made()
    ids, (ranks, targets, types) = tokens(1, 9), an_order(9, 5)
    given = {"token_type_ids": types[None], "ranks": ranks[None]}
    content = model.encode(ids, return_layers=True, **given)
    both = model.encode(ids, return_layers=True, targets=targets[None], **given)
    assert len(content.layers) == len(both.layers) == 4
    assert all(close(a, b) for a, b in zip(content.layers, both.layers))
    assert close(both.hidden, model.encode(ids, targets=targets[None], **given).hidden)


@pytest.mark.parametrize("size", list(FAMILIES["xlnet"].sizes))
def test_the_sizes_have_exactly_so_many_parameters(size):
    with torch.device("meta"):
        model = Xlnet(Xlnet.sizes[size])
        body = Xlnet(replace(Xlnet.sizes[size], lm=False))
    assert model.count_parameters() == FAMILIES["xlnet"].sizes[size]
    if size == "base":
        assert body.count_parameters() == 116_718_336
    groups = [p for group in model.layer_groups() for p in group]
    assert {id(p) for p in groups} == {id(p) for p in model.parameters()} and len(groups) == len(list(model.parameters()))


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"heads": 4}, "multiple of heads"),
        ({"memory": -1}, "memory"),
        ({"clamp": 0}, "clamp"),
        ({"activation": "x"}, "activation"),
    ],
)
def test_a_config_that_cannot_be_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        replace(ODD, **wrong)


def test_inputs_that_do_not_fit_are_refused():
    model = made(context=8)
    with pytest.raises(ValueError, match="at most 8 tokens"):
        model.encode(tokens(1, 9))
    with pytest.raises(ValueError, match="at most 8 tokens"):
        model.encode(tokens(1, 9), return_attentions=True)
    model.encode(tokens(1, 10), document_ids=torch.tensor([[1] * 5 + [2] * 5]), return_attentions=True)
    with pytest.raises(ValueError, match="token_type_ids must be below 3"):
        model.encode(tokens(1, 3), token_type_ids=torch.tensor([[0, 1, 3]]))
    with pytest.raises(ValueError, match="target_mapping"):
        model(tokens(1, 3), target_mapping=torch.ones(1, 1, 3))
    with pytest.raises(ValueError, match="ranks and visible"):
        model.encode(tokens(1, 3), ranks=torch.zeros(1, 3), visible=torch.ones(1, 3, 3, dtype=torch.bool))
    assert model_class("xlnet") is Xlnet


@torch.no_grad()
@pytest.mark.parametrize("predicted", [0, 3])
def test_its_memory_has_its_cost(predicted):
    """A text behind a full memory: torch's count, without the projection of distances that all rows share."""
    model = made(memory=5)
    state = model.encode(tokens(1, 5), state=model.fresh_state(1)).state
    targets = {"targets": torch.arange(8)[None] < predicted} if predicted else {}

    def run():
        hidden = model.encode(tokens(1, 8), state=state, **targets).hidden
        return model.project(hidden[:, :predicted])

    work = Workload({"tokens": [8], "memory": [5]}, {"lm": predicted})
    assert counted(run) - counted_of_positions(run) == pytest.approx(model.flops(work), rel=1e-9)
