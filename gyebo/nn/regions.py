"""Regions of pictures as vectors: a small convolutional network over their pixels, trained with the model that reads them.

Letters: N regions, S side of a crop in pixels, D width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = (16, 32, 64)  # of the three convolutions, each of which halves the sides


class RegionEncoder(nn.Module):
    """Crops of S x S pixels [N, S*S*3] -> [N, D]: three convolutions of 3 x 3 with stride 2 and GELU, then a linear layer
    over what is left of the grid, so that a vector knows where in its crop something is."""

    def __init__(self, side: int, width: int):
        super().__init__()
        self.side = side
        sizes = (3, *CHANNELS)
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(sizes)]
        )
        self.out = nn.Linear(sizes[-1] * self.sides[-1] ** 2, width)

    @property
    def sides(self) -> tuple[int, ...]:
        """The side of the grid after each convolution."""
        found = [self.side]
        for _ in CHANNELS:
            found.append((found[-1] + 1) // 2)
        return tuple(found[1:])

    def forward(self, crops: Tensor) -> Tensor:
        """[N, S*S*3] -> [N, D]."""
        x = crops.unflatten(1, (self.side, self.side, 3)).permute(0, 3, 1, 2)
        for convolution in self.convolutions:
            x = F.gelu(convolution(x))
        return self.out(x.flatten(1))

    def flops(self, regions: float) -> float:
        """FLOPs of a forward pass over so many regions (`gyebo/nn/cost.py`)."""
        products = 0
        for side, convolution in zip(self.sides, self.convolutions):
            products += side**2 * convolution.weight.numel()  # type: ignore[operator, union-attr]
        return 2 * regions * (products + self.out.weight.numel())


def feature_layer(config: Any, width: int) -> nn.Module:
    """The layer that reads features: a matrix, or a convolutional network where a feature is `config.crop` pixels a side."""
    return nn.Linear(config.feature_size, width) if config.crop is None else RegionEncoder(config.crop, width)


def embedding_flops(feature: nn.Module, box: nn.Module, regions: float) -> float:
    """FLOPs of the layers that read the features and the boxes of so many regions."""
    if isinstance(feature, RegionEncoder):
        return feature.flops(regions) + 2 * regions * box.weight.numel()  # type: ignore[union-attr, operator]
    return 2 * regions * (feature.weight.numel() + box.weight.numel())  # type: ignore[union-attr, operator]


def check_crop(crop: int | None, feature_size: int) -> None:
    """ValueError where features are pixels, but are not as many as a crop has."""
    if crop is not None and crop < 1:
        raise ValueError(f"crop must be at least 1, or None where features are given, but is {crop} instead")
    if crop is not None and feature_size != 3 * crop**2:
        raise ValueError(
            f"feature_size must be 3 x crop x crop = {3 * crop**2} where features are pixels, but is {feature_size} instead"
        )


def checked_regions(features: Tensor, boxes: Tensor | None, feature_size: int, box_size: int) -> tuple[Tensor, Tensor]:
    """Features [B, R, F] and boxes [B, R, box_size]; ValueError where they don't fit a model or each other."""
    if features.ndim != 3 or features.shape[2] != feature_size:
        raise ValueError(
            f"visual_feats must be [batch, regions, {feature_size}] (feature_size), but is {list(features.shape)} instead"
        )
    expected = [*features.shape[:2], box_size]
    if boxes is None or list(boxes.shape) != expected:
        found = "missing" if boxes is None else f"{list(boxes.shape)} instead"
        raise ValueError(f"visual_pos must be {expected}, but is {found}")
    return features, boxes
