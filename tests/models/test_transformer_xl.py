"""Transformer-XL against plain loops over queries, keys and distances; its memory; its layouts; its cache."""

import math
from dataclasses import replace

import pytest
import torch

from gyebo.models.transformer_xl import TransformerXl, TransformerXlConfig
from gyebo.nn.cost import Workload
from gyebo.nn.cross_entropy import cross_entropy_sum
from tests.operations import counted, counted_of_positions

SHAPE = {"vocab_size": 53, "context": 64, "window": 6, "memory": 5, "width": 14, "layers": 3, "heads": 3, "head_width": 5}
SHAPE |= {"inner": 11, "dropout": 0.0, "init_std": 0.3, "pad_id": 0, "bos_id": 1, "eos_id": 2}
VARIANTS = {
    "plain": {},
    "clusters": {"cutoffs": (11, 30), "division": 2, "embedding_width": 12, "separate_biases": True},
    "clamped": {"clamp": 3, "same_length": True},
    "pre-norm": {"pre_norm": True, "cutoffs": (20,), "tied": False},
}


def made(seed=0, **options):
    torch.manual_seed(seed)
    return TransformerXl(TransformerXlConfig(**{**SHAPE, **options})).eval()


@pytest.fixture(params=VARIANTS)
def model(request):
    return made(**VARIANTS[request.param])


def tokens(*shape, seed=0):
    return torch.randint(3, 53, shape, generator=torch.Generator().manual_seed(seed))


def close(a, b, atol=1e-5):
    return torch.allclose(a, b, atol=atol, rtol=1e-4)


def read(model, ids, size, memory=None, documents=None):
    """A text segment by segment: hidden [B, T, D], and the state in the end."""
    state, parts = model.fresh_state(len(ids), memory), []
    for start in range(0, ids.shape[1], size):
        part = slice(start, start + size)
        given = {}
        if documents is not None:
            given = {"document_ids": _renamed(documents[:, part])}
            if start:
                state = model.reset(state, documents[:, start] != documents[:, start - 1])
        encoded = model.encode(ids[:, part], state=state, **given)
        state = encoded.state
        parts.append(encoded.hidden)
    return torch.cat(parts, 1), state


def naive(model, ids, segment, memory):
    """One text [T], token by token, head by head, key by key (section 3.3): the hidden vectors [T, D]."""
    config, size = model.config, model.config.head_width
    half = torch.arange(0, config.width, 2).double() / config.width
    inputs = list(model.embed(ids[None])[0].unbind(0))
    for block in model.blocks:
        attention, outputs = block.attention, []
        owner = attention if config.separate_biases else model
        for i, x in enumerate(inputs):
            first = i - i % segment
            normed = block.attention_residual.before
            query = attention.qkv(normed(x))[: config.heads * size]
            seen = [j for j in range(max(0, first - memory), i + 1) if not config.same_length or i - j < memory]
            mixed = []
            for h in range(config.heads):
                mine = slice(h * size, (h + 1) * size)
                scores, values = [], []
                for j in seen:
                    _, key, value = attention.qkv(normed(inputs[j])).chunk(3)
                    distance = min(i - j, config.clamp) if config.clamp else i - j
                    angles = distance / 10_000**half
                    r = attention.position(torch.cat([angles.sin(), angles.cos()]).float())
                    content = (query[mine] + owner.content_bias[h]) @ key[mine]
                    position = (query[mine] + owner.position_bias[h]) @ r[mine]
                    scores.append((content + position) / math.sqrt(size))
                    values.append(value[mine])
                mixed.append(torch.stack(scores).softmax(0) @ torch.stack(values))
            change = attention.out(torch.cat(mixed))
            y = block.attention_residual.after(x, change)
            outputs.append(block.mlp_residual.after(y, block.mlp(block.mlp_residual.before(y))))
        inputs = outputs
    return torch.stack(inputs)


@torch.no_grad()
def test_it_is_the_equations_of_the_paper(model):
    ids = tokens(1, 13)
    assert close(read(model, ids, 4)[0][0], naive(model, ids[0], 4, 5))
    reach = 5 if model.config.same_length else 99
    assert close(model.encode(ids).hidden[0], naive(model, ids[0], 99, reach))


@torch.no_grad()
@pytest.mark.parametrize("size", [1, 3, 5, 17])
def test_with_memory_enough_segments_equal_the_text_at_once(model, size):
    if model.config.same_length:
        model.config = replace(model.config, memory=17)
    ids = tokens(2, 17)
    assert close(read(model, ids, size, memory=17)[0], model.encode(ids).hidden)
    assert not close(read(model, ids, 3, memory=2)[0], model.encode(ids).hidden, 1e-3)


@torch.no_grad()
def test_a_longer_memory_reaches_further(model):
    """The first token of the second segment: the memory says how far back a change of a token is seen in one layer."""
    model.config = replace(model.config, layers=1)
    model.blocks = model.blocks[:1]
    ids = tokens(1, 12)
    for memory in (0, 1, 4, 6):
        if model.config.same_length and not memory:
            continue
        before = read(model, ids, 6, memory)[0]
        for distance in range(1, 7):
            changed = ids.clone()
            changed[0, 6 - distance] = 3 + (changed[0, 6 - distance] - 2) % 50
            seen = not torch.equal(read(model, changed, 6, memory)[0][:, 6], before[:, 6])
            assert seen == (distance <= memory - model.config.same_length)


