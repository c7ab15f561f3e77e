"""What reshapes the next token's distribution: pure functions of scores, each with the meaning it has in `transformers`.

Letters: B rows, V vocabulary, L tokens so far (prompt and answer, padded on the left). Scores are logits, or
log-probabilities in beam search; a token that may not follow gets -inf.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def suppress(scores: Tensor, ids: Tensor) -> Tensor:
    """[B, V] without the tokens ids [N]."""
    return scores.index_fill(-1, ids, -math.inf)


def temperature(scores: Tensor, value: float) -> Tensor:
    """[B, V] divided by the temperature: below 1 sharpens, above 1 flattens."""
    return scores / value


def top_k(scores: Tensor, k: int) -> Tensor:
    """[B, V] with the k highest only; what ties with the last of them stays too."""
    least = scores.topk(min(k, scores.shape[-1])).values[:, -1:]
    return scores.masked_fill(scores < least, -math.inf)


def top_p(scores: Tensor, p: float) -> Tensor:
    """[B, V] with the fewest most probable tokens whose probabilities reach p (at least one)."""
    rising, order = scores.sort(descending=False)
    removed = rising.softmax(-1).cumsum(-1) <= 1 - p
    removed[:, -1] = False
    return scores.masked_fill(torch.zeros_like(removed).scatter(1, order, removed), -math.inf)


def min_p(scores: Tensor, p: float) -> Tensor:
    """[B, V] without tokens less probable than p times the most probable one."""
    probabilities = scores.softmax(-1)
    removed = probabilities < p * probabilities.amax(-1, keepdim=True)
    return scores.masked_fill(removed, -math.inf)


def repetition_penalty(scores: Tensor, ids: Tensor, real: Tensor, penalty: float) -> Tensor:
    """[B, V] with every token of ids [B, L] made less probable (penalty > 1), once however often it stands there.

    A positive score is divided by the penalty, a negative one multiplied; `real` [B, L] is False at padding.
    """
    seen = _mark(scores, ids, real)
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


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
    return scores.masked_fill(_mark(scores, windows[..., -1], same), -math.inf)


def _mark(scores: Tensor, ids: Tensor, chosen: Tensor) -> Tensor:
    """[B, V], True at the ids [B, L] where chosen [B, L]."""
    vocabulary = scores.shape[-1]
    marks = torch.zeros(len(scores), vocabulary + 1, dtype=torch.bool, device=scores.device)  # one column for the others
    return marks.scatter_(1, ids.masked_fill(~chosen, vocabulary), True)[:, :vocabulary]
