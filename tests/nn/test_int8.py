"""Linear layers in int8 against the same rounding written out in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gyebo.models.bert import Bert, BertConfig
from gyebo.models.gpt2 import Gpt2, Gpt2Config
from gyebo.models.transformer import Transformer, TransformerConfig
from gyebo.nn.int8 import Int8Linear, has_int8, quantize

pytestmark = pytest.mark.skipif(not has_int8(), reason="this processor has no int8 instructions (VNNI)")


def rounded(x, weight):
    """The two factors as dynamic quantisation sees them: x with 254 steps from its least to its largest value, 0 among them;
    each row of the matrix with 127 steps to either side."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    step = (high - low) / 254 or 1.0
    zero = round(-low / step)
    scale = weight.abs().amax(1, keepdim=True) / 127
    scale[scale == 0] = 1.0
    return ((x / step).add(zero).round() - zero) * step, (weight / scale).round() * scale


@pytest.mark.parametrize("shape", [(5, 33), (2, 3, 33), (1, 1, 33), (129, 33), (0, 33)])
@pytest.mark.parametrize("shift", [0.0, 4.0, -4.0])
@torch.no_grad()
def test_it_is_the_product_of_the_rounded_factors(shape, shift):
    torch.manual_seed(2)
    layer = nn.Linear(33, 20)
    x = 2 * torch.randn(shape) + shift
    found = Int8Linear(layer)(x)
    assert found.shape == (*shape[:-1], 20) and found.dtype == torch.float32
    if not len(x):
        return
    one, other = rounded(x.double(), layer.weight.double())
    expected = one @ other.T + layer.bias
    step = (max(float(x.max()), 0) - min(float(x.min()), 0)) / 254
    # a value that lies between two steps may go to either side in float32
    assert (found - expected).abs().max() <= step * float(other.abs().max()) + 1e-5
    assert ((found - expected).abs() > 1e-4).float().mean() < 0.2
    exact = layer(x)
    assert (found - exact).abs().max() < 0.03 * float(exact.abs().max())


@torch.no_grad()
def test_the_edges_do_not_wrap_around():
    """The largest and the least value stay so, whatever share of the range lies on either side of zero."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.copy_(torch.tensor([[1.0, 0.0]]))
    for low in torch.linspace(-1, 0, 97).tolist():
        x = torch.tensor([[low, 0.0], [1 + low, 0.0]])
        assert torch.allclose(Int8Linear(layer)(x), x[:, :1], atol=1 / 254)


@torch.no_grad()
def test_zeros_and_no_bias():
    layer = nn.Linear(4, 3, bias=False)
    layer.weight[1] = 0.0
    found = Int8Linear(layer)(torch.zeros(2, 4))
    assert torch.equal(found, torch.zeros(2, 3))
    assert torch.equal(Int8Linear(layer)(torch.ones(2, 4))[:, 1], torch.zeros(2))


@pytest.mark.parametrize("cls", [Bert, Gpt2])
@torch.no_grad()
def test_a_model_in_int8_is_near_itself(cls):
    torch.manual_seed(0)
    shape = {"vocab_size": 60, "context": 32, "width": 48, "layers": 3, "heads": 4, "init_std": 0.1}
    config = Gpt2Config(**shape) if cls is Gpt2 else BertConfig(**shape)
    model = cls(config).eval()
    ids = torch.randint(60, (4, 20), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(20) < torch.tensor([20, 3, 11, 7])[:, None]).long()
    exact = model.encode(ids, attention_mask=mask).hidden
    tables = model.token_embedding.weight.clone()
    assert quantize(model) == 3 * 4
    assert not any(isinstance(part, nn.Linear) for block in model.blocks for part in block.modules())
    with torch.autocast("cpu", torch.bfloat16):
        found = model.encode(ids, attention_mask=mask).hidden
    real = mask.bool()
    cosine = torch.nn.functional.cosine_similarity(found[real].float(), exact[real], dim=-1)
    assert 0.98 < float(cosine.min()) < 1 - 1e-5
    assert torch.equal(model.token_embedding.weight, tables)
    assert quantize(model) == 3 * 4  # again: nothing left to do


@torch.no_grad()
def test_a_translator_in_int8_is_near_itself_step_by_step_too():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(60, 32, 48, 2, 1, 4, 96)).eval()
    ids, target = (torch.randint(60, (4, n), generator=torch.Generator().manual_seed(n)) for n in (12, 6))
    exact = model.encode(ids, None, target).hidden
    logits, tables = model.project(exact), model.token_embedding.weight.clone()
    assert quantize(model) == quantize(model) == 2 * 4 + 1 * 7 + 1
    assert torch.equal(model.token_embedding.weight, tables)
    assert 0.999 < float(torch.nn.functional.cosine_similarity(model.project(exact), logits, dim=-1).min()) < 1 - 1e-6
    found = model.encode(ids, None, target).hidden
    cosine = torch.nn.functional.cosine_similarity(found, exact, dim=-1)
    assert 0.98 < float(cosine.min()) < 1 - 1e-5
    cache = model.read_source(ids, slots=6)
    steps = torch.stack([model.step(target[:, place], cache) for place in range(6)], 1)
    assert float(torch.nn.functional.cosine_similarity(steps, exact, dim=-1).min()) > 0.98
