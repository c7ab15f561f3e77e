"""Pooling: hidden states [B, T, D] to one vector per row [B, D]; padding may be anywhere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gyebo.nn.ragged import first_tokens


def first_token(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """[B, T, D] -> [B, D], each row's first real token; without a mask the first position."""
    return first_tokens(hidden, None if attention_mask is None else attention_mask != 0)


def last_token(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """[B, T, D] -> [B, D], each row's last real token; without a mask the last position."""
    if attention_mask is None:
        return hidden[:, -1]
    last = hidden.shape[1] - 1 - (attention_mask != 0).flip(1).int().argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), last]


def mean_token(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """[B, T, D] -> [B, D], the mean over real tokens, including special tokens, summed in float32 or higher precision."""
    wide = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    if attention_mask is None:
        return wide.mean(1).to(hidden.dtype)
    real = attention_mask != 0
    total = torch.where(real[..., None], wide, 0.0).sum(1)
    return (total / real.sum(1, keepdim=True).clamp(min=1)).to(hidden.dtype)


def max_token(hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
    """[B, T, D] -> [B, D], the maximum of each feature over real tokens; zeros for a row without any."""
    if attention_mask is None:
        return hidden.amax(1)
    real = attention_mask != 0
    largest = hidden.masked_fill(~real[..., None], -math.inf).amax(1)
    return largest.masked_fill(~real.any(1, keepdim=True), 0.0)
