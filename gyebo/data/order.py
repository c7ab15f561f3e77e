"""The order of rows as a function of (seed, epoch): a permutation that is computed, not stored.

A Feistel network permutes the smallest even-bit domain that holds all rows; results outside are permuted again until they are
inside (cycle walking; Black & Rogaway 2002, "Ciphers with arbitrary finite domains").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 4
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))  # of SplitMix64 (Steele et al. 2014)


def _scramble(x: NDArray[np.uint64], key: np.uint64) -> NDArray[np.uint64]:
    x = x + key
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def permuted(index: NDArray[np.int64], count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The image of each index under the permutation of 0..count-1 for (seed, epoch)."""
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    keys = np.random.SeedSequence([seed, epoch]).generate_state(ROUNDS, np.uint64)
    result = np.asarray(index, np.uint64)
    outside = np.ones(result.shape, bool)
    while outside.any():
        x = result[outside]
        left, right = x >> half, x & mask
        for key in keys:
            left, right = right, left ^ (_scramble(right, key) & mask)
        result = result.copy()
        result[outside] = (left << half) | right
        outside = result >= np.uint64(count)
    return result.astype(np.int64)


def shuffled(step: int, batch: int, count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and epochs of global batch `step` (from 0): `batch` rows; the last batch of an epoch is filled from the next one."""
    place = np.arange(step * batch, (step + 1) * batch, dtype=np.int64)
    epochs, index = np.divmod(place, count)
    rows = np.empty(batch, np.int64)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        rows[here] = permuted(index[here], count, seed, int(epoch))
    return rows, epochs
