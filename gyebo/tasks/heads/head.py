"""The layers of a head, made from its specification."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.tasks.heads.concat_pooling import ConcatHead
from gyebo.tasks.heads.styles import EVERY, JOINT, WINDOWS, HeadSpec
from gyebo.tasks.kinds.kind import HeadForm

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu, "gelu": F.gelu}


class Head(nn.Module):
    """One or two linear layers on rows [..., D]; initialised as N(0, init_std), biases as 0."""

    def __init__(self, spec: HeadSpec, width: int, outputs: int, *, p: float, init_std: float):
        super().__init__()
        self.spec, self.p = spec, p
        self.dense = nn.Linear(width, width) if spec.activation else None
        self.out = nn.Linear(width, outputs, bias=spec.bias)
        self.initialise(init_std)

    @torch.no_grad()
    def initialise(self, init_std: float) -> None:
        """Initialise the weights with torch's generator."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.normal_(0.0, init_std)
                if layer.bias is not None:
                    layer.bias.zero_()

    def forward(self, rows: Tensor) -> Tensor:
        """[..., D] -> [..., outputs]."""
        p = self.p if self.training else 0.0
        if self.dense is not None:
            assert self.spec.activation
            rows = dropout(rows, p) if self.spec.dropout_before else rows
            rows = _ACTIVATIONS[self.spec.activation](self.dense(rows))
        return self.out(dropout(rows, p) if self.spec.dropout_between else rows)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        rows = work.places() if self.spec.pooling == EVERY else work.documents()
        return 2 * rows * sum(layer.weight.numel() for layer in (self.dense, self.out) if layer is not None)


def make_head(form: HeadForm, style: str, config: Any, *, labels: int, dropout: float) -> nn.Module:
    """A newly initialised head for a body of this config (`width`, `init_std`). `labels`: their number, if they have names."""
    outputs = labels if form.outputs is None else form.outputs
    if form.build is not None:
        return form.build(config, outputs, dropout)
    if reads_windows(form, style):
        return ConcatHead(config.width, outputs, dropout, config.init_std)
    return Head(form.specs[style], config.width, outputs, p=dropout, init_std=config.init_std)


def reads_pooled(form: HeadForm, style: str) -> bool:
    """Whether the head reads the output of the body's pooler."""
    return form.specs[style].pooling == "pooled"


def needs_pooler(form: HeadForm, style: str, body: Any) -> bool:
    """Whether the body's pooler is kept: the head reads its output, or the vector of text and picture, which it may make."""
    return reads_pooled(form, style) or (form.specs[style].pooling == JOINT and body.has_pooler)


def reads_windows(form: HeadForm, style: str) -> bool:
    """Whether texts are read in windows, with batch normalization (`gyebo/tasks/heads/concat_pooling.py`)."""
    return form.build is None and form.specs[style].pooling == WINDOWS
