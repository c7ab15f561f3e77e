"""The flat layout against attention of each sequence by itself, forward and backward."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.nn.ragged import CLOSE, attend_ragged, first_tokens, over_sequences, ragged_layout, real_tokens, rounded, similar

CPU = torch.device("cpu")
H, K = 2, 3


def sequences(ids: torch.Tensor) -> list[torch.Tensor]:
    """The places in B*T of each sequence's tokens, in order, found one by one."""
    found = []
    for row, line in enumerate(ids.tolist()):
        for name in dict.fromkeys(n for n in line if n):
            found.append(torch.tensor([row * len(line) + i for i, n in enumerate(line) if n == name]))
    return found


def linear_bias(slope: float):
    """A length L -> [H, L, L]."""
    return lambda length: slope * torch.arange(1, H + 1)[:, None, None] * (torch.arange(length) - torch.arange(length)[:, None])


def naive(qkv: torch.Tensor, ids: torch.Tensor, scale: float = K**-0.5, causal: bool = False, slope=0.0) -> torch.Tensor:
    """[B*T, 3, H, K] -> [B*T, H*K], each sequence alone; zeros at padding. `slope`: of a bias over the distance of a key."""
    out = 0 * qkv[:, 0].flatten(1)  # part of the graph also where nothing is real
    for places in sequences(ids):
        query, key, value = qkv[places].permute(1, 2, 0, 3)  # [H, n, K] each
        scores = query @ key.transpose(1, 2) * scale + linear_bias(slope)(len(places))
        later = torch.ones(len(places), len(places), dtype=torch.bool).triu(1) & causal
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        out = out.index_add(0, places, (weights @ value).transpose(0, 1).flatten(1))
    return out


def check(ids: torch.Tensor, seed: int = 0, **given) -> None:
    """Positions, forward and backward of a batch whose sequences are told by ids, laid out from what is given."""
    torch.manual_seed(seed)
    batch, length = ids.shape
    qkv = torch.randn(batch, length, 3, H, K, requires_grad=True)
    slope = torch.randn(batch, length, H * K)
    for dense, causal in product((False, True), repeat=2):
        expected = naive(qkv.flatten(0, 1), ids, causal=causal).unflatten(0, ids.shape)
        (wanted,) = torch.autograd.grad((expected * slope).sum(), qkv)
        layout = ragged_layout(ids.shape, CPU, dense=dense, **given)
        found = layout.scatter(attend_ragged(layout.gather(qkv), layout, causal=causal))
        (grad,) = torch.autograd.grad((found * slope).sum(), qkv)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(grad, wanted, atol=1e-5, rtol=1e-5)
        positions = torch.full((batch * length,), -1)
        positions[layout.index] = layout.positions
        for places in sequences(ids):
            assert positions[places].tolist() == list(range(len(places)))
        if not dense:
            index = layout.index[: len(layout.index) - layout.spare].tolist()
            assert sorted(index) == (ids.flatten() != 0).nonzero().squeeze(1).tolist()
            assert sum(group.tokens for group in layout.groups) == len(index)
            assert layout.longest == max(map(len, sequences(ids)), default=0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_documents_in_any_places(data):
    batch, length = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 40))
    names = data.draw(st.sampled_from([(0, 1), (0, 1, 2, 3), (1, 2), (0, 0, 0, 7), (5, 10**12)]))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    ids = torch.tensor(names)[torch.randint(len(names), (batch, length), generator=generator)]
    check(ids, document_ids=ids)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 70), min_size=1, max_size=6))
def test_an_accelerators_larger_groups(lengths):
    mask = torch.tensor([[1] * n + [0] * (max(1, *lengths) - n) for n in lengths])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLOSE, "cpu", CLOSE["accelerator"])
        check(mask, attention_mask=mask)
        assert len(ragged_layout(mask.shape, CPU, attention_mask=mask).groups) <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 70), min_size=1, max_size=6), st.booleans(), st.sampled_from([int, bool, float]))
