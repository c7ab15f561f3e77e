"""RoBERTa: Liu et al. 2019, "RoBERTa: A Robustly Optimized BERT Pretraining Approach". The child of BERT.

The main difference from BERT is the training (sections 3 and 4 of the paper: longer, on more text, with larger batches, dynamic
masking and no next-sentence prediction), which is part of the objective. In the model:

- no pooler and no next-sentence head; one segment, whose vector is added to every token;
- positions start after the row of the padding id, so the table has context + pad_id + 1 rows (as released by fairseq);
- norm epsilon 1e-5; byte-level BPE with 50,265 tokens;
- the head for masked tokens has the exact GELU, whatever the blocks have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gyebo.models.bert import Bert, BertConfig


@dataclass
class RobertaConfig(BertConfig):
    """The shape of a RoBERTa; the defaults are the published base model with its head for masked tokens."""

    vocab_size: int = 50_265
    norm_eps: float = 1e-5
    pad_id: int | None = 1
    bos_id: int | None = 0
    eos_id: int | None = 2
    segments: int = 1
    nsp: bool = False
    pooler: bool = False

    def __post_init__(self) -> None:
        if self.pad_id is None:
            raise ValueError("pad_id must be the id of padding, but is None instead: positions start after its row")
        if self.nsp:
            raise ValueError("nsp = True is not possible: RoBERTa has no next-sentence head; use BERT")
        super().__post_init__()

    @property
    def first_position(self) -> int:
        """Row of the position table at which a text starts: after that of padding."""
        return (self.pad_id or 0) + 1

    @property
    def head_activation(self) -> str:
        """Activation in the head that predicts masked tokens."""
        return "gelu"


class Roberta(Bert):
    """RoBERTa with its head for masked tokens."""

    family: ClassVar[str] = "roberta"
    optional_heads: ClassVar[tuple[str, ...]] = ("mlm",)
    config_class: ClassVar[type] = RobertaConfig
    sizes: ClassVar[dict[str, BertConfig]] = {
        "tiny": RobertaConfig(vocab_size=4096, context=128, width=64, layers=2, heads=2),
        "mini": RobertaConfig(vocab_size=16_000, context=256, width=256, layers=4, heads=4),
        "small": RobertaConfig(vocab_size=16_000, context=512, width=512, layers=8, heads=8),
        "base": RobertaConfig(),
        "large": RobertaConfig(width=1024, layers=24, heads=16),
    }
