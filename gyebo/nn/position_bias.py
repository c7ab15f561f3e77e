"""Relative position buckets (Raffel et al. 2020, section 2.1): a learned bias of each head for the distance of key and query.

Near distances have a bucket each, far ones share buckets that grow logarithmically up to a largest distance, beyond which there
is one for all. Letters: H heads, L length of a sequence, R distances.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def bucket_of(distance: Tensor, *, bidirectional: bool, buckets: int, farthest: int) -> Tensor:
    """The bucket of each distance: position of the key minus that of the query, whole numbers of any shape.

    `bidirectional`: half of the `buckets` are for keys after the query; otherwise these are all in bucket 0. From `farthest` on
    all distances share the last bucket.
    """
    later = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        later = (distance > 0) * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    # In float32 and in this order of operations, as published: the result is rounded down.
    share = (distance.clamp(min=1).float() / exact).log() / math.log(farthest / exact)
    shared = exact + (share * (buckets - exact)).long()
    return later + torch.where(distance < exact, distance, shared.clamp(max=buckets - 1))


def bias_by_distance(table: Tensor, low: int, high: int, *, bidirectional: bool, farthest: int) -> Tensor:
    """The bias of each head at the distances `low` to `high`, both included: table [buckets, H] -> [H, R]."""
    distance = torch.arange(low, high + 1, device=table.device)
    return table[bucket_of(distance, bidirectional=bidirectional, buckets=len(table), farthest=farthest)].T


def bias_of_length(table: Tensor, length: int, *, bidirectional: bool, farthest: int) -> Tensor:
    """The bias of a sequence of this length, [H, L, L]: column s of row t is that of the distance s - t.

    Each distance is looked up once, whatever the number of its pairs; the rows are windows over the distances, so that the
    backward pass too adds up along diagonals instead of pair by pair. That of a shorter sequence is [:, :L, :L] of this one.
    """
    by_distance = bias_by_distance(table, 1 - length, length - 1, bidirectional=bidirectional, farthest=farthest)
    return by_distance.unfold(1, length, 1).flip(1)
