"""What reshapes the next token's distribution: pure functions of scores, each with the meaning it has in `transformers`.

Letters: B rows, V vocabulary, L tokens so far (prompt and answer, padded on the left). Scores are logits, or
log-probabilities in beam search; a token that may not follow gets -inf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_LIKELY = 1024  # tokens that nearly always hold p: sorting a whole vocabulary can take longer than the model's step
_RUN = 64  # tokens whose highest score is found before those of single ones


def suppress(scores: Tensor, ids: Tensor) -> Tensor:
    """[B, V] without the tokens ids [N]."""
    return scores.index_fill(-1, ids, -math.inf)


def temperature(scores: Tensor, value: float) -> Tensor:
    """[B, V] divided by the temperature: below 1 sharpens, above 1 flattens."""
    return scores / value


def highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` highest of scores [B, V], falling, and their tokens, [B, count] each: as `topk`, in one pass.

    They stand in those runs of tokens whose own highest are highest; `topk` on a CPU puts the whole vocabulary in a queue.
    """
    runs = scores.shape[-1] // _RUN
    if scores.device.type != "cpu" or runs < 2 * count:
        found = scores.topk(count)
        return found.values, found.indices
    whole = scores[:, : runs * _RUN].unflatten(-1, (runs, _RUN))
    chosen = whole.amax(-1).topk(count).indices  # [B, count]
    tokens = (chosen[:, :, None] * _RUN + torch.arange(_RUN)).flatten(1)
    rest = torch.arange(runs * _RUN, scores.shape[-1]).expand(len(scores), -1)
    tokens = torch.cat([tokens, rest], 1)
    found = scores.gather(1, tokens).topk(count)
    return found.values, tokens.gather(1, found.indices)


def top_k(scores: Tensor, k: int) -> Tensor:
    """[B, V] with the k highest only; what ties with the last of them stays too."""
    least = highest(scores, min(k, scores.shape[-1]))[0][:, -1:]
    return scores.masked_fill(scores < least, -math.inf)


def top_p(scores: Tensor, p: float) -> Tensor:
    """[B, V] with the fewest most probable tokens whose probabilities reach p (at least one)."""
    vocabulary = scores.shape[-1]
    total = scores.logsumexp(-1, keepdim=True)
    for count in (min(_LIKELY, vocabulary), vocabulary):
        falling, order = scores.topk(count)
        mass = (falling - total).exp()
        before = mass.cumsum(-1) - mass  # of all more probable tokens
        if count == vocabulary or bool((before[:, -1] >= p).all()):
            break
    return torch.full_like(scores, -math.inf).scatter(1, order, falling.masked_fill(before >= p, -math.inf))


def min_p(scores: Tensor, p: float) -> Tensor:
    """[B, V] without tokens less probable than p times the most probable one."""
    probabilities = scores.softmax(-1)
    removed = probabilities < p * probabilities.amax(-1, keepdim=True)
    return scores.masked_fill(removed, -math.inf)


def repetition_penalty(scores: Tensor, ids: Tensor, real: Tensor, penalty: float) -> Tensor:
    """[B, V] with every token of ids [B, L] made less probable (penalty > 1), once however often it stands there.

    A positive score is divided by the penalty, a negative one multiplied; `real` [B, L] is False at padding.
    """
    ids = torch.where(real, ids, ids[:, -1:])  # padding stands on the left; what is written twice is the same
    seen = scores.gather(1, ids)
    return scores.scatter(1, ids, torch.where(seen < 0, seen * penalty, seen / penalty))


def no_repeat_ngrams(scores: Tensor, ids: Tensor, real: Tensor, size: int) -> Tensor:
    """[B, V] without the tokens that would complete a run of `size` tokens which stands in ids [B, L] already.

    `real` [B, L] is False at padding, which is part of no run.
    """
    length = ids.shape[1]
    if length < size:
        return scores
    windows = ids.unfold(1, size, 1)  # [B, L-size+1, size]
    whole = real.unfold(1, size, 1).all(-1)
    start = length - size + 1
    suffix = ids[:, start:]  # the size-1 tokens that the next one would complete
    same = (windows[..., :-1] == suffix[:, None]).all(-1) & whole
    # Other tokens go to a column of their own, so that they cannot undo what a matching run forbids.
    vocabulary = scores.shape[-1]
    forbidden = torch.zeros(len(scores), vocabulary + 1, dtype=torch.bool, device=scores.device)
    forbidden.scatter_(1, windows[..., -1].masked_fill(~same, vocabulary), True)
    return scores.masked_fill(forbidden[:, :vocabulary], -math.inf)
