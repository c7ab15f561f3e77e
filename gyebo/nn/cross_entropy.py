"""Cross-entropy over a vocabulary without ever holding all logits: the projection, the loss and both gradients chunk by chunk.

Letters: N rows, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 24  # logits held at a time: large enough for fast matrix products, small enough for the caches


class _ProjectedCrossEntropy(torch.autograd.Function):
    """Sum of -log softmax(x W^T + b)[label]; the gradients are made in the forward pass, where the logits are at hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, dtype: torch.dtype) -> Tensor:
        rows, matrix = x.to(dtype), weight.to(dtype)
        shift = None if bias is None else bias.to(dtype)
        needs = ctx.needs_input_grad
        dx = torch.empty_like(rows) if needs[0] else None
        dweight = torch.zeros_like(weight) if needs[1] else None
        dbias = torch.zeros_like(bias) if bias is not None and needs[2] else None
        total = torch.zeros((), dtype=torch.float32, device=x.device)
        size = max(1, CHUNK_ELEMENTS // weight.shape[0])
        for start in range(0, len(rows), size):
            part, target = rows[start : start + size], labels[start : start + size, None]
            logits = torch.nn.functional.linear(part, matrix, shift).float()  # [n, V]
            top = logits.amax(1, keepdim=True)
            chosen = logits.gather(1, target)
            scale = logits.sub_(top).exp_().sum(1, keepdim=True)
            total += (scale.log() + top - chosen).sum()
            if not any(needs[:3]):
                continue
            slope = logits.div_(scale)  # softmax, less one at the label
            slope.scatter_add_(1, target, torch.full_like(target, -1, dtype=slope.dtype))
            if dbias is not None:
                dbias += slope.sum(0)
            slope = slope.to(dtype)
            if dx is not None:
                torch.mm(slope, matrix, out=dx[start : start + size])
            if dweight is not None:
                dweight += slope.T @ part
        ctx.save_for_backward(dx, dweight, dbias)
        ctx.dtypes = (x.dtype, weight.dtype)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dx, dweight, dbias = ctx.saved_tensors
        grad = grads[0]
        return (
            None if dx is None else (dx * grad).to(ctx.dtypes[0]),
            None if dweight is None else dweight * grad,
            None if dbias is None else dbias * grad,
            None,
            None,
        )


def cross_entropy_sum(x: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Sum over the rows of -ln p(label), p = softmax(x weight^T + bias): x [N, D], weight [V, D], bias [V], labels [N].

    Matrix products run in autocast's type where it is on; the softmax and the sum are float32. Backward works once.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    with torch.autocast(device, enabled=False):
        return _ProjectedCrossEntropy.apply(x, weight, bias, labels, dtype)


@torch.no_grad()
def cross_entropy_each(x: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """-ln p(label) of each row [N], in float32; arguments as in `cross_entropy_sum`."""
    size = max(1, CHUNK_ELEMENTS // weight.shape[0])
    losses = [
        torch.nn.functional.cross_entropy(
            torch.nn.functional.linear(x[i : i + size], weight, bias).float(), labels[i : i + size], reduction="none"
        )
        for i in range(0, len(x), size)
    ]
    return torch.cat(losses) if losses else torch.zeros(0)
