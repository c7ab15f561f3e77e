"""What model classes offer beside their layers: counting, and opening and saving through `gyebo.interchange`; and what all
models that write from left to right, and all that translate, share around their blocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import nn


class Pretrained:
    """Mixed into a model class that has `family`, `config_class` and `sizes`."""

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load a run, a `transformers` directory or a hub id as this class; ValueError if it has a model of another family."""
        from gyebo.interchange import load

        model, _ = load(name)
        if type(model) is not cls:
            raise ValueError(f"{name} holds a {type(model).__name__}, not a {cls.__name__}: open it with gyebo.load")
        return model

    def save_pretrained(self, directory: str | Path) -> None:
        """Write `config.json` and `model.safetensors`, which `transformers` opens."""
        from gyebo.interchange import save

        save(self, None, directory)

    def count_parameters(self: Any, *, embeddings: bool = True) -> int:
        """Number of trainable parameters, tied ones once; without `embeddings`: without embedding tables and output layer."""
        module: nn.Module = self
        tables = ("token_embedding", "position_embedding", "segment_embedding", "lm_head", "mlm_head.decoder")
        return sum(p.numel() for name, p in module.named_parameters() if embeddings or not name.startswith(tables))
