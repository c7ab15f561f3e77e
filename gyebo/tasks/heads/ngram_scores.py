"""The linear layer on the n-grams of a text, whose scores count beside those of the head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gyebo.nn.cost import Workload
from gyebo.tasks.ngrams import NGRAMS, NgramReading, Ngrams

SCALE = 10.0  # so that weights of a network's rate reach a linear model's size


class NgramScores(nn.Module):
    """Starts at zero: what the head says. The frequencies `idf` [H] belong to the features, and are not learned. `factors` [2],
    of the head's scores and of its own in an answer, are fitted after training (`gyebo/tasks/ngram_factors.py`), or None."""

    idf: Tensor
    factors: Tensor | None

    def __init__(self, ngrams: Ngrams, outputs: int):
        super().__init__()
        self.ngrams = ngrams
        self.weight = nn.Parameter(torch.zeros(ngrams.columns, outputs))
        self.register_buffer("idf", torch.ones(ngrams.buckets))
        self.register_buffer("factors", None)

    @property
    def reading(self) -> NgramReading:
        """How texts become what it reads."""
        return NgramReading(self.ngrams, self.idf.float().cpu().numpy())

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        """Columns and weights of the n-grams [B, G], weight 0 at padding -> [B, outputs]."""
        if not ids.shape[1]:  # texts without a character
            ids, weights = ids.new_zeros(len(ids), 1), weights.new_zeros(len(ids), 1)
        return SCALE * F.embedding_bag(ids, self.weight, per_sample_weights=weights.to(self.weight.dtype), mode="sum")

    def answer(self, head: Tensor, own: Tensor) -> Tensor:
        """Scores of the head and its own, each [B, outputs] -> both as they count: their mean, until factors are fitted."""
        if self.factors is None:
            return (head + own) / 2
        return self.factors[0] * head.to(own.dtype) + self.factors[1] * own

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        return 2.0 * work.places(NGRAMS.name) * self.weight.shape[1] if NGRAMS.name in work.lengths else 0.0
