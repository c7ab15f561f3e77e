"""DistilBERT: Sanh et al. 2019, "DistilBERT, a distilled version of BERT: smaller, faster, cheaper and lighter".

The second child of BERT.

What differs from BERT (section 3 of the paper): half the layers, no segment embedding, no pooler and thus no next-sentence
head. It is distilled from a larger BERT, which is part of the objective, and initialised with some of its layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gyebo.models.bert import Bert, BertConfig


@dataclass
class DistilbertConfig(BertConfig):
    """The shape of a DistilBERT; the defaults are the published base model with its head for masked tokens."""

    layers: int = 6
    segments: int = 0
    nsp: bool = False
    pooler: bool = False

    least_segments: ClassVar[int] = 0

    def __post_init__(self) -> None:
        for name in ("segments", "nsp", "pooler"):
            if getattr(self, name):
                raise ValueError(f"{name} = {getattr(self, name)!r} is not possible: DistilBERT has none; use BERT")
        super().__post_init__()


class Distilbert(Bert):
    """DistilBERT with its head for masked tokens."""

    family: ClassVar[str] = "distilbert"
    has_segments: ClassVar[bool] = False
    has_pooler: ClassVar[bool] = False
    optional_heads: ClassVar[tuple[str, ...]] = ("mlm",)
    config_class: ClassVar[type] = DistilbertConfig
    sizes: ClassVar[dict[str, BertConfig]] = {
        "tiny": DistilbertConfig(vocab_size=4096, context=128, width=64, layers=2, heads=2),
        "mini": DistilbertConfig(vocab_size=16_000, context=256, width=256, layers=4, heads=4),
        "small": DistilbertConfig(vocab_size=16_000, context=512, width=512, layers=8, heads=8),
        "base": DistilbertConfig(),
    }
