"""Convolutions over sequences of different lengths: each alone against plain loops, forward and backward, and step by step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.nn.convolution import Convolution, SeparableConvolution
from gyebo.nn.ragged import ragged_layout

CPU = torch.device("cpu")


def naive(layer: Convolution, x: torch.Tensor, causal: bool) -> torch.Tensor:
    """[n, I] -> [n, O] of one sequence: every product by itself."""
    weight, bias = layer.kernel.weight, layer.kernel.bias  # [O, I or 1, S]
    outputs, inputs, size = weight.shape
    before = size - 1 if causal else size // 2
    rows = []
    for t in range(len(x)):
        total = torch.zeros(outputs, dtype=x.dtype) if bias is None else bias.clone()
        for s in range(size):
            if 0 <= t + s - before < len(x):
                seen = x[t + s - before]
                total = total + (weight[:, :, s] @ seen if inputs > 1 else weight[:, 0, s] * seen)
        rows.append(total)
    return torch.stack(rows)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_every_sequence_is_convolved_alone(data):
    batch, length = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    size, causal = data.draw(st.sampled_from([(1, False), (3, False), (9, False), (4, True), (7, True)]))
    separate, dense = data.draw(st.booleans()), data.draw(st.booleans())
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 10**6)))
    full = data.draw(st.booleans())
    mask = torch.ones(batch, length, dtype=torch.bool) if full else torch.rand(batch, length, generator=generator) < 0.6
    x = torch.randn(batch, length, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    layer = Convolution(3, 3 if separate else 5, size, causal=causal, groups=3 if separate else 1, bias=not separate).double()
    layout = ragged_layout(mask.shape, CPU, attention_mask=mask, dense=dense)
    found = layout.scatter(layer(layout.gather(x), layout))
    expected = torch.zeros_like(found)
    for row in range(batch):
        places = mask[row].nonzero()[:, 0]
        if len(places):
            expected = expected.index_put((torch.tensor(row), places), naive(layer, x[row, places], causal))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
    slope = torch.randn(found.shape, generator=generator, dtype=torch.float64)
    parameters = [x, *layer.parameters()]
    if mask.any():
        wanted = torch.autograd.grad((expected * slope).sum(), parameters)
        for grad, right in zip(torch.autograd.grad((found * slope).sum(), parameters), wanted, strict=True):
            torch.testing.assert_close(grad, right, atol=1e-11, rtol=1e-11)


def test_nothing_but_padding_has_the_width_of_the_output():
    layout = ragged_layout((2, 3), CPU, attention_mask=torch.zeros(2, 3))
    assert Convolution(3, 5, 3)(torch.zeros(0, 3), layout).shape == (0, 5)


@torch.no_grad()
def test_a_separable_convolution_step_by_step_is_at_once():
    torch.manual_seed(0)
    layer, x = SeparableConvolution(3, 5, 4, causal=True), torch.randn(2, 9, 3)
    layout = ragged_layout((2, 9), CPU)
    whole = layout.scatter(layer(layout.gather(x), layout))
    padded = torch.cat([torch.zeros(2, 6, 3), x], 1)  # a window may be longer than is needed
    for place in range(9):
        torch.testing.assert_close(layer.step(padded[:, place : place + 7])[:, 0], whole[:, place])
    assert layer.depthwise.kernel.bias is None and layer.pointwise.bias is not None


def test_a_token_stands_in_the_middle():
    with pytest.raises(ValueError, match="size must be odd"):
        Convolution(3, 3, 4)
