"""Normalisation by the root of the mean square (Zhang & Sennrich 2019): no mean and no bias.

Letters: D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """[..., D] -> [..., D] in the dtype of its weight; the mean square is computed in float32 whatever the input's."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Each vector times gain / sqrt(mean square + eps)."""
        if x.dtype == self.weight.dtype:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return self.weight * F.rms_norm(x.float(), self.weight.shape, None, self.eps).to(self.weight.dtype)
