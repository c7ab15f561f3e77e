"""Positions and attention masks from `document_ids`; sinusoidal position vectors.

Letters: B batch, T length, D width. `document_ids` [B, T]: 0 is padding; tokens with the same id form one document.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """`positions` [B, T] of each token; the mask `allowed` [B, 1, T, T], or None where plain causal attention suffices."""

    positions: Tensor
    allowed: Tensor | None


def causal_layout(
    shape: tuple[int, int] | torch.Size,
    device: torch.device,
    *,
    attention_mask: Tensor | None = None,
    document_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
) -> Layout:
    """Positions that restart at each document and count real tokens only, and the causal mask within documents.

    `document_ids` defaults to the attention mask (one document per row), which defaults to ones; if both are given, a masked
    token belongs to no document. `position_ids` [B, T] or [1, T] replaces the positions, not the mask.
    """
    ids = attention_mask if document_ids is None else document_ids
    if document_ids is not None and attention_mask is not None:
        ids = document_ids * attention_mask
    same = None if ids is None else ids[:, :, None] == ids[:, None, :]  # [B, T, T]
    if ids is None or same is None or bool(same.all()):
        positions, allowed = torch.arange(shape[1], device=device).expand(shape), None
    else:
        positions = same.tril(-1).sum(-1) * (ids != 0)  # number of earlier tokens of the same document; padding: 0
        # Padding attends to padding, so that no row of the mask is empty; the result is not used.
        allowed = same.tril()[:, None]
    if position_ids is not None:
        positions = position_ids.expand(shape)
    return Layout(positions, allowed)


ORDERS = ("interleaved", "halves")


def sinusoids(positions: Tensor, width: int, context: int, order: str = "interleaved") -> Tensor:
    """Position vectors [..., D] in float32 of positions [...] below `context` (Vaswani et al. 2017, section 3.5).

    Pair i of the D features is sin and cos of position / 10000^(2i/D). "interleaved": sines and cosines alternate, as in the
    paper; "halves": all sines come before all cosines. Raises IndexError for a position beyond `context`.
    """
    return _sinusoid_table(width, context, order, positions.device)[positions]


@lru_cache(maxsize=8)
def _sinusoid_table(width: int, context: int, order: str, device: torch.device) -> Tensor:
    """[context, D]: computed in float64, cached for the next call."""
    with torch.inference_mode(False):
        feature = torch.arange(width, dtype=torch.float64)
        pair = feature.div(2, rounding_mode="floor")
        angles = torch.arange(context, dtype=torch.float64)[:, None] / 10_000 ** (2 * pair / width)
        table = torch.where(feature % 2 == 0, angles.sin(), angles.cos())
        if order == "halves":
            table = torch.cat([table[:, 0::2], table[:, 1::2]], 1)
        return table.float().to(device)