def test_any_lengths_on_either_side(lengths, left, dtype):
    length = max(1, *lengths)
    mask = torch.tensor([[0] * (length - n) + [1] * n if left else [1] * n + [0] * (length - n) for n in lengths])
    check(mask, attention_mask=mask.to(torch.tensor(dtype()).dtype))
    check(mask, document_ids=mask * 3)


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2, 1, 2, 0, 1, 3, 0, 2]],  # documents inside each other, with padding between, one of a single token
        [[1], [2], [1]],
        [[0, 0, 0], [0, 4, 4]],  # a row of padding alone
        [[0, 0], [0, 0]],
        [[1, 2, 3, 4], [9, 9, 9, 9]],
        [[7, 7, 7], [3, 3, 3]],  # every row one document
        [[7, 7, 3], [3, 3, 7]],  # ids of other rows mean nothing here
    ],
)
def test_the_corners(rows):
    ids = torch.tensor(rows)
    check(ids, document_ids=ids)


def test_a_masked_token_belongs_to_no_document():
    ids = torch.tensor([[1, 1, 2, 2, 2, 0], [3, 3, 3, 3, 3, 3]])
    mask = torch.tensor([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 0]])
    check(ids * mask, document_ids=ids, attention_mask=mask)
    assert torch.equal(real_tokens(mask, ids), ids * mask != 0)
    assert real_tokens() is None and torch.equal(real_tokens(mask.bool()), mask != 0)


def test_what_is_full_is_only_reshaped():
    ids = torch.tensor([[1], [2], [9]]).expand(3, 5)
    for options in ({}, {"attention_mask": torch.ones(3, 5)}, {"document_ids": ids}):
        layout = ragged_layout((3, 5), CPU, **options)
        assert layout.grid is None and [group.grid for group in layout.groups] == [None]
        x = torch.randn(3, 5, 4)
        assert layout.gather(x).data_ptr() == layout.scatter(layout.gather(x)).data_ptr() == x.data_ptr()
        assert layout.index.tolist() == list(range(15)) and layout.positions.tolist() == [0, 1, 2, 3, 4] * 3
    check(torch.ones(3, 5, dtype=torch.long))


def test_sequences_of_equal_length_need_no_mask():
    ids = torch.tensor([[1] * 4 + [2] * 2 + [0] * 2, [1] * 2 + [2] * 4 + [3] * 2])
    groups = ragged_layout(ids.shape, CPU, document_ids=ids).groups
    assert [(g.sequences, g.longest, g.tokens) for g in groups] == [(5, 8, 14)] and groups[0].allowed is not None
    lengths = torch.tensor([[40] * 40 + [4] * 4, [41] * 40 + [5] * 4])
    groups = ragged_layout(lengths.shape, CPU, document_ids=lengths).groups
    assert [(g.sequences, g.longest, g.tokens) for g in groups] == [(2, 40, 80), (2, 4, 8)]
    assert all(g.grid is None and g.allowed is None for g in groups)


def reviews(seed: int, texts: int = 256) -> torch.Tensor:
    """Document ids of texts with the lengths of short reviews, a row each."""
    generator = torch.Generator().manual_seed(seed)
    lengths = (torch.randn(texts, generator=generator) * 0.6 + 2.7).exp().int().clamp(3, 60)
    return (torch.arange(60) < lengths[:, None]).long()


def test_spare_rows_change_nothing():
    ids = reviews(0)
    layout = ragged_layout(ids.shape, CPU, document_ids=ids)
    assert layout.spare > 0 and any(group.sequences * group.longest > group.tokens for group in layout.groups)
    check(ids, document_ids=ids)
    far = torch.full(ids.shape, 10**6)  # at padding, where it counts for nothing
    far[ids > 0] = 7
    assert set(ragged_layout(ids.shape, CPU, document_ids=ids.flip(1), position_ids=far.flip(1)).positions.tolist()) == {7}
    qkv = torch.randn(*ids.shape, 3, H, K, requires_grad=True)
    rows = layout.gather(qkv)
    mixed = attend_ragged(rows, layout) + rows.flatten(1)[:, : H * K]  # a sublayer and the stream
    (grad,) = torch.autograd.grad(layout.scatter(mixed).sum(), rows)
    assert not grad[-layout.spare :].any()  # so what stands there changes no weight either


