"""The Evolved Transformer of Tensor2Tensor in numpy and plain loops, one text at a time: what Meena is measured by.

Written from the table of its blocks, knows nothing of gyebo but the names of the tensors. p: name -> array, x: [T, D]. Kernels
of convolutions are [O, I, S], those of depthwise ones [I, 1, S]; other matrices [out, in].
"""

from __future__ import annotations

import math

import numpy as np

EPS = 1e-6


def linear(p, name, x):
    y = x @ p[f"{name}.weight"].T
    return y + p[f"{name}.bias"] if f"{name}.bias" in p else y


def norm(p, name, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + EPS) * p[f"{name}.weight"] + p[f"{name}.bias"]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def wide(x, width):
    return np.concatenate([x, np.zeros((len(x), width - x.shape[1]))], 1)


def conv(p, name, x, before):
    kernel, bias = p[f"{name}.kernel.weight"], p[f"{name}.kernel.bias"]
    y = np.zeros((len(x), len(kernel)))
    for t in range(len(x)):
        y[t] = bias
        for s in range(kernel.shape[2]):
            if 0 <= t + s - before < len(x):
                y[t] += kernel[:, :, s] @ x[t + s - before]
    return y


def separable(p, name, x, before):
    kernel = p[f"{name}.depthwise.kernel.weight"]
    y = np.zeros_like(x)
    for t in range(len(x)):
        for s in range(kernel.shape[2]):
            if 0 <= t + s - before < len(x):
                y[t] += kernel[:, 0, s] * x[t + s - before]
    return linear(p, f"{name}.pointwise", y)


def mixed(query, key, value, heads, causal):
    """softmax(query key / sqrt(K)) value, head by head and query by query."""
    width = query.shape[1] // heads
    y = np.zeros_like(query)
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        for t in range(len(query)):
            last = t + 1 if causal else len(key)
            scores = np.array([query[t, own] @ key[s, own] for s in range(last)]) / math.sqrt(width)
            weights = np.exp(scores - scores.max())
            y[t, own] = (weights / weights.sum()) @ value[:last, own]
    return y


def self_attention(p, name, x, heads, causal):
    query, key, value = np.split(linear(p, f"{name}.qkv", x), 3, 1)
    return linear(p, f"{name}.out", mixed(query, key, value, heads, causal))


def source_attention(p, name, x, source, heads):
    key, value = np.split(linear(p, f"{name}.key_value", source), 2, 1)
    return linear(p, f"{name}.out", mixed(linear(p, f"{name}.query", x), key, value, heads, causal=False))


def encoder_block(p, x, heads):
    width = x.shape[1]
    y = norm(p, "gate_residual.norm", x)
    value, gate = np.split(linear(p, "gate.value_gate", y), 2, 1)
    x = x + value * sigmoid(gate)

    y = norm(p, "convolutions_residual.norm", x)
    left = relu(linear(p, "convolutions.dense", y))
    right = wide(relu(conv(p, "convolutions.near", y, before=1)), 4 * width)
    y = norm(p, "convolutions.norm", left + right)
    x = x + wide(separable(p, "convolutions.far", y, before=4), width)

    x = x + self_attention(p, "attention", norm(p, "attention_residual.norm", x), heads, causal=False)

    y = relu(linear(p, "mlp.up", norm(p, "mlp_residual.norm", x)))
    return x + linear(p, "mlp.down", y)


def decoder_block(p, x, source, heads):
    width = x.shape[1]
    y = norm(p, "wide_residual.norm", x)
    left = self_attention(p, "wide_attention", y, max(min(2 * heads, 16), heads), causal=True)
    x = x + left + source_attention(p, "beside_attention", y, source, heads)

    y = norm(p, "convolutions_residual.norm", x)
    left = relu(separable(p, "convolutions.left", y, before=10))
    right = wide(separable(p, "convolutions.right", y, before=6), 2 * width)
    x = x + separable(p, "convolutions.last", norm(p, "convolutions.norm", left + right), before=6)

    x = x + self_attention(p, "attention", norm(p, "attention_residual.norm", x), heads, causal=True)
    x = x + source_attention(p, "source_attention", norm(p, "source_residual.norm", x), source, heads)

    y = linear(p, "mlp.up", norm(p, "mlp_residual.norm", x))
    y = norm(p, "mlp.norm", y * sigmoid(y))
    return x + linear(p, "mlp.down", y)


def embedded(p, ids):
    table = p["token_embedding.weight"]
    width = table.shape[1]
    x = np.zeros((len(ids), width))
    for t, id in enumerate(ids):
        for i in range(width // 2):
            angle = t / 10_000 ** (2 * i / width)
            x[t, i], x[t, width // 2 + i] = math.sin(angle), math.cos(angle)
        x[t] += math.sqrt(width) * table[id]
    return x


def logits(p, source, target, heads):
    """Of one source and one target, lists of ids: [U, V]."""

    def blocks(stack):
        count = 1 + max(int(name.split(".")[1]) for name in p if name.startswith(f"{stack}."))
        for number in range(count):
            start = f"{stack}.{number}."
            yield {name.removeprefix(start): array for name, array in p.items() if name.startswith(start)}

    x, y = embedded(p, source), embedded(p, target)
    for block in blocks("encoder"):
        x = encoder_block(block, x, heads)
    x = norm(p, "encoder_norm", x)
    for block in blocks("decoder"):
        y = decoder_block(block, y, x, heads)
    return norm(p, "decoder_norm", y) @ p["token_embedding.weight"].T
