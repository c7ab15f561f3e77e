"""What is asked of any model, as users of `transformers` ask it: where its weights are, in which precision, and how many."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Counted:
    """Mixed into a module."""

    @property
    def device(self: Any) -> torch.device:
        """Where its weights are."""
        found: torch.device = next(self.parameters()).device
        return found

    @property
    def dtype(self: Any) -> torch.dtype:
        """Of its weights."""
        found: torch.dtype = next(self.parameters()).dtype
        return found

    def num_parameters(self: Any, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """Number of parameters, tied ones once, as `transformers` counts them: with `exclude_embeddings` without the weights of
        embedding layers."""
        module: nn.Module = self
        tables = {id(part.weight) for part in module.modules() if exclude_embeddings and isinstance(part, nn.Embedding)}
        wanted = (each for each in module.parameters() if each.requires_grad or not only_trainable)
        return sum(each.numel() for each in wanted if id(each) not in tables)