def test_many_batches_have_few_shapes():
    layouts = [ragged_layout(ids.shape, CPU, document_ids=ids) for ids in map(reviews, range(60))]
    tokens = {len(layout.index) - layout.spare for layout in layouts}
    assert len(tokens) > 50 and len({len(layout.index) for layout in layouts}) <= 16
    assert all(layout.spare <= len(layout.index) / 32 for layout in layouts)
    assert len({(group.sequences, group.longest) for layout in layouts for group in layout.groups}) <= 64


@pytest.mark.parametrize("parts", [8, 32])
def test_numbers_are_rounded_up_a_little(parts):
    for n in range(2000):
        assert n <= rounded(n, parts) <= n * (1 + 1 / parts)
        assert rounded(rounded(n, parts), parts) == rounded(n, parts)
    assert len({rounded(n, parts) for n in range(513, 1025)}) <= 2 * parts


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 600), min_size=1, max_size=60))
def test_groups_are_few_and_hold_little_padding(lengths):
    lengths.sort(reverse=True)
    stretches = similar(lengths, CLOSE["cpu"])
    assert [n for first, last in stretches for n in lengths[first:last]] == lengths
    assert len(stretches) <= 14
    for first, last in stretches:
        assert all(n >= 0.75 * lengths[first] or n >= lengths[first] - 16 for n in lengths[first:last])
    for (first, _), (start, _) in zip(stretches, stretches[1:]):
        assert lengths[start] < 0.75 * lengths[first] and lengths[start] < lengths[first] - 16


@pytest.mark.parametrize("dense", [False, True])
def test_given_positions_replace_and_weights_are_given(dense):
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    layout = ragged_layout(mask.shape, CPU, attention_mask=mask, position_ids=torch.tensor([[-7, 5, 6]]), dense=dense)
    positions = torch.zeros(6, dtype=torch.long)
    positions[layout.index] = layout.positions
    assert positions[mask.flatten() == 1].tolist() == [5, 6, -7, 5, 6]
    assert positions[0] == 0  # what is given at padding counts for nothing
    if dense:
        attentions: list[torch.Tensor] = []
        qkv = torch.randn(6, 3, H, K)
        attend_ragged(qkv, layout, scale=2.0, attentions=attentions)
        assert attentions[0].shape == (2, H, 3, 3)
        assert attentions[0][0, :, 1:, 0].count_nonzero() == 0
        torch.testing.assert_close(attentions[0].sum(-1), torch.ones(2, H, 3))


@pytest.mark.parametrize("dense, causal", [(False, False), (False, True), (True, False), (True, True)])
def test_a_bias_depends_on_places_within_a_sequence(dense, causal):
    ids = torch.tensor([[0, 1, 1, 1, 2, 2], [3, 3, 3, 3, 3, 0]])
    layout = ragged_layout(ids.shape, CPU, document_ids=ids, dense=dense)
    torch.manual_seed(0)
    qkv = torch.randn(12, 3, H, K)
    expected = naive(qkv, ids, causal=causal, slope=0.4)
    rows = layout.gather(qkv.unflatten(0, (2, 6)))
    found = layout.scatter(attend_ragged(rows, layout, causal=causal, bias=linear_bias(0.4)))
    torch.testing.assert_close(found.flatten(0, 1), expected, atol=1e-5, rtol=1e-5)


