"""Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for the matrices of a model's blocks, AdamW for all else.

The step of a matrix is its momentum made nearly orthogonal, by five Newton-Schulz iterations in bfloat16, so that all
directions are learned alike. It is as long as AdamW's, 0.2 times the rate for an element (Liu et al. 2025, arXiv 2502.16982,
section 2.2), so both have one learning rate. Matrices that stand one above the other, as query, key and value or the gates of
a cell do, are made orthogonal one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

ITERATIONS = 5
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
        self.matrices = matrices
        sides: tuple[list[dict[str, Any]], ...] = ([], [])
        for group in groups:
            for side, wanted in zip(sides, (True, False), strict=True):
                if params := [p for p in group["params"] if (p in matrices) == wanted]:
                    side.append({**group, "params": params})
        super().__init__([group for side in sides for group in side], {"lr": 0.0})
        own, rest = sides
        self.parts = {p: [nn.Parameter(part) for part in _cut(p, matrices[p])] for group in own for p in group["params"]}
        inner: list[torch.optim.Optimizer] = []
        if own:
            cut = [{**group, "params": [part for p in group["params"] for part in self.parts[p]]} for group in own]
            settings: dict[str, Any] = {"ns_steps": ITERATIONS, "adjust_lr_fn": "match_rms_adamw"}
            inner.append(torch.optim.Muon(cut, lr=0.0, momentum=momentum, **settings))
        if rest:
            inner.append(torch.optim.AdamW(rest, lr=0.0, betas=betas, eps=eps, fused=True))
            self.state = inner[-1].state
        self.inner = inner

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        rates = iter(self.param_groups)
        for optimizer in self.inner:
            for group in optimizer.param_groups:
                group["lr"] = next(rates)["lr"]
        if self.parts:
            self._show_parts()
        for optimizer in self.inner:
            optimizer.step()

    def _show_parts(self) -> None:
        """Let each part be its rows of the matrix, of the gradient and of the momentum: views, made anew, as any may be
        replaced between two steps."""
        for matrix, parts in self.parts.items():
            count = len(parts)
            if matrix.grad is not None and MOMENTUM not in self.state[matrix]:
                self.state[matrix][MOMENTUM] = torch.zeros_like(matrix)
            grads = [None] * count if matrix.grad is None else _cut(matrix.grad, count)
            for part, rows, grad in zip(parts, _cut(matrix.detach(), count), grads, strict=True):
                part.data, part.grad = rows, grad
            if MOMENTUM in self.state[matrix]:
                for part, rows in zip(parts, _cut(self.state[matrix][MOMENTUM], count), strict=True):
                    self.inner[0].state[part][MOMENTUM] = rows


def _cut(matrix: Tensor, parts: int) -> list[Tensor]:
    """Its parts, as views."""
    if len(matrix) % parts:
        raise ValueError(f"a matrix of {len(matrix)} rows has no {parts} equal parts")
    return list(matrix.detach().chunk(parts))


def update_flops(matrices: Mapping[Tensor, int]) -> float:
    """FLOPs of the Newton-Schulz iterations of a step: of a part [m, n] with m <= n, X X' and its product with X, 2 m^2 n each,
    and the square of X X', 2 m^3, in every iteration."""
    total = 0.0
    for matrix, parts in matrices.items():
        short, long = sorted((matrix.shape[0] // parts, matrix.shape[1]))
        total += parts * ITERATIONS * (4 * short**2 * long + 2 * short**3)
    return total