@torch.no_grad()
def test_a_reset_row_has_no_past(model):
    ids, following = tokens(3, 9), tokens(3, 6, seed=1)
    state = model.encode(ids, state=model.fresh_state(3)).state
    which = torch.tensor([False, True, False])
    found = model.encode(following, state=model.reset(state, which)).hidden
    kept, alone = model.encode(following, state=state).hidden, model.encode(following, state=model.fresh_state(3)).hidden
    assert close(found[1], alone[1]) and close(found[[0, 2]], kept[[0, 2]])
    assert close(alone, read(model, following, 6, memory=5)[0])
    assert not close(found[1], kept[1], 1e-3)
    zeros = {"memory": torch.zeros_like(state["memory"]), "length": state["length"]}
    assert not close(model.encode(following, state=zeros).hidden, alone, 1e-3)  # a memory of zeros is not none


@torch.no_grad()
def test_memory_belongs_to_the_document_that_goes_on():
    """Rows of several documents, padding at any place: each document as if it were read alone, segment by segment."""
    model = made()
    documents = torch.tensor([[1] * 7 + [2] * 5 + [3] * 6, [1] * 3 + [2] * 15, [1] * 10 + [0] * 8])
    ids = tokens(3, 18)
    hidden, state = read(model, ids, 6, documents=documents)
    for row, names in enumerate(documents):
        for name in names[names != 0].unique():
            places = (names == name).nonzero()[:, 0]
            parts = [places[places // 6 == number] for number in range(3)]
            own = model.fresh_state(1)
            for part in parts:
                if len(part):
                    encoded = model.encode(ids[row, part][None], state=own)
                    own = encoded.state
                    assert close(encoded.hidden[0], hidden[row, part])
            if name == names[names != 0][-1]:
                assert close(own["memory"][0], state["memory"][row]) and own["length"][0] == state["length"][row]
    assert not hidden[2, 10:].any()


def _renamed(ids):
    """Document ids that begin at 1 in each segment, as a batch has them."""
    first = ids.masked_fill(ids == 0, 99).amin(1, keepdim=True)
    return (ids - first + 1) * (ids != 0)


@torch.no_grad()
def test_padding_between_tokens_counts_for_nothing():
    model = made()
    ids, state = tokens(2, 6), model.encode(tokens(2, 4, seed=3), state=model.fresh_state(2)).state
    expected = model.encode(ids, state=state)
    mask = torch.tensor([[0, 1, 1, 0, 1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]])
    wide = torch.zeros(2, 10, dtype=torch.long).masked_scatter(mask.bool(), ids)
    found = model.encode(wide, mask, state=state)
    assert close(found.hidden[mask.bool()], expected.hidden.flatten(0, 1)) and not found.hidden[mask == 0].any()
    assert close(found.state["memory"], expected.state["memory"])
    assert close(model.encode(wide, mask).hidden[mask.bool()], model.encode(ids).hidden.flatten(0, 1))
    nothing = model.encode(wide, torch.zeros_like(mask), state=state)
    assert close(nothing.state["memory"], state["memory"]) and torch.equal(nothing.state["length"], state["length"])


@torch.no_grad()
def test_packed_and_interleaved_documents_are_read_apart(model):
    ids = tokens(2, 12)
    documents = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 3, 3, 0, 0, 0], [2, 1, 2, 1, 1, 0, 2, 2, 1, 3, 3, 3]])
    for found in (model.encode(ids, document_ids=documents).hidden, read(model, ids, 12, documents=documents)[0]):
        for row in range(2):
            for name in (1, 2, 3):
                own = documents[row] == name
                assert close(found[row, own], model.encode(ids[row, own][None]).hidden[0])


@torch.no_grad()
def test_causality_by_perturbation(model):
    ids, state = tokens(1, 8), model.encode(tokens(1, 5, seed=4), state=model.fresh_state(1)).state
    before = model.encode(ids, state=state).hidden
    for position in (0, 3, 7):
        changed = ids.clone()
        changed[0, position] = 3 + (changed[0, position] - 2) % 50
        after = model.encode(changed, state=state).hidden
        assert torch.equal(after[:, :position], before[:, :position])
        assert (after[:, position:] != before[:, position:]).any(-1).all()


def test_no_gradient_flows_into_the_memory():
    model = made()
    state = model.fresh_state(2)
    state["memory"].requires_grad_(True)
    encoded = model.encode(tokens(2, 6), state=model.encode(tokens(2, 6, seed=1), state=state).state)
    assert not encoded.state["memory"].requires_grad
    encoded.hidden.sum().backward()
    assert state["memory"].grad is None
    assert all(p.grad is not None for name, p in model.named_parameters() if not name.startswith("lm_head"))


