"""Relative positions: scores by distance as scores by key (Dai et al. 2019, appendix B).

Letters: B batch, H heads, T queries, S keys, R distances, D width.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.nn.attention import attend


def relative_shift(scores: Tensor, first: int, keys: int, *, causal: bool = False) -> Tensor:
    """Scores by distance -> scores by key, as a view where the last two dimensions are contiguous.

    scores [B, H, T, R]: column r is the score of distance `start - r`. Query t stands one place after query t - 1, so its row
    begins one column earlier: [b, h, t, s] of the result, [B, H, T, S] with S = `keys`, is column `first - t + s` of row t.
    `causal`: that column may lie beyond R, where the result is arbitrary, for keys after the query, which are masked.
    ValueError unless `first` is T - 1 or T and R is at least S + 1 and, unless `causal`, `first` + S.
    """
    queries, distances = scores.shape[-2:]
    if first not in (queries - 1, queries) or distances < max(0 if causal else first + keys, keys + 1):
        raise ValueError(f"{queries} queries and {keys} keys from column {first} don't fit {distances} distances")
    return _Shift.apply(scores, first, keys)


class _Shift(torch.autograd.Function):
    """A view; backward fills the gradient once, where that of a slice of a slice would fill it twice."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, first: int, keys: int) -> Tensor:
        ctx.shape, ctx.first = scores.shape, first
        return _shifted(scores, first, keys)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        room = grads[0].new_zeros(ctx.shape)
        _shifted(room, ctx.first, grads[0].shape[-1]).copy_(grads[0])
        return room, None, None


def _shifted(scores: Tensor, first: int, keys: int) -> Tensor:
    """One column less in each row moves every row by one against the row above."""
    queries, distances = scores.shape[-2:]
    flat = scores.flatten(-2)[..., first : first + queries * (distances - 1)]
    return flat.unflatten(-1, (queries, distances - 1))[..., :keys]


def slide(scores: Tensor, starts: Tensor, keys: int) -> Tensor:
    """As `relative_shift` for queries at any places: row t of scores [..., T, R] from column `starts` [..., T] on, S = `keys`
    columns, [..., T, S]. `starts` broadcasts to the leading dimensions and is at most R - S."""
    return _Slide.apply(scores, starts.expand(scores.shape[:-1]), keys)


class _Slide(torch.autograd.Function):
    """A copy of a stretch of each row, forward and backward, where gather and its adjoint look up every element."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, starts: Tensor, keys: int) -> Tensor:
        ctx.starts, ctx.distances = starts, scores.shape[-1]
        return _stretches(scores, starts, keys)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        keys = grads[0].shape[-1]
        room = F.pad(grads[0], (ctx.distances - keys, ctx.distances - keys))
        return _stretches(room, ctx.distances - keys - ctx.starts, ctx.distances), None, None


def _stretches(x: Tensor, starts: Tensor, size: int) -> Tensor:
    """x [..., C] -> [..., size], of each row the columns from its start on."""
    flat = x.flatten()
    first = torch.arange(starts.numel(), device=x.device) * x.shape[-1] + starts.flatten()
    if not len(first):
        return x[..., :size]
    return flat.as_strided((len(flat) - size + 1, size), (1, 1)).index_select(0, first).view(*starts.shape, size)


def distance_vectors(first: int, last: int, width: int, *, clamp: int | None = None, device: torch.device) -> Tensor:
    """Sinusoids of the distances `first`, `first` - 1 ... `last`, which may be negative, in float32 [R, D]: all sines, then all
    cosines of distance / 10000^(2i/D), as in the code of Dai et al. 2019. `clamp`: the largest distance that is told apart."""
    size = 1 << max(first, -last, 1).bit_length()
    return _distance_table(width, size, clamp, device)[size - first : size - last + 1]


@lru_cache(maxsize=8)
def _distance_table(width: int, size: int, clamp: int | None, device: torch.device) -> Tensor:
    """The vectors of the distances `size` to -`size`; computed in float64, cached for the next call."""
    with torch.inference_mode(False):
        distances = torch.arange(size, -size - 1, -1, dtype=torch.float64)
        distances = distances if clamp is None else distances.clamp(-clamp, clamp)
        angles = distances[:, None] / 10_000 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
        return torch.cat([angles.sin(), angles.cos()[:, : width // 2]], 1).float().to(device)


def attend_relative(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    by_distance: Tensor,
    biases: tuple[Tensor, Tensor],
    *,
    allowed: Tensor | None = None,
    causal: bool = False,
    reach: int | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention whose scores depend on content and on distance: (q + u) k + (q + v) r, multiplied by K^-0.5 (Dai et al. 2019,
    section 3.3); [B, H, T, K].

    query [B, H, T, K]; key and value [B, H, S, K], the last T of which are those of the queries. `by_distance` [R, H, K]: r of
    distances that end with 0 and -1, of which the last S + 1 rows are used; `biases`: u and v, each [H, K]. `allowed` and
    `causal` as in `attend`; keys after the query must be excluded by one of them. `reach`: only keys at a distance below it
    are seen.
    """
    content, position = (query + bias[:, None] for bias in biases)
    queries, keys = query.shape[2], key.shape[2]
    if reach is not None and reach < keys:
        ones = torch.ones(queries, keys, dtype=torch.bool, device=query.device)
        band = ones.tril(keys - queries).triu(keys - queries - reach + 1)
        allowed, causal = band if allowed is None else allowed & band, False
    scores = position @ by_distance[-keys - 1 :].permute(1, 2, 0)  # [B, H, T, S + 1]
    bias = relative_shift(scores * query.shape[-1] ** -0.5, queries - 1, keys, causal=True)
    return attend(content, key, value, allowed=allowed, bias=bias, causal=causal, dropout=dropout)
