"""Every attention path against the naive one."""

import pytest
import torch

from gyebo.nn.attention import attend, causal_mask, weigh
from gyebo.nn.positions import causal_layout

CASES = ["causal", "mask", "free", "one query", "few queries", "scaled", "bias", "causal bias", "masked bias"]


@pytest.mark.parametrize("case", CASES)
def test_back_ends_equal_the_equation(case):
    torch.manual_seed(0)
    B, H, T, K = 2, 3, 9, 8
    query, key, value = torch.randn(B, H, T, K), torch.randn(B, H, T, K), torch.randn(B, H, T, K)
    options = {"causal": "causal" in case}
    if "mask" in case:
        options["allowed"] = torch.rand(B, 1, T, T) > 0.5
        options["allowed"] |= torch.eye(T, dtype=torch.bool)
    if case == "one query":
        query = query[:, :, -1:]
    if case == "few queries":
        query = query[:, :, -4:]
    if case == "scaled":
        options["scale"] = 0.7
    if "bias" in case:
        options["bias"] = torch.randn(H, T, T)
    visible = options.get("allowed")
    if "causal" in case:
        visible = torch.ones(T, T).tril().bool()
    scores = torch.einsum("bhtk,bhsk->bhts", query.double(), key.double()) * options.get("scale", K**-0.5)
    scores = scores + options.get("bias", 0.0)
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    expected = torch.einsum("bhts,bhsk->bhtk", scores.softmax(-1), value.double()).float()
    torch.testing.assert_close(attend(query, key, value, **options), expected, atol=1e-5, rtol=1e-5)
    mixed, weights = weigh(query, key, value, **options)
    torch.testing.assert_close(mixed, expected, atol=1e-5, rtol=1e-5)
    half = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), upcast=True, **options)
    torch.testing.assert_close(half.float(), expected, atol=0.05, rtol=0.05)
    torch.testing.assert_close(weights.double(), scores.softmax(-1), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize("half", [False, True])
def test_a_cache_in_float32_is_read_in_float32(queries, half):
    """Under autocast too: what comes out is the float32 result, rounded once."""
    torch.manual_seed(0)
    query = torch.randn(2, 3, queries, 8).bfloat16()
    key, value = torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    expected = attend(query.float(), key, value)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        found = attend(query, key, value)
    torch.testing.assert_close(found, expected.bfloat16(), atol=0, rtol=2**-7)  # one step of bfloat16
    assert (found != expected.bfloat16()).float().mean() < 0.05


def test_dropout_keeps_the_mean_and_drops_weights():
    torch.manual_seed(0)
    query = key = torch.zeros(1, 1, 4000, 2)
    value = torch.ones(1, 1, 4000, 2)
    mixed = attend(query, key, value, dropout=0.25)
    assert mixed.mean().item() == pytest.approx(1.0, abs=0.01)
    assert mixed.std() > 0


def test_positions_restart_and_count_real_tokens_only():
    cpu = torch.device("cpu")
    ids = torch.tensor([[1, 1, 1, 2, 2, 0], [0, 3, 3, 3, 3, 3]])
    layout = causal_layout(ids.shape, cpu, document_ids=ids)
    assert layout.positions[0, :5].tolist() == [0, 1, 2, 0, 1]
    assert layout.positions[1, 1:].tolist() == [0, 1, 2, 3, 4]
    expected = (ids[:, :, None] == ids[:, None, :]) & causal_mask(6)
    assert torch.equal(layout.allowed[:, 0], expected)
    padded = causal_layout((1, 4), cpu, attention_mask=torch.tensor([[0, 0, 1, 1]]))
    assert padded.positions[0, 2:].tolist() == [0, 1]
    assert causal_layout((2, 5), cpu, attention_mask=torch.ones(2, 5)).allowed is None
