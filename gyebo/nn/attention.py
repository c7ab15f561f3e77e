"""Scaled dot-product attention: one function with several back-ends, all equal to the naive one (tested).

Letters: B batch, H heads, T queries, S keys, K width of a head.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.nn.dropout import dropout as drop


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    allowed: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    upcast: bool = False,
) -> Tensor:
    """Attention of every query over its allowed keys ("Attention Is All You Need", section 3.2.1).

    query [B, H, T, K], key and value [B, H, S, K]; `allowed` is a boolean mask that broadcasts to [B, H, T, S] (True: allowed;
    every row needs at least one True), `causal` the triangular mask (T = S only, without `allowed`); `scale` defaults to
    K^-0.5; `bias`, which broadcasts to [B, H, T, S], is added to the scaled scores; `dropout` is applied to the weights;
    `upcast` computes scores and weights in float32 even if query and key are not. Returns [B, H, T, K].
    """
    options: dict[str, Any] = {"allowed": allowed, "bias": bias, "causal": causal, "scale": scale, "dropout": dropout}
    if upcast and query.dtype != torch.float32:
        heads = weigh(query, key, value, upcast=True, **options)[0]
        return heads.to(query.dtype)  # a cache may have higher precision than the model
    if key.dtype != query.dtype:  # a cache may have higher precision than the model, on a CPU also under autocast
        with torch.autocast("cpu", enabled=False):
            wide = attend(query.to(key.dtype), key, value, **options)
        return wide.to(query.dtype)
    if _naive_is_faster(query, key, dropout):
        return weigh(query, key, value, **options)[0]
    mask, causal = allowed, causal and allowed is None
    if bias is not None:
        mask = bias.to(query.dtype)
        if causal:
            allowed, causal = causal_mask(query.shape[-2], query.device), False
        if allowed is not None:
            mask = mask.masked_fill(~allowed, -math.inf)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal, scale=scale, dropout_p=dropout)


def _naive_is_faster(query: Tensor, key: Tensor, dropout: float) -> bool:
    """Whether plain matrix products are faster than the fused kernel: only on a CPU.

    The CPU kernel has no dropout (torch would take a slow path with a slow random generator), and in bfloat16 it takes two to
    three times as long, forward and backward, up to some hundred keys. The same holds in float32 for few queries and keys,
    e.g. in the attention of beams to a source.
    """
    if query.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    queries, keys = query.shape[-2], key.shape[-2]
    few = keys <= 512 if query.dtype == torch.bfloat16 else queries <= 8 and keys <= 128
    return dropout > 0.0 or (queries > 1 and few)


def weigh(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    allowed: Tensor | None = None,
    bias: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    upcast: bool = False,
) -> tuple[Tensor, Tensor]:
    """The naive implementation of `attend`, as in the paper; also returns the weights [B, H, T, S] before dropout."""
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    if upcast:
        with torch.autocast(query.device.type, enabled=False):
            scores = (query.float() * scale) @ key.float().transpose(-2, -1)
    else:
        scores = (query * scale) @ key.transpose(-2, -1)  # [B, H, T, S]
    if bias is not None:
        scores = scores + bias
    if allowed is None and causal:
        allowed = causal_mask(query.shape[-2], query.device)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    weights = scores.to(torch.promote_types(scores.dtype, torch.float32)).softmax(-1).to(value.dtype)
    return drop(weights, dropout) @ value, weights


def causal_mask(length: int, device: torch.device | None = None) -> Tensor:
    """[length, length], True where the column (key) is not after the row (query)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, T, H*K] -> [B, H, T, K]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B, H, T, K] -> [B, T, H*K]."""
    return x.transpose(1, 2).flatten(2)
