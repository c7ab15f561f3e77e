"""Relative positions: scores by distance as scores by key (Dai et al. 2019, appendix B).

Letters: B batch, H heads, T queries, S keys, R distances.
"""

from __future__ import annotations

from torch import Tensor


def relative_shift(scores: Tensor, first: int, keys: int) -> Tensor:
    """Scores by distance -> scores by key, as a view where the last two dimensions are contiguous.

    scores [B, H, T, R]: column r is the score of distance `start - r`. Query t stands one place after query t - 1, so its row
    begins one column earlier: [b, h, t, s] of the result, [B, H, T, S] with S = `keys`, is column `first - t + s` of row t.
    ValueError unless `first` is T - 1 or T and R is at least `first` + S and S + 1.
    """
    queries, distances = scores.shape[-2:]
    if first not in (queries - 1, queries) or distances < max(first + keys, keys + 1):
        raise ValueError(f"{queries} queries and {keys} keys from column {first} don't fit {distances} distances")
    # One column less in each row moves every row by one against the row above.
    flat = scores.flatten(-2)[..., first : first + queries * (distances - 1)]
    return flat.unflatten(-1, (queries, distances - 1))[..., :keys]
