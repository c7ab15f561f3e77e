"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for the matrices of a model's blocks, AdamW for all else.

The step of a matrix is its momentum made nearly orthogonal, by five Newton-Schulz iterations, so that all directions are
learned alike. It is as long as AdamW's, 0.2 times the rate for an element (Liu et al. 2025, arXiv 2502.16982, section 2.2), so
both have one learning rate. Matrices that stand one above the other, as query, key and value or the gates of a cell do, are
made orthogonal one by one; all of one shape in one product.

`torch.optim.Muon` does the same, matrix after matrix and in bfloat16, which takes 20 to 30 times as long as float32 on a
processor without such products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

ITERATIONS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5; Jordan et al. 2024
MOMENTUM = "momentum_buffer"


class Muon(torch.optim.Optimizer):
    """An optimiser over groups as AdamW's. `matrices`: those that Muon trains, with the number of parts of each. Their state is
    their momentum, that of all other parameters AdamW's."""

    def __init__(
        self,
        groups: list[dict[str, Any]],
        matrices: Mapping[Tensor, int],
        *,
        momentum: float,
        betas: tuple[float, float],
        eps: float,
    ):
        self.matrices, self.momentum = matrices, momentum
        for matrix, parts in matrices.items():
            if len(matrix) % parts:
                raise ValueError(f"a matrix of {len(matrix)} rows has no {parts} equal parts")
        own, rest = _divided(groups, matrices)
        super().__init__([*own, *rest], {"lr": 0.0})
        self.own = len(own)
        self.adamw = torch.optim.AdamW(rest, lr=0.0, betas=betas, eps=eps, fused=True) if rest else None
        if self.adamw:
            self.state = self.adamw.state

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups[: self.own]:
            alike: dict[tuple[int, int], list[Tensor]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault((len(matrix) // self.matrices[matrix], matrix.shape[1]), []).append(matrix)
            for shape, matrices in alike.items():
                self._update(matrices, shape, group)
        if self.adamw:
            for group, ours in zip(self.adamw.param_groups, self.param_groups[self.own :], strict=True):
                group["lr"] = ours["lr"]
            self.adamw.step()

    def _update(self, matrices: list[Tensor], shape: tuple[int, int], group: dict[str, Any]) -> None:
        """A step of matrices whose parts have one shape [m, n]: decay, then the orthogonal momentum, after Nesterov."""
        moved = []
        for matrix in matrices:
            assert matrix.grad is not None
            if MOMENTUM not in self.state[matrix]:
                self.state[matrix][MOMENTUM] = torch.zeros_like(matrix)
            mean = self.state[matrix][MOMENTUM].lerp_(matrix.grad, 1 - self.momentum)
            moved.append(matrix.grad.lerp(mean, self.momentum).view(-1, *shape))
        length = group["lr"] * 0.2 * max(shape) ** 0.5
        steps = orthogonal(torch.cat(moved)).split([len(part) for part in moved])
        for matrix, step in zip(matrices, steps):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(step.reshape_as(matrix), alpha=-length)


def _divided(groups: list[dict[str, Any]], matrices: Mapping[Tensor, int]) -> tuple[list[dict[str, Any]], ...]:
    """The groups of Muon's matrices, and those of all other parameters."""
    sides: tuple[list[dict[str, Any]], ...] = ([], [])
    for group in groups:
        for side, wanted in zip(sides, (True, False), strict=True):
            if params := [p for p in group["params"] if (p in matrices) == wanted]:
                side.append({**group, "params": params})
    return sides


def orthogonal(x: Tensor) -> Tensor:
    """The nearly orthogonal matrix next to each of [S, m, n], all of whose singular values come to lie about 1."""
    a, b, c = COEFFICIENTS
    found = x.to(_precision(x.device))
    wide = x.shape[1] <= x.shape[2]
    found = found if wide else found.mT
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return (found if wide else found.mT).to(x.dtype)


def _precision(device: torch.device) -> torch.dtype:
    """bfloat16, as the iteration forgives rounding; not on a CPU, many of which have no such products."""
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def update_flops(matrices: Mapping[Tensor, int]) -> float:
    """FLOPs of the Newton-Schulz iterations of a step: of a part [m, n] with m <= n, X X' and its product with X, 2 m^2 n each,
    and the square of X X', 2 m^3, in every iteration."""
    total = 0.0
    for matrix, parts in matrices.items():
        short, long = sorted((matrix.shape[0] // parts, matrix.shape[1]))
        total += parts * ITERATIONS * (4 * short**2 * long + 2 * short**3)
    return total
