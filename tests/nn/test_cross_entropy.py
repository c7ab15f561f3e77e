"""The chunked loss against torch's own."""

import pytest
import torch
import torch.nn.functional as F

from gyebo.nn import cross_entropy
from gyebo.nn.cross_entropy import cross_entropy_each, cross_entropy_sum, soft_cross_entropy_sum


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 7 * 31, 1 << 24])
def test_sum_and_gradients_equal_torch(monkeypatch, bias, chunk, smoothing):
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", chunk)
    torch.manual_seed(0)
    x, w = torch.randn(23, 5, requires_grad=True), torch.randn(31, 5, requires_grad=True)
    b = torch.randn(31, requires_grad=True) if bias else None
    labels = torch.randint(31, (23,))
    ours = cross_entropy_sum(x, w, b, labels, smoothing=smoothing)
    (ours * 0.3).backward()
    got = [t.grad.clone() for t in (x, w, b) if t is not None]
    for t in (x, w, b):
        if t is not None:
            t.grad = None
    theirs = F.cross_entropy(F.linear(x, w, b), labels, reduction="sum", label_smoothing=smoothing)
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


def test_on_a_cpu_logits_are_held_for_as_many_rows_as_the_matrix_has_columns():
    torch.manual_seed(0)
    x, w = torch.randn(300, 8, requires_grad=True), torch.randn(31, 8, requires_grad=True)
    labels = torch.randint(31, (300,))
    parts = cross_entropy.chunks(300, w)
    assert parts == [(0, 100), (100, 200), (200, 300)]  # a few columns: 128 rows at most
    assert [b - a for a, b in cross_entropy.chunks(1024, torch.empty(31, 512))] == [512, 512]
    with torch.autocast("cpu", torch.bfloat16):
        cross_entropy_sum(x, w, None, labels, smoothing=0.5).backward()
    got = [t.grad.clone() for t in (x, w)]
    x.grad = w.grad = None
    F.cross_entropy(F.linear(x, w), labels, reduction="sum", label_smoothing=0.5).backward()
    for a, t in zip(got, (x, w)):
        assert float((a - t.grad).norm() / t.grad.norm()) < 2e-2  # bfloat16 has 8 bits


def soft_by_formula(student, teacher, temperature):
    q, p = (torch.log_softmax(F.linear(*layer) / temperature, 1) for layer in (student, teacher))
    return (p.exp() * (p - q)).sum()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk", [1, 7 * 31, 1 << 24])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_soft_sum_and_gradients_equal_the_formula(monkeypatch, bias, chunk, temperature):
    monkeypatch.setattr(cross_entropy, "CHUNK_ELEMENTS", chunk)
    torch.manual_seed(0)
    student = [torch.randn(23, 5), torch.randn(31, 5), torch.randn(31) if bias else None]
    teacher = [torch.randn(23, 9, requires_grad=True), torch.randn(31, 9), torch.randn(31)]
    for tensor in student:
        if tensor is not None:
            tensor.requires_grad_()
    known = [tensor for tensor in student if tensor is not None]
    ours = soft_cross_entropy_sum(tuple(student), tuple(teacher), temperature)
    (ours * 0.3).backward()
    got = [tensor.grad.clone() for tensor in known]
    assert teacher[0].grad is None
    for tensor in known:
        tensor.grad = None
    theirs = soft_by_formula(student, [tensor.detach() for tensor in teacher], temperature)
    (theirs * 0.3).backward()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for found, tensor in zip(got, known):
        torch.testing.assert_close(found, tensor.grad, atol=1e-5, rtol=1e-4)


def test_a_student_that_says_the_same_has_nothing_to_learn():
    torch.manual_seed(0)
    rows, weight = torch.randn(8, 4, requires_grad=True), torch.randn(11, 4, requires_grad=True)
    total = soft_cross_entropy_sum((rows, weight, None), (rows, weight, None), 2.0)
    total.backward()
    assert abs(total.item()) < 1e-5 and float(rows.grad.abs().max()) < 1e-5 and float(weight.grad.abs().max()) < 1e-5


def test_soft_half_precision_is_close_and_no_rows_are_nothing():
    torch.manual_seed(0)
    rows, weight = torch.randn(64, 32, requires_grad=True), (0.3 * torch.randn(100, 32)).requires_grad_()
    teacher = (torch.randn(64, 32), 0.3 * torch.randn(100, 32), torch.randn(100))
    exact = soft_cross_entropy_sum((rows, weight, None), teacher, 2.0)
    exact.backward()
    grads = rows.grad.clone(), weight.grad.clone()
    rows.grad = weight.grad = None
    with torch.autocast("cpu", torch.bfloat16):
        half = soft_cross_entropy_sum((rows, weight, None), teacher, 2.0)
    half.backward()
    assert half.dtype == rows.grad.dtype == weight.grad.dtype == torch.float32
    assert half.item() == pytest.approx(exact.item(), rel=0.02)
    for a, b in zip(grads, (rows.grad, weight.grad)):
        assert (a - b).norm() / a.norm() < 0.05
    nothing = soft_cross_entropy_sum((torch.zeros(0, 32), weight, None), (torch.zeros(0, 32), *teacher[1:]), 2.0)
    nothing.backward()
    assert nothing.item() == 0
