"""The position-wise feed-forward network and its activations."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _gelu_tanh(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # the exact form with erf (Hendrycks & Gimpel 2016)
    "gelu_tanh": _gelu_tanh,  # the approximation in GPT, GPT-2 and Google's BERT
    "quick_gelu": _quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class FeedForward(nn.Module):
    """Two linear layers with an activation between ("Attention Is All You Need", section 3.3); [..., D] -> [..., D]."""

    def __init__(self, width: int, inner: int, activation: str):
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] -> [..., inner] -> [..., width]."""
        return self.down(self.activation(self.up(x)))


def networks_in(module: nn.Module) -> dict[str, FeedForward]:
    """The feed-forward networks within a module, by their names in it."""
    return {name: part for name, part in module.named_modules() if isinstance(part, FeedForward)}
