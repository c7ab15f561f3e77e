"""PPLM written out for a single text and a GPT-2, as in the paper and the released code: nothing is cached but the moved keys
and values, which are the method's own state; everything of the unmodified model is computed again from the whole text, token by
token, with the sums of the papers' formulas.

Letters: L layers, S tokens, H heads, K width of a head, V vocabulary, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gyebo.models.gpt2 import Gpt2

Layers = list[Tensor]  # of each layer keys and values, [2, S, H, K]


def norm(x: Tensor, layer) -> Tensor:
    """Layer normalisation of [D]."""
    return (x - x.mean()) / (x.var(unbiased=False) + layer.eps).sqrt() * layer.weight + layer.bias


def read_token(model: Gpt2, vector: Tensor, past: Layers) -> tuple[Tensor, Layers]:
    """The last hidden state [D] of a token (its vector with its position, [D]) after a past, and its own keys and values."""
    x, own = vector, []
    for block, before in zip(model.blocks, past):
        qkv = block.attention.qkv.weight @ norm(x, block.attention_norm) + block.attention.qkv.bias
        query, key, value = qkv.view(3, model.config.heads, -1)
        own.append(torch.stack([key, value])[:, None])
        keys, values = torch.cat([before, own[-1]], 1)
        heads = []
        for head in range(model.config.heads):
            scores = keys[:, head] @ query[head] / math.sqrt(query.shape[1])
            heads.append(torch.softmax(scores, 0) @ values[:, head])
        x = x + block.attention.out.weight @ torch.cat(heads) + block.attention.out.bias
        inner = block.mlp.up.weight @ norm(x, block.mlp_norm) + block.mlp.up.bias
        inner = torch.nn.functional.gelu(inner, approximate="tanh")
        x = x + block.mlp.down.weight @ inner + block.mlp.down.bias
    return norm(x, model.final_norm), own


def read_text(model: Gpt2, ids: list[int]) -> tuple[list[Tensor], Layers]:
    """The hidden states of all tokens, and keys and values of all layers, of the unmodified model."""
    config = model.config
    past = [torch.zeros(2, 0, config.heads, config.width // config.heads, dtype=torch.float64) for _ in model.blocks]
    hidden = []
    for place, id in enumerate(ids):
        found, own = read_token(model, model.token_embedding.weight[id] + model.position_embedding.weight[place], past)
        hidden.append(found)
        past = [torch.cat([before, new], 1) for before, new in zip(past, own)]
    return hidden, past


def speak(model: Gpt2, hidden: Tensor) -> Tensor:
    """Next-token probabilities [V]."""
    return torch.softmax(model.lm_head.weight @ hidden, 0)


def amounts(length: int, settings: dict) -> list[float]:
    """How much the gradient of each of `length` tokens counts."""
    window, first = settings["window"], settings["released"]
    if not window or (first and length <= window):
        return [1.0] * length
    found = []
    for place in range(length):
        rank = place if first else place - (length - window)  # its place in the window
        inside = 0 <= rank < window
        found.append(((rank + 1) / window if settings["decay"] else 1.0) if inside else 0.0)
    return found


def steer(model: Gpt2, prompt: list[int], answer: list[int], bags, heads, **settings):
    """The fused distribution [V] before each token of an answer and after the last one, and the moved past (of all tokens but
    the newest) with which it was computed.

    bags: (strength, {id: weight}); heads: (strength, weight, bias, target).
    """
    text, moved, largest, found = list(prompt), read_text(model, prompt[:-1])[1], None, []
    for id in [*answer, None]:
        hidden, whole = read_text(model, text)
        unmodified = speak(model, hidden[-1])
        newest = model.token_embedding.weight[text[-1]] + model.position_embedding.weight[len(text) - 1]
        change = [torch.zeros_like(part) for part in moved]
        mask = torch.tensor(amounts(len(text) - 1, settings), dtype=torch.float64)
        for _ in range(settings["iterations"] if len(text) > 1 else 0):
            leaves = [part.clone().requires_grad_() for part in change]
            last, _ = read_token(model, newest, [past + leaf for past, leaf in zip(moved, leaves)])
            now = speak(model, last)
            loss = settings["kl_scale"] * (now * (now / unmodified).log()).sum()
            for strength, weights in bags:
                loss = loss - strength * torch.log(sum(weight * now[word] for word, weight in weights.items()))
            if heads:
                states = [*hidden[:-1], last.detach() if settings["released"] else last]
                states += imagine(model, now, whole, len(text), settings)
                mean = sum(states) / len(states)
                for strength, weight, bias, target in heads:
                    loss = loss - strength * torch.log_softmax(weight @ mean + bias, 0)[target]
            gradients = torch.autograd.grad(loss, leaves)
            gradients = [gradient * mask[None, :, None, None] for gradient in gradients]
            norms = [gradient.pow(2).sum().sqrt() for gradient in gradients]
            if heads or largest is None:
                largest = norms
            else:
                largest = [max(one, other) for one, other in zip(largest, norms)]
            change = [
                part - settings["stepsize"] * gradient / size ** settings["gamma"]
                for part, gradient, size in zip(change, gradients, largest)
            ]
        moved = [past + part for past, part in zip(moved, change)]
        last, own = read_token(model, newest, moved)
        fused = speak(model, last) ** settings["gm_scale"] * unmodified ** (1 - settings["gm_scale"])
        found.append((fused / fused.sum(), [part.detach() for part in moved]))
        moved = [torch.cat([past, new], 1).detach() for past, new in zip(moved, own)]
        text.append(id)
    return found


def imagine(model: Gpt2, now: Tensor, whole: Layers, place: int, settings: dict) -> list[Tensor]:
    """Hidden states of tokens beyond the newest, each the mean of all tokens by probability, after the unmodified text."""
    found, past = [], whole
    for number in range(settings["horizon"]):
        vector = now @ model.token_embedding.weight + model.position_embedding.weight[place + number]
        hidden, own = read_token(model, vector, past)
        found.append(hidden)
        past = [torch.cat([before, new], 1) for before, new in zip(past, own)]
        now = now if settings["released"] else speak(model, hidden)
    return found