def test_the_scale_and_other_types():
    ids = torch.tensor([[1, 1, 2, 1, 0], [3, 3, 3, 3, 3]])
    layout = ragged_layout(ids.shape, CPU, document_ids=ids)
    torch.manual_seed(0)
    qkv = torch.randn(10, 3, H, K)
    expected = naive(qkv, ids, scale=0.9)
    found = layout.scatter(attend_ragged(layout.gather(qkv.unflatten(0, (2, 5))), layout, scale=0.9))
    torch.testing.assert_close(found.flatten(0, 1), expected, atol=1e-5, rtol=1e-5)
    half = attend_ragged(layout.gather(qkv.unflatten(0, (2, 5)).bfloat16()), layout, scale=0.9)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(layout.scatter(half).float().flatten(0, 1), expected, atol=0.05, rtol=0.05)


def test_dropout_acts_on_the_weights_of_each_group():
    ids = torch.tensor([[1] * 40 + [2] * 4 + [0] * 6])
    layout = ragged_layout(ids.shape, CPU, document_ids=ids)
    assert len(layout.groups) == 2
    qkv = torch.zeros(44, 3, 1, 2000)
    qkv[:, 2] = 1  # equal weights, values of one: a row's output is the share that was kept
    torch.manual_seed(0)
    found = attend_ragged(qkv, layout, dropout=0.25)[:, 0]
    assert set((found[40:] * 3).round(decimals=3).tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    assert 0.8 < float(found.mean()) < 1.2 and float(found.std()) > 0


def test_the_backward_pass_can_be_differentiated():
    ids = torch.tensor([[1, 2, 1, 0], [1, 1, 1, 1]])
    layout = ragged_layout(ids.shape, CPU, document_ids=ids)
    x = torch.randn(2, 4, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: layout.scatter(layout.gather(x) ** 2), x)
    assert torch.autograd.gradgradcheck(lambda x: layout.scatter(layout.gather(x) ** 2), x)


def test_first_tokens_are_found_wherever_padding_stands():
    hidden = torch.arange(12.0).view(3, 4, 1)
    real = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 0, 1]]).bool()
    assert first_tokens(hidden, real).flatten().tolist() == [0, 6, 9]
    assert first_tokens(hidden, None).flatten().tolist() == [0, 4, 8]


def test_a_layout_is_a_value():
    layout = ragged_layout((1, 2), CPU)
    with pytest.raises(AttributeError):
        layout.shape = (2, 1)
    assert replace(layout, positions=layout.positions + 1).positions.tolist() == [1, 2]


def test_a_function_over_sequences_sees_each_alone():
    generator = torch.Generator().manual_seed(0)
    documents = (torch.rand(40, 23, generator=generator) < 0.7).long() * torch.randint(1, 4, (40, 23), generator=generator)
    layout = ragged_layout(documents.shape, documents.device, document_ids=documents)
    assert layout.spare
    x = torch.randn(40, 23, 2, generator=generator, dtype=torch.float64)
    sums = layout.scatter(over_sequences(layout.gather(x), layout, lambda cells: cells.cumsum(1)))
    for row, names in enumerate(documents):
        for name in {1, 2, 3}:
            assert torch.allclose(sums[row, names == name], x[row, names == name].cumsum(0), atol=1e-12)
    assert sums[documents == 0].count_nonzero() == 0


def test_a_layout_stands_on_the_device_that_is_asked_for():
    """It is computed on the CPU, whatever the device is; nothing of it may stay there."""
    ids = torch.tensor([[1, 1, 1, 2, 2, 0], [1, 1, 0, 0, 0, 0], [1] * 6])
    layout = ragged_layout(ids.shape, torch.device("meta"), document_ids=ids)

    def tensors(x):
        if isinstance(x, torch.Tensor):
            return [x]
        parts = x if isinstance(x, tuple) else vars(x).values() if is_dataclass(x) else ()
        return [tensor for part in parts for tensor in tensors(part)]

    assert len(tensors(layout)) > 6 and all(t.device.type == "meta" for t in tensors(layout))
