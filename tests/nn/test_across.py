"""Attention to sources in groups against attention of each target by itself, forward and backward."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.nn.across import attend_across, pairs_of
from gyebo.nn.ragged import ragged_layout

CPU = torch.device("cpu")
H, K = 2, 3


def sides(lengths: list[tuple[int, int]], left: bool):
    """Masks [B, U] and [B, L] of targets and sources with these lengths, with padding on the right or the left."""
    masks = []
    for side in (0, 1):
        longest = max(1, max(pair[side] for pair in lengths))
        mask = torch.arange(longest)[None] < torch.tensor([pair[side] for pair in lengths])[:, None]
        masks.append(mask.flip(1) if left else mask)
    return masks


def naive(query, key_value, target, source):
    """[B, U, H, K], [B, L, 2, H, K] -> [B, U, H*K], each row alone; zeros at padding."""
    out = 0 * query.flatten(2) + 0 * key_value.sum()
    for row in range(len(query)):
        wanted = query[row][target[row]].transpose(0, 1)  # [H, n, K]
        key, value = key_value[row][source[row]].permute(1, 2, 0, 3)
        if not len(key_value[row][source[row]]):
            continue
        mixed = (wanted @ key.transpose(1, 2) * K**-0.5).softmax(-1) @ value
        places = target[row].nonzero().squeeze(1)
        out = out.index_put((torch.tensor(row), places), mixed.transpose(0, 1).flatten(1))
    return out


lengths_strategy = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 70)), min_size=1, max_size=7)


@given(lengths_strategy, st.booleans(), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_target_attends_to_its_source(lengths, left, seed):
    torch.manual_seed(seed)
    target, source = sides(lengths, left)
    query = torch.randn(*target.shape, H, K, requires_grad=True)
    key_value = torch.randn(*source.shape, 2, H, K, requires_grad=True)
    slope = torch.randn(*target.shape, H * K) * (target & source.any(1, keepdim=True))[..., None]
    expected = naive(query, key_value, target, source)
    wanted = torch.autograd.grad((expected * slope).sum(), (query, key_value))
    layouts = [ragged_layout(mask.shape, CPU, attention_mask=mask) for mask in (target, source)]
    pairs = pairs_of(*layouts, None)
    mixed = attend_across(layouts[0].gather(query), layouts[1].gather(key_value), pairs)
    found = layouts[0].scatter(mixed)
    torch.testing.assert_close(found * slope.ne(0), expected * slope.ne(0), atol=1e-5, rtol=1e-5)
    for one, other in zip(torch.autograd.grad((found * slope).sum(), (query, key_value)), wanted):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_groups_have_sources_of_similar_length():
    target, source = sides([(3, 100), (4, 10), (9, 96), (2, 12), (5, 300)], left=False)
    layouts = [ragged_layout(mask.shape, CPU, attention_mask=mask) for mask in (target, source)]
    groups = pairs_of(*layouts, None).groups
    assert [(group.rows, group.queries, group.keys) for group in groups] == [(1, 5, 300), (2, 16, 104), (2, 8, 16)]
    assert [group.allowed is None for group in groups] == [True, False, False]


def test_full_rows_are_not_moved():
    layouts = [ragged_layout((3, length), CPU) for length in (4, 9)]
    pairs = pairs_of(*layouts, None)
    assert pairs.queries is pairs.keys is None and [group.allowed for group in pairs.groups] == [None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_but_padding(dtype):
    mask = torch.zeros(2, 3, dtype=torch.bool)
    layout = ragged_layout(mask.shape, CPU, attention_mask=mask)
    query, key_value = torch.ones(2, 3, H, K, dtype=dtype), torch.ones(2, 3, 2, H, K, dtype=dtype)
    found = attend_across(layout.gather(query), layout.gather(key_value), pairs_of(layout, layout, None))
    assert found.shape == (0, H * K) and found.dtype == dtype
