"""Cross-entropy over a vocabulary without storing all logits: projection, loss and both gradients are computed in chunks.

Letters: N rows, D width, V vocabulary.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from gyebo.nn.adaptive import Clusters

# Number of logits of a chunk: a hundred megabytes at most, more on an accelerator. On a CPU, with no more rows than the matrix
# has columns, the logits are no larger than the matrix itself and stay in the cache, where a pass over them is cheap.
CHUNK_ELEMENTS = 1 << 25
ACCELERATED = 8
FEWEST = 128  # rows, for fast matrix products


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Sum of -log softmax(x W^T + b)[label]; gradients are computed in the forward pass, while the logits are available.

    With smoothing e the label has probability 1 - e, and all V ids share the rest. The additional term is linear in the logits,
    whose mean is the product of a row with the mean row of the matrix: it needs no pass over [n, V]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, smoothing: float, dtype: torch.dtype
    ) -> Tensor:
        rows, matrix = x.to(dtype), weight.to(dtype)
        shift = None if bias is None else bias.to(dtype)
        needs = ctx.needs_input_grad
        dx = torch.empty_like(rows) if needs[0] else None
        dweight = torch.zeros_like(weight) if needs[1] and not len(rows) else None
        dbias = torch.zeros_like(bias) if bias is not None and needs[2] else None
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        for start, end in chunks(len(rows), weight):
            part, target = rows[start:end], labels[start:end, None]
            logits = torch.nn.functional.linear(part, matrix, shift)  # [n, V]
            p = logits.softmax(1, dtype=torch.float32)
            # The largest probability is exp(0) / sum: the logarithm of the sum without another pass of exponentials.
            log_sum = logits.amax(1, keepdim=True).float() - p.amax(1, keepdim=True).log()
            total += (log_sum - (1 - smoothing) * logits.gather(1, target).float()).sum()
            if not any(needs[:3]):
                continue
            # The gradient of the logits: p minus the target, which is 1 - e at the label; e/V everywhere is added below.
            p.scatter_add_(1, target, torch.full_like(target, smoothing - 1, dtype=p.dtype))
            if dbias is not None:
                dbias += p.sum(0)
            slope = p.to(dtype)
            if dx is not None:
                torch.mm(slope, matrix, out=dx[start:end])
            if needs[1]:
                product = slope.T @ part
                dweight = product.to(weight.dtype) if dweight is None else dweight.add_(product)
        if smoothing and len(rows):
            summed, mean = rows.sum(0, dtype=torch.float32), weight.mean(0, dtype=torch.float32)
            total -= smoothing * (summed @ mean)
            for gradient, slope in ((dx, mean), (dweight, summed / len(weight))):
                if gradient is not None:
                    gradient.sub_(smoothing * slope.to(gradient.dtype))
            if bias is not None:
                total -= smoothing * len(rows) * bias.mean(dtype=torch.float32)
            if dbias is not None:
                dbias -= smoothing * len(rows) / len(weight)
        ctx.gradients, ctx.dtype = (dx, dweight, dbias), x.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dx, dweight, dbias = (None if g is None else g.mul_(grads[0]) for g in ctx.gradients)
        ctx.gradients = None  # scaled in place: backward works once
        return None if dx is None else dx.to(ctx.dtype), dweight, dbias, None, None, None


Layer = tuple[Tensor, Tensor, Tensor | None]
"""Rows [N, D] before an output layer, its matrix [V, D] and bias [V]."""


class _SoftCrossEntropy(torch.autograd.Function):
    """Sum of KL(p || q) with p, q = softmax(logits / temperature); gradients as in `_ProjectedCrossEntropy`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, teacher: Layer, temperature: float, dtype: torch.dtype
    ) -> Tensor:
        rows, matrix, shift = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
        shift_p = None if teacher[2] is None else teacher[2].to(dtype)
        fixed = teacher[0].to(dtype), teacher[1].to(dtype), shift_p
        needs = ctx.needs_input_grad
        dx = torch.zeros_like(rows) if needs[0] else None
        dweight = torch.zeros_like(weight) if needs[1] else None
        dbias = torch.zeros_like(bias) if bias is not None and needs[2] else None
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        for start, end in chunks(len(rows), weight):
            part = rows[start:end]
            student = torch.nn.functional.linear(part, matrix, shift)
            target = torch.nn.functional.linear(fixed[0][start:end], fixed[1], fixed[2])
            log_q, log_p = ((logits.float() / temperature).log_softmax(1) for logits in (student, target))
            total += torch.nn.functional.kl_div(log_q, log_p, reduction="sum", log_target=True)
            if not any(needs[:3]):
                continue
            slope = (log_q.exp_() - log_p.exp_()).div_(temperature)
            if dbias is not None:
                dbias += slope.sum(0)
            slope = slope.to(dtype)
            if dx is not None:
                torch.mm(slope, matrix, out=dx[start:end])
            if dweight is not None:
                dweight += slope.T @ part
        ctx.gradients, ctx.dtype = (dx, dweight, dbias), x.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dx, dweight, dbias = (None if g is None else g.mul_(grads[0]) for g in ctx.gradients)
        ctx.gradients = None  # scaled in place: backward works once
        return None if dx is None else dx.to(ctx.dtype), dweight, dbias, None, None, None


