"""DALL-E's attention from its definitions: one pair of places at a time, in float64.

A sequence is `text` places, then a grid of `side` rows of `side` places, row by row. A place of the grid sees all of the text,
itself, and of the places before it

    row          the last `side` ones: the oldest stands right above it
    column       those above it
    convolution  those of the `kernel` x `kernel` window around it; where the window goes over the border of the grid, it goes
                 on in the row before or after
"""

import numpy as np


def sees(kind: str, text: int, side: int, kernel: int, i: int, j: int) -> bool:
    """Whether place i sees place j of the sequence."""
    if j > i:
        return False
    if j < text:
        return True
    query, key = i - text, j - text
    if query == key:
        return True
    if kind == "row":
        return query - key <= side
    if kind == "column":
        return query % side == key % side
    row, column, half = query // side, query % side, kernel // 2
    window = [(row + down, column + right) for down in range(-half, half + 1) for right in range(-half, half + 1)]
    return key in [at_row * side + at_column for at_row, at_column in window]


def mask(kind: str, text: int, side: int, kernel: int) -> np.ndarray:
    """[T, T], True where the row sees the column."""
    places = range(text + side * side)
    return np.array([[sees(kind, text, side, kernel, i, j) for j in places] for i in places])


def reversed_mask(kind: str, before: int, side: int, kernel: int, words: int) -> np.ndarray:
    """[T, T] of `before` places, then the grid, then `words` places of a text: the grid sees as above; a place of the text sees
    all of the grid, and what comes before it."""
    end = before + side * side
    seen = np.zeros((end + words, end + words), bool)
    seen[:end, :end] = mask(kind, before, side, kernel)
    for i in range(end, end + words):
        for j in range(end + words):
            seen[i, j] = j <= i
    return seen


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[T, K] each, `seen` [T, T] -> [T, K]: a weighted mean of the values that each query sees."""
    out = np.zeros_like(value)
    for i, row in enumerate(seen):
        scores = np.array([query[i] @ key[j] / np.sqrt(query.shape[1]) for j in np.flatnonzero(row)])
        weights = np.exp(scores - scores.max())
        out[i] = (weights / weights.sum()) @ value[row]
    return out
