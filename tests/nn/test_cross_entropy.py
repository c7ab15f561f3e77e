"""The chunked loss against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from gyebo.nn import cross_entropy
from gyebo.nn.cross_entropy import cross_entropy_each, cross_entropy_sum


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 7 * 31, 1 << 24])
def test_sum_and_gradients_equal_torch(monkeypatch, bias, chunk):
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", chunk)
    torch.manual_seed(0)
    x, w = torch.randn(23, 5, requires_grad=True), torch.randn(31, 5, requires_grad=True)
    b = torch.randn(31, requires_grad=True) if bias else None
    labels = torch.randint(31, (23,))
    ours = cross_entropy_sum(x, w, b, labels)
    (ours * 0.3).backward()
    got = [t.grad.clone() for t in (x, w, b) if t is not None]
    for t in (x, w, b):
        if t is not None:
            t.grad = None
    theirs = F.cross_entropy(F.linear(x, w, b), labels, reduction="sum")
    (theirs * 0.3).backward()
    torch.testing.assert_close(ours, theirs)
    for a, t in zip(got, [t for t in (x, w, b) if t is not None]):
        torch.testing.assert_close(a, t.grad, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        cross_entropy_each(x, w, b, labels), F.cross_entropy(F.linear(x, w, b), labels, reduction="none")
    )


def test_huge_logits_stay_finite():
    x, w = torch.full((2, 1), 1e4), torch.tensor([[1.0], [-1.0]])
    assert cross_entropy_sum(x, w, None, torch.tensor([0, 1])).item() == pytest.approx(2e4)


def test_half_precision_is_close():
    torch.manual_seed(0)
    x, w = torch.randn(64, 32, requires_grad=True), (0.1 * torch.randn(100, 32)).requires_grad_()
    labels = torch.randint(100, (64,))
    exact = cross_entropy_sum(x, w, None, labels)
    exact.backward()
    grads = x.grad.clone(), w.grad.clone()
    x.grad = w.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        half = cross_entropy_sum(x, w, None, labels)
    half.backward()
    assert half.dtype == x.grad.dtype == w.grad.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=5e-3)
    for a, b in zip(grads, (x.grad, w.grad)):
        assert (a - b).norm() / a.norm() < 0.02


def test_no_rows():
    w = torch.randn(4, 3, requires_grad=True)
    total = cross_entropy_sum(torch.zeros(0, 3), w, None, torch.zeros(0, dtype=torch.long))
    total.backward()
    assert total.item() == 0 and w.grad.abs().sum() == 0