def soft_cross_entropy_sum(student: Layer, teacher: Layer, temperature: float) -> Tensor:
    """Sum over the rows of KL(teacher || student), both at `temperature` (Hinton et al. 2015).

    student, teacher: rows [N, D], matrix [V, D], bias [V]; the two may differ in D. The teacher gets no gradient. Dtypes as in
    `cross_entropy_sum`. Backward works once.
    """
    device = student[0].device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else student[1].dtype
    fixed = tuple(part if part is None else part.detach() for part in teacher)
    with torch.autocast(device, enabled=False):
        return _SoftCrossEntropy.apply(*_without_gradient(student), fixed, temperature, dtype)


def chunks(rows: int, weight: Tensor) -> list[tuple[int, int]]:
    """Chunks of rows (first, last + 1) of equal size, whose logits with a matrix [V, D] are stored at a time."""
    vocab_size, width = weight.shape
    on_cpu = weight.device.type == "cpu"
    limit = min(CHUNK_ELEMENTS, max(width, FEWEST) * vocab_size) if on_cpu else CHUNK_ELEMENTS * ACCELERATED
    count = max(1, -(-rows * vocab_size // limit))
    bounds = [rows * i // count for i in range(count + 1)]
    return [(a, b) for a, b in pairwise(bounds) if b > a]


def cross_entropy_sum(
    x: Tensor, weight: Tensor | Clusters, bias: Tensor | None, labels: Tensor, *, smoothing: float = 0.0
) -> Tensor:
    """Sum over the rows of -ln p(label), p = softmax(x weight^T + bias): x [N, D], weight [V, D], bias [V], labels [N]; for
    `Clusters` the p of an adaptive softmax, where each matrix is multiplied with the rows of its labels alone.

    `smoothing` e (Szegedy et al. 2016, section 7): (1 - e) times that and e times the mean of -ln p over all V ids; ValueError
    where these are in several clusters. Matrix products are in the dtype of autocast if it is on; the softmax and the sum are
    in float32. Backward works once.
    """
    if isinstance(weight, Clusters):
        if smoothing and len(weight.parts) > 1:
            raise ValueError(f"smoothing={smoothing:g} is not defined for an adaptive softmax: leave it out")
        return weight.sum(x, labels, partial(cross_entropy_sum, smoothing=smoothing))
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    with torch.autocast(device, enabled=False):
        return _ProjectedCrossEntropy.apply(*_without_gradient((x, weight, bias)), labels, smoothing, dtype)


def _without_gradient(layer: Layer) -> Layer:
    """The layer, detached under `no_grad`, which an autograd function cannot see."""
    if torch.is_grad_enabled():
        return layer
    x, weight, bias = layer
    return x.detach(), weight.detach(), None if bias is None else bias.detach()


@torch.no_grad()
def cross_entropy_each(x: Tensor, weight: Tensor | Clusters, bias: Tensor | None, labels: Tensor) -> Tensor:
    """-ln p(label) of each row [N], in float32; arguments as in `cross_entropy_sum`."""
    if isinstance(weight, Clusters):
        return weight.each(x, labels, cross_entropy_each)
    losses = [
        torch.nn.functional.cross_entropy(
            torch.nn.functional.linear(x[a:b], weight, bias).float(), labels[a:b], reduction="none"
        )
        for a, b in chunks(len(x), weight)
    ]
    return torch.cat(losses) if losses else torch.zeros(0, device=x.device)