@torch.no_grad()
@pytest.mark.parametrize("cut", [1, 4, 11])
def test_cached_equals_uncached(model, cut):
    """A prompt, then token by token, with a cache of limited length, against segments of one token with the memory."""
    ids = tokens(3, 16)
    mask = torch.ones_like(ids)
    mask[1, : min(2, cut - 1)], mask[2, : cut - 1] = 0, 0
    hidden, cache = model.prefill(ids[:, :cut], mask[:, :cut], slots=16)
    found = [hidden]
    for place in range(cut, 16):
        found.append(model.step(ids[:, place], cache))
        assert cache.slots <= max(11, cut)
        rows = torch.tensor([2, 0, 1])
        cache, ids, mask, found = cache.reorder(rows), ids[rows], mask[rows], [part[rows] for part in found]
    for row in range(3):
        real = mask[row].bool()
        expected = read(model, ids[row, real][None], 1)[0][0]
        assert close(torch.stack([part[row] for part in found]), expected[-len(found) :])


def test_a_model_without_memory_sees_a_segment_when_it_writes():
    model = made(memory=0)
    ids = tokens(1, 20)
    with torch.no_grad():
        _, cache = model.prefill(ids[:, :9], slots=20)
        for place in range(9, 20):
            hidden = model.step(ids[:, place], cache)
        assert close(hidden, read(model, ids, 1, memory=6)[0][:, -1])
        assert model.fresh_state(2)["memory"].shape == (2, 3, 0, 14)
        assert close(model.encode(ids, state=model.fresh_state(1)).hidden, model.encode(ids).hidden)


def test_the_loss_is_that_of_the_log_probabilities(model):
    ids, labels = tokens(2, 9), tokens(2, 9, seed=2)
    hidden = model.encode(ids).hidden
    log_probabilities = model.project(hidden)
    assert close(log_probabilities.log_softmax(-1), log_probabilities) == bool(model.config.cutoffs)
    expected = -log_probabilities.log_softmax(-1).gather(-1, labels[..., None]).sum()
    found = cross_entropy_sum(*model.output_layer(hidden.flatten(0, 1), "lm"), labels.flatten())
    assert close(found, expected, 1e-3)
    parameters = list(model.parameters())
    for mine, theirs in zip(
        torch.autograd.grad(found, parameters, retain_graph=True), torch.autograd.grad(expected, parameters)
    ):
        assert close(mine, theirs, 1e-3)


@torch.no_grad()
def test_probabilities_are_embedded_as_their_ids(model):
    ids = tokens(2, 5)
    assert close(model.embed(torch.nn.functional.one_hot(ids, 53).float()), model.embed(ids))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"memory": -1}, "memory must be at least 0, but is -1"),
        ({"memory": 0, "same_length": True}, "same_length needs a memory"),
        ({"window": 65}, "window must be at most context 64"),
        ({"width": 15}, "width must be even"),
        ({"cutoffs": (30, 11)}, "cutoffs must ascend"),
        ({"cutoffs": (53,)}, "cutoffs must ascend from 1 to below vocab_size 53"),
        ({"cutoffs": (11,), "division": 15}, "division must be at least 1 and leave the last of 2 clusters a width"),
        ({"activation": "sin"}, "activation must be one of"),
    ],
)
def test_what_a_config_refuses(options, said):
    with pytest.raises(ValueError, match=said):
        made(**options)


def test_a_text_beyond_the_context_is_refused():
    with pytest.raises(ValueError, match="at most 64 tokens"):
        made().encode(tokens(1, 65))


@pytest.mark.parametrize("size", TransformerXl.sizes)
def test_sizes_are_the_published_ones(size):
    from gyebo.models.family import FAMILIES

    with torch.device("meta"):
        model = TransformerXl(TransformerXl.sizes[size])
    assert model.count_parameters() == FAMILIES["transformer_xl"].sizes[size]
    groups = model.layer_groups()
    assert len(groups) == model.config.layers + 2
    assert sum(p.numel() for group in groups for p in group) == model.count_parameters()


@torch.no_grad()
def test_its_memory_has_its_cost():
    """A segment behind a full memory: torch's count, without the projection of distances that all rows share."""
    model = made(cutoffs=(11,), embedding_width=12)
    state = model.encode(tokens(1, 5), state=model.fresh_state(1)).state
    run = lambda: model.encode(tokens(1, 8), state=state)  # noqa: E731
    work = Workload({"tokens": [8], "memory": [5]})
    assert counted(run) - counted_of_positions(run) == pytest.approx(model.flops(work), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_in_another_precision_it_reads_and_writes_the_same(model, dtype):
    ids, atol = tokens(2, 12), 0.6 if dtype == torch.bfloat16 else 1e-4
    expected, after = model.encode(ids).hidden, model.step(ids[:, -1], model.prefill(ids[:, :-1], slots=14)[1])
    model = model.to(dtype)
    assert close(model.encode(ids).hidden.float(), expected, atol)
    assert close(model.step(ids[:, -1], model.prefill(ids[:, :-1], slots=14)[1]).float(), after, atol)
