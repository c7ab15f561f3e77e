"""Logits processors: pure functions of scores, each with the meaning that it has in `transformers`.

Letters: B rows, V vocabulary, L tokens so far (prompt and answer, padded on the left). Scores are logits, or
log-probabilities in beam search; a forbidden token gets -inf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_NUCLEUS = 1024  # number of tokens that nearly always have p: sorting the whole vocabulary can take longer than a model's step
_BLOCK = 64  # tokens per block; the best blocks are found first, then the best tokens in them


def suppress(scores: Tensor, ids: Tensor) -> Tensor:
    """[B, V] without the tokens ids [N]."""
    return scores.index_fill(-1, ids, -math.inf)


def force(scores: Tensor, id: int) -> Tensor:
    """[B, V] with 0 for one token, whatever its score is, and without all others."""
    return torch.full_like(scores, -math.inf).index_fill(-1, torch.tensor([id], device=scores.device), 0.0)


def temperature(scores: Tensor, value: float) -> Tensor:
    """[B, V] divided by the temperature: below 1 sharpens, above 1 flattens."""
    return scores / value


def top_scores(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest of scores [B, V], descending, and their tokens, [B, count] each: as `topk`, but faster on a CPU.

    They are in the `count` blocks of tokens with the highest maxima; `topk` on a CPU puts the whole vocabulary in a queue.
    """
    blocks = scores.shape[-1] // _BLOCK
    if scores.device.type != "cpu" or blocks < 2 * count:
        found = scores.topk(count)
        return found.values, found.indices
    whole = scores[:, : blocks * _BLOCK].unflatten(-1, (blocks, _BLOCK))
    chosen = whole.amax(-1).topk(count).indices  # [B, count]
    tokens = (chosen[:, :, None] * _BLOCK + torch.arange(_BLOCK)).flatten(1)
    rest = torch.arange(blocks * _BLOCK, scores.shape[-1]).expand(len(scores), -1)
    tokens = torch.cat([tokens, rest], 1)
    found = scores.gather(1, tokens).topk(count)
    return found.values, tokens.gather(1, found.indices)


def top_k(scores: Tensor, k: int) -> Tensor:
    """[B, V] with only the k highest, and those equal to the last of them."""
    least = top_scores(scores, min(k, scores.shape[-1]))[0][:, -1:]
    return scores.masked_fill(scores < least, -math.inf)


def top_p(scores: Tensor, p: float) -> Tensor:
    """[B, V] with the smallest set of most probable tokens whose probabilities sum to p (at least one)."""
    vocabulary = scores.shape[-1]
    total = scores.logsumexp(-1, keepdim=True)
    for count in (min(_NUCLEUS, vocabulary), vocabulary):
        descending, order = scores.topk(count)
        mass = (descending - total).exp()
        before = mass.cumsum(-1) - mass  # total probability of all more probable tokens
        if count == vocabulary or bool((before[:, -1] >= p).all()):
            break
    return torch.full_like(scores, -math.inf).scatter(1, order, descending.masked_fill(before >= p, -math.inf))


def min_p(scores: Tensor, p: float) -> Tensor:
    """[B, V] without tokens less probable than p times the most probable one."""
    probabilities = scores.softmax(-1)
    removed = probabilities < p * probabilities.amax(-1, keepdim=True)
    return scores.masked_fill(removed, -math.inf)


def repetition_penalty(scores: Tensor, ids: Tensor, real: Tensor, penalty: float) -> Tensor:
    """[B, V] with every token of ids [B, L] less probable (penalty > 1), once however often it occurs.

    A positive score is divided by the penalty, a negative one multiplied; `real` [B, L] is False at padding.
    """
    ids = torch.where(real, ids, ids[:, -1:])  # padding is on the left; scattering the same value twice is harmless
    seen = scores.gather(1, ids)
    return scores.scatter(1, ids, torch.where(seen < 0, seen * penalty, seen / penalty))


def no_repeat_ngrams(scores: Tensor, ids: Tensor, real: Tensor, size: int) -> Tensor:
    """[B, V] without the tokens that would complete an n-gram of `size` tokens that occurs in ids [B, L] already.

    `real` [B, L] is False at padding, which is not part of any n-gram.
    """
    length = ids.shape[1]
    if length < size:
        return scores
    windows = ids.unfold(1, size, 1)  # [B, L-size+1, size]
    whole = real.unfold(1, size, 1).all(-1)
    start = length - size + 1
    suffix = ids[:, start:]  # the size-1 tokens that the next one would complete
    same = (windows[..., :-1] == suffix[:, None]).all(-1) & whole
    # Other tokens go to an extra column, so that they cannot undo what a matching n-gram forbids.
    vocabulary = scores.shape[-1]
    forbidden = torch.zeros(len(scores), vocabulary + 1, dtype=torch.bool, device=scores.device)
    forbidden.scatter_(1, windows[..., -1].masked_fill(~same, vocabulary), True)
    return scores.masked_fill(forbidden[:, :vocabulary], -math.inf)
