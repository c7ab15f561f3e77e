"""The head on the vector of a text with its picture, as LXMERT (Tan & Bansal 2019) and ViLBERT (the authors' code) have it for
questions: dense to twice the width, GELU, norm, dropout, linear. Neither of them has dropout there."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout


class AnswerHead(nn.Module):
    """Vectors [..., D] -> [..., outputs]; initialised as N(0, init_std), biases as 0."""

    def __init__(self, width: int, outputs: int, *, p: float, norm_eps: float, init_std: float):
        super().__init__()
        self.p = p
        self.dense = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(2 * width, eps=norm_eps)
        self.out = nn.Linear(2 * width, outputs)
        self.initialise(init_std)

    @torch.no_grad()
    def initialise(self, init_std: float) -> None:
        """Initialise the weights with torch's generator."""
        for layer in (self.dense, self.out):
            layer.weight.normal_(0.0, init_std)
            layer.bias.zero_()

    def forward(self, rows: Tensor) -> Tensor:
        """[..., D] -> [..., outputs]."""
        return self.out(dropout(self.norm(F.gelu(self.dense(rows))), self.p if self.training else 0.0))

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        return 2 * work.documents() * (self.dense.weight.numel() + self.out.weight.numel())


def answer_head(config: Any, outputs: int, dropout: float) -> AnswerHead:
    """The head for a body of this config, of a model that sees."""
    return AnswerHead(config.joint_width, outputs, p=dropout, norm_eps=config.norm_eps, init_std=config.init_std)
