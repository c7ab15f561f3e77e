"""What a task reads of a body whose layers are features: a mixture of its own of all of them, or one (Peters et al. 2018, 3.2).

Letters: B batch, T length, D width, K layers, the token's vector among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.nn.outputs import Encoded
from gyebo.tasks.heads.styles import layers_are_features

MIX, STATIC, TOP = LAYERS = ("mix", "static", "top")
"""A learned mixture; the token's vector alone, whatever stands beside it; the last layer alone."""


class Mix(nn.Module):
    """gain * sum over k of softmax(scores)_k * layer_k: K + 1 numbers. Starts as the plain mean."""

    def __init__(self, layers: int):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """K of [B, T, D] -> [B, T, D]."""
        shares = self.gain * self.scores.softmax(0)
        return torch.stack([share * layer for share, layer in zip(shares, layers, strict=True)]).sum(0)


def check_layers(style: str, layers: str | None) -> str | None:
    """What a head of this style reads: "mix" unless otherwise asked, None where there is no choice. Raises ValueError for a
    choice that it has not."""
    if not layers_are_features(style):
        if layers is not None:
            raise ValueError(f"layers = {layers!r} is for models whose layers are features (ELMo): leave it out")
        return None
    if layers is not None and layers not in LAYERS:
        raise ValueError(f"layers must be one of {', '.join(LAYERS)}, but is {layers!r} instead")
    return layers or MIX


def make_mix(layers: str | None, config: Any) -> Mix | None:
    """The mixture of a body of this config, where there is one."""
    return Mix(config.layers + 1) if layers == MIX else None


def read_layers(body: Any, layers: str | None, mix: Mix | None, inputs: dict[str, Any]) -> tuple[Tensor, Encoded]:
    """What a head reads of a body [B, T, D], and all that the body gave; nothing is computed beyond it."""
    if mix is not None:
        encoded = body.encode(**inputs | {"return_layers": True})
        return mix(encoded.layers), encoded
    encoded = body.encode(**inputs, **({"depth": 0} if layers == STATIC else {}))
    return encoded.hidden, encoded
