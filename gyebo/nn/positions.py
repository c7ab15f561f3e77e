"""What belongs together in a batch of rows: positions and attention masks from `document_ids`.

Letters: B batch, T length. `document_ids` [B, T]: 0 is padding; tokens with one id form one document.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Where each token stands: `positions` [B, T]; `allowed` [B, 1, T, T], or None where plain causal attention is enough."""

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
    """Positions that restart at each document and count real tokens only, and the causal mask inside documents.

    `document_ids` defaults to the attention mask (one document a row), that to all ones; both given: a masked token belongs
    to no document. `position_ids` [B, T] or [1, T] replaces the positions, never the mask.
    """
    ids = attention_mask if document_ids is None else document_ids
    if document_ids is not None and attention_mask is not None:
        ids = document_ids * attention_mask
    same = None if ids is None else ids[:, :, None] == ids[:, None, :]  # [B, T, T]
    if ids is None or same is None or bool(same.all()):
        positions, allowed = torch.arange(shape[1], device=device).expand(shape), None
    else:
        positions = same.tril(-1).sum(-1) * (ids != 0)  # how many tokens of my document stand before me; padding: 0
        # Padding sees padding, so that no row of the mask is empty; nobody reads the result.
        allowed = same.tril()[:, None]
    if position_ids is not None:
        positions = position_ids.expand(shape)
    return Layout(positions, allowed)
