"""DALL-E in numpy, one sequence at a time and in float64: embeddings, dense masks from their definitions, all logits."""

from __future__ import annotations

import math

import numpy as np

from tests.nn import naive_grid


def norm(p: dict, name: str, x: np.ndarray, eps: float) -> np.ndarray:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * p[f"{name}.weight"] + p[f"{name}.bias"]


def linear(p: dict, name: str, x: np.ndarray) -> np.ndarray:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def kinds(layers: int) -> list[str]:
    """Layer i from 1: columns where (i - 2) mod 4 is 0, else rows; the last one is convolutional."""
    found = ["column" if (i - 2) % 4 == 0 else "row" for i in range(1, layers + 1)]
    return [*found[:-1], "convolution"]


def embedded(p: dict, config, text: list[int], codes: list[int]) -> np.ndarray:
    vectors = []
    if config.start:
        vectors.append(p["start"])
    for place in range(config.context):
        token = p["token_embedding.weight"][text[place]] if place < len(text) else p["padding_embedding.weight"][place]
        vectors.append(token + p["position_embedding.weight"][place])
    for place, code in enumerate(codes):
        row, column = p["row_embedding.weight"][place // config.grid], p["column_embedding.weight"][place % config.grid]
        vectors.append(p["image_embedding.weight"][code] + row + column)
    return np.array(vectors)


def reversed_embedded(p: dict, config, text: list[int], codes: list[int | None]) -> np.ndarray:
    """The picture first; None: a place in which no code stands. Then the words alone."""
    vectors = [p["start"]] if config.start else []
    for place, code in enumerate(codes):
        vector = p["row_embedding.weight"][place // config.grid] + p["column_embedding.weight"][place % config.grid]
        vectors.append(vector if code is None else vector + p["image_embedding.weight"][code])
    for place, token in enumerate(text):
        vectors.append(p["token_embedding.weight"][token] + p["position_embedding.weight"][place])
    return np.array(vectors)


def hidden(p: dict, config, text: list[int], codes: list[int | None]) -> np.ndarray:
    """[T, D] of a whole picture's codes."""
    if config.image_first:
        x = reversed_embedded(p, config, text, codes)
    else:
        x = embedded(p, config, text, codes)
    heads, eps = config.heads, config.norm_eps
    for layer, kind in enumerate(kinds(config.layers)):
        name = f"blocks.{layer}"
        qkv = linear(p, f"{name}.attention.qkv", norm(p, f"{name}.attention_norm", x, eps))
        if config.image_first:
            seen = naive_grid.reversed_mask(kind, int(config.start), config.grid, config.kernel, len(text))
        else:
            seen = naive_grid.mask(kind, config.context + config.start, config.grid, config.kernel)
        parts = qkv.reshape(len(x), 3, heads, -1)
        mixed = np.concatenate([naive_grid.attention(*parts[:, :, head].transpose(1, 0, 2), seen) for head in range(heads)], -1)
        x = x + linear(p, f"{name}.attention.out", mixed)
        inner = gelu_tanh(linear(p, f"{name}.mlp.up", norm(p, f"{name}.mlp_norm", x, eps)))
        x = x + linear(p, f"{name}.mlp.down", inner)
    return norm(p, "final_norm", x, eps)


def logits(p: dict, config, text: list[int], codes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of the text's places (from the second on where there is no start), and of all codes."""
    found = hidden(p, config, text, codes)
    first = config.context + config.start - 1  # what it reads there is followed by the first code
    table = np.concatenate([p["token_embedding.weight"], p["padding_embedding.weight"]])
    return found[:first] @ table.T, found[first:-1] @ p["image_embedding.weight"].T


def reversed_logits(p: dict, config, text: list[int], codes: list[int | None]) -> tuple[np.ndarray, np.ndarray]:
    """Of each token of the text and of what follows it, and of the codes (from the second on where there is no start)."""
    found = hidden(p, config, text, codes)
    last = config.start + config.grid**2 - 1  # what it reads there is followed by the first token
    table = np.concatenate([p["token_embedding.weight"], p["padding_embedding.weight"]])
    return (found[last:] @ table.T)[: config.context], found[:last] @ p["image_embedding.weight"].T
