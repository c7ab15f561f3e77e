"""Units of feed-forward networks are read behind the activation, and held at every place; afterwards all is as before."""

import pytest
import torch
import torch.nn.functional as F

from gyebo.nn.feedforward import FeedForward
from gyebo.nn.hidden_units import units_held, units_read


@pytest.fixture
def layers():
    torch.manual_seed(0)
    return {"a": FeedForward(5, 7, "gelu"), "b": FeedForward(5, 3, "relu")}


def test_units_are_what_the_second_matrix_reads(layers):
    x = torch.randn(2, 4, 5)
    with units_read(layers) as found:
        y = layers["b"](layers["a"](x))
        layers["a"](x)
    assert [len(found[name]) for name in layers] == [2, 1] and not y.isnan().any()
    assert torch.equal(found["a"][0], F.gelu(layers["a"].up(x))) and found["b"][0].shape == (2, 4, 3)
    layers["a"](x)
    assert len(found["a"]) == 2 and not layers["a"].down._forward_pre_hooks


def test_held_units_have_their_value_everywhere_and_the_others_their_own(layers):
    x, layer = torch.randn(6, 5), layers["a"]
    hidden = F.gelu(layer.up(x))
    hidden[:, [1, 4]] = torch.tensor([0.5, -2.0])
    before = layer(x)
    expected = layer.down(hidden)
    held = {"a": (torch.tensor([1, 4]), torch.tensor([0.5, -2.0]))}
    with pytest.raises(RuntimeError, match="stop"), units_held(layers, held):
        assert torch.equal(layer(x), expected)
        raise RuntimeError("stop")
    assert torch.equal(layer(x), before) and not layer.down._forward_pre_hooks
