"""The input of a head on a body whose layers are features: a learned weighted sum of them, or one layer (Peters et al. 2018,
3.2).

Letters: B batch, T length, D width, K layers, including the token vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gyebo.nn.outputs import Encoded
from gyebo.tasks.heads.styles import layers_are_features

MIX, STATIC, TOP = LAYERS = ("mix", "static", "top")
"""A learned weighted sum of the layers; the token vectors without context; the last layer."""


class Mix(nn.Module):
    """gain * sum over k of softmax(scores)_k * layer_k: K + 1 parameters. Initialised as the mean."""

    def __init__(self, layers: int):
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """K of [B, T, D] -> [B, T, D]."""
        weights = self.gain * self.scores.softmax(0)
        return torch.stack([weight * layer for weight, layer in zip(weights, layers, strict=True)]).sum(0)


def check_layers(style: str, layers: str | None) -> str | None:
    """The input of a head of this style: "mix" by default, None for styles without a choice. Raises ValueError for an unknown
    choice, or one for a style without."""
    if not layers_are_features(style):
        if layers is not None:
            raise ValueError(f"layers={layers} is for models whose layers are features (ELMo): leave it out")
        return None
    if layers is not None and layers not in LAYERS:
        raise ValueError(f"layers must be one of {', '.join(LAYERS)}, but is {layers} instead")
    return layers or MIX


def make_mix(layers: str | None, config: Any) -> Mix | None:
    """The weighted sum for a body of this config; None if `layers` is not "mix"."""
    return Mix(config.layers + 1) if layers == MIX else None


def read_layers(body: Any, layers: str | None, mix: Mix | None, inputs: dict[str, Any]) -> tuple[Tensor, Encoded]:
    """The input of a head [B, T, D], and the body's output, computed no further than needed."""
    if mix is not None:
        encoded = body.encode(**inputs | {"return_layers": True})
        return mix(encoded.layers), encoded
    encoded = body.encode(**inputs, **({"depth": 0} if layers == STATIC else {}))
    return encoded.hidden, encoded
