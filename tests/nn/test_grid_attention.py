"""Sparse attention of a text and a grid against its definition, token by token; and one place at a time."""

import math

import numpy as np
import pytest
import torch

from gyebo.nn import grid_attention
from gyebo.nn.grid_attention import KINDS, GridCache, Pattern, attend_behind_grid, attend_grid
from tests.nn import naive_grid

SHAPES = [(6, 4, 3), (1, 4, 5), (5, 3, 1), (7, 5, 11), (2, 1, 3), (0, 4, 3)]  # text, side, kernel
CASES = [(kind, *shape) for kind in KINDS for shape in SHAPES if shape[0]]


@pytest.fixture(params=[0.0, math.inf], ids=["sparse", "all pairs"])
def way(request, monkeypatch):
    """Each of the two ways to compute the same, whatever is faster."""
    monkeypatch.setattr(grid_attention, "FUSED", request.param)


def drawn(text: int, side: int, *, batch: int = 2, heads: int = 3, width: int = 5, seed: int = 0) -> torch.Tensor:
    """Queries, keys and values [3, B, H, T, K] in float64, large enough that each key counts."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(3, batch, heads, text + side * side, width, generator=generator, dtype=torch.float64)


def reference(qkv: torch.Tensor, seen: np.ndarray) -> torch.Tensor:
    heads = [naive_grid.attention(*part, seen) for part in qkv.flatten(1, 2).transpose(0, 1).numpy()]
    return torch.from_numpy(np.stack(heads)).unflatten(0, qkv.shape[1:3])


def test_the_masks_of_a_grid_of_four_rows_with_six_tokens_by_hand():
    """The place in the third row and the third column: which places of the grid it sees."""
    place = 6 + 10
    seen = {kind: naive_grid.mask(kind, 6, 4, 3)[place] for kind in KINDS}
    assert all(row[:6].all() for row in seen.values())
    assert np.flatnonzero(seen["row"][6:]).tolist() == [6, 7, 8, 9, 10]
    assert np.flatnonzero(seen["column"][6:]).tolist() == [2, 6, 10]
    assert np.flatnonzero(seen["convolution"][6:]).tolist() == [5, 6, 7, 9, 10]
    border = naive_grid.mask("convolution", 6, 4, 3)[6 + 8]  # the first place of that row: the window goes on in the row before
    assert np.flatnonzero(border[6:]).tolist() == [3, 4, 5, 7, 8]


@pytest.mark.parametrize(("kind", "text", "side", "kernel"), CASES)
def test_attention_is_that_of_the_dense_mask(kind, text, side, kernel, way):
    qkv = drawn(text, side)
    expected = reference(qkv, naive_grid.mask(kind, text, side, kernel))
    found = attend_grid(*qkv, text, Pattern(kind, side, kernel))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    single = attend_grid(*qkv.float(), text, Pattern(kind, side, kernel))
    assert torch.allclose(single.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_place_alone_decides_what_sees_it(kind, way):
    """Perturb one key and value at a time: exactly the queries change that see it, to the last bit."""
    text, side, kernel = 6, 4, 3
    qkv = drawn(text, side, batch=1, heads=2)
    seen, pattern = torch.from_numpy(naive_grid.mask(kind, text, side, kernel)), Pattern(kind, side, kernel)
    before = attend_grid(*qkv, text, pattern)
    for place in range(text + side * side):
        changed = qkv.clone()
        changed[1:, :, :, place] += 1.0
        after = attend_grid(*changed, text, pattern)
        moved = (after != before).any(-1)[0]
        assert torch.equal(moved, seen[:, place].expand(2, -1)), place


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize(("side", "kernel"), [(4, 3), (7, 11)])
def test_the_upper_rows_alone_are_as_in_the_whole_picture(kind, rows, side, kernel, way):
    text = 6
    qkv, pattern = drawn(text, side), Pattern(kind, side, kernel)
    whole = attend_grid(*qkv, text, pattern)
    for count in (rows * side, rows * side + 2):
        part = qkv[:, :, :, : text + count]
        assert torch.allclose(attend_grid(*part, text, pattern), whole[:, :, : text + count], rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("side", "kernel", "count"), [(4, 3, 16), (7, 11, 30)])
def test_gradients_are_those_of_dense_attention(kind, side, kernel, count, way):
    """Of a whole picture, and of its upper part, which has fewer rows than a window."""
    text = 6
    qkv = drawn(text, side)[:, :, :, : text + count].requires_grad_()
    slope = drawn(text, side, seed=1)[0, :, :, : text + count]
    seen = torch.from_numpy(naive_grid.mask(kind, text, side, kernel))[: text + count, : text + count]
    query, key, value = qkv
    scores = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(~seen, -torch.inf)
    (expected,) = torch.autograd.grad((scores.softmax(-1) @ value * slope).sum(), qkv)
    (found,) = torch.autograd.grad((attend_grid(*qkv, text, Pattern(kind, side, kernel)) * slope).sum(), qkv)
    assert torch.allclose(found, expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_of_the_weights(kind):
    """Each weight is 0 with the probability, the rest is larger: with equal values 1 the result is a share of kept weights."""
    torch.manual_seed(0)
    qkv = torch.zeros(3, 40, 2, 6 + 16, 4)
    qkv[2] = 1.0
    found = attend_grid(*qkv, 6, Pattern(kind, 4, 3), dropout=0.25)
    assert abs(float(found.mean()) - 1) < 0.02 and float(found[:, :, 6:].std()) > 0.05
    assert (attend_grid(*qkv, 6, Pattern(kind, 4, 3)) - 1).abs().max() < 1e-6


# ---- the reversed order


def test_the_mask_of_the_reversed_order_by_hand():
    """One place, a grid of 2 x 2 and two words: what each place sees, in a layer of columns."""
    seen = naive_grid.reversed_mask("column", 1, 2, 3, 2)
    expected = ["1000000", "1100000", "1010000", "1101000", "1010100", "1111110", "1111111"]
    assert ["".join(str(int(x)) for x in row) for row in seen] == expected


@pytest.mark.parametrize("words", [0, 1, 7])
@pytest.mark.parametrize(("kind", "before", "side", "kernel"), [(kind, *shape) for kind in KINDS for shape in SHAPES])
def test_attention_behind_a_grid_is_that_of_the_dense_mask(kind, before, side, kernel, words):
    qkv = drawn(before + words, side)
    expected = reference(qkv, naive_grid.reversed_mask(kind, before, side, kernel, words))
    found = attend_behind_grid(*qkv, before, Pattern(kind, side, kernel))
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("before", [0, 1])
def test_each_place_alone_decides_what_sees_it_in_the_reversed_order(kind, before):
    """Perturb one key and value at a time: exactly the queries change that see it, to the last bit."""
    side, kernel, words = 4, 3, 5
    qkv = drawn(before + words, side, batch=1, heads=2)
    seen, pattern = torch.from_numpy(naive_grid.reversed_mask(kind, before, side, kernel, words)), Pattern(kind, side, kernel)
    unchanged = attend_behind_grid(*qkv, before, pattern)
    for place in range(before + side * side + words):
        changed = qkv.clone()
        changed[1:, :, :, place] += 1.0
        moved = (attend_behind_grid(*changed, before, pattern) != unchanged).any(-1)[0]
        assert torch.equal(moved, seen[:, place].expand(2, -1)), place


# ---- one place at a time


@pytest.mark.parametrize(("kind", "text", "side", "kernel"), CASES)
@pytest.mark.parametrize("given", [0, 1, 5])
@pytest.mark.parametrize("copies", [1, 3])
def test_steps_equal_the_whole_picture(kind, text, side, kernel, given, copies):
    if given >= side * side:
        return
    pattern = Pattern(kind, side, kernel)
    qkv = drawn(text, side, batch=2 * copies)
    qkv[:, :, :, : text + given] = qkv[:, ::copies, :, : text + given].repeat_interleave(copies, 1)  # two texts
    whole = attend_grid(*qkv, text, pattern)
    first = qkv[1:, ::copies, :, : text + given]
    cache = GridCache.of([(first[0], first[1])], [pattern], text, copies)
    for place in range(text + given, text + side * side):
        found = cache.attend(0, *qkv[:, :, :, place : place + 1])
        cache.advance()
        assert torch.allclose(found, whole[:, :, place : place + 1], rtol=0, atol=1e-12), place
    assert cache.filled == side * side


def test_a_cache_holds_no_more_of_a_row_than_is_seen():
    """Of a layer of row attention the last places alone."""
    first = drawn(6, 4)[1:, :, :, :6]
    row, column = (GridCache.of([tuple(first)], [Pattern(kind, 4, 3)], 6, 1) for kind in ("row", "column"))
    assert row.keys[0].shape[-2] == 5 and column.keys[0].shape[-2] == 16


@pytest.mark.parametrize(("kind", "kernel", "said"), [("diagonal", 3, "kind"), ("row", 4, "kernel"), ("row", 0, "kernel")])
def test_what_is_no_pattern_is_refused(kind, kernel, said):
    with pytest.raises(ValueError, match=said):
        Pattern(kind, 4, kernel)


@pytest.mark.parametrize(("kind", "columns"), [("row", 2 * 16), ("column", 16), ("convolution", 4 * 16)])
def test_no_more_keys_are_computed_than_the_rows_that_are_seen(kind, columns, monkeypatch):
    """Of a grid of 16 x 16, a query is compared with the keys of few rows, or of its column."""
    seen = []
    real = grid_attention._softmax
    monkeypatch.setattr(grid_attention, "_softmax", lambda scores: seen.append(scores.shape) or real(scores))
    attend_grid(*drawn(6, 16, batch=1, heads=1).float(), 6, Pattern(kind, 16, 5))
    assert [shape[-1] for shape in seen] == [6 + columns]


@pytest.mark.parametrize(("side", "dtype", "dropout", "stored"), [
    (8, torch.float32, 0.0, 0), (8, torch.float32, 0.1, 1), (8, torch.bfloat16, 0.0, 1), (32, torch.float32, 0.0, 1)
])  # fmt: skip
def test_of_a_small_grid_all_pairs_are_computed_where_the_fused_kernel_can(side, dtype, dropout, stored, monkeypatch):
    seen = []
    real = grid_attention._softmax
    monkeypatch.setattr(grid_attention, "_softmax", lambda scores: seen.append(scores) or real(scores))
    attend_grid(*drawn(48, side, batch=1, heads=1).to(dtype), 48, Pattern("row", side), dropout=dropout)
    assert len(seen) == stored
