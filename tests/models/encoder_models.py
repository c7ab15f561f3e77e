"""Shapes, inputs and comparisons for the tests of the encoders."""

from __future__ import annotations

import torch

SMALL = {"vocab_size": 53, "context": 32, "width": 12, "layers": 1, "heads": 2}
NO_DROPOUT = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}


def tokens(*shape: int, seed: int = 0, vocabulary: int = 53) -> torch.Tensor:
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor, tolerance: float = 1e-5) -> bool:
    a, b = a.detach(), b.detach()
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * max(1.0, float(b.abs().max())))
