"""The decoder of BART alone: Lewis et al. 2020, section 4.1, "Language Model", one of the models that BART is compared with
there. `BartForCausalLM` of `transformers`.

It is GPT, a post-norm decoder that reads from left to right, with BART's input and activation:

- a norm after the sum of token and position;
- the first two rows of the table of positions are never used;
- the exact GELU.

Attention over a source is left out: without an encoder there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from gyebo.models.bart import OFFSET
from gyebo.models.gpt import Gpt, GptConfig


@dataclass
class BartDecoderConfig(GptConfig):
    """The configuration of a BART decoder; the defaults are that of the published base model."""

    vocab_size: int = 50_265
    context: int = 1024
    layers: int = 6
    activation: str = "gelu"
    attention_dropout: float = 0.0
    pad_id: int | None = 1
    bos_id: int | None = 0
    eos_id: int | None = 2

    def __post_init__(self) -> None:
        fixed = {"tied": True, "norm_eps": 1e-5}
        for name, value in fixed.items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} is always {value} in BART, but is {getattr(self, name)} instead")
        super().__post_init__()


class BartDecoder(Gpt):
    """BART's decoder with an output layer, as a language model."""

    family: ClassVar[str] = "bart_decoder"
    config_class: ClassVar[type] = BartDecoderConfig
    # The sizes of GPT, and the decoders of the published models.
    sizes: ClassVar[dict[str, GptConfig]] = {
        "tiny": BartDecoderConfig(4096, 128, 64, 2, 2, pad_id=None, bos_id=None, eos_id=None),
        "mini": BartDecoderConfig(16_000, 256, 256, 4, 4, pad_id=None, bos_id=None, eos_id=None),
        "small": BartDecoderConfig(16_000, 512, 512, 8, 8, pad_id=None, bos_id=None, eos_id=None),
        "base": BartDecoderConfig(),
        "large": BartDecoderConfig(width=1024, layers=12, heads=16),
    }

    def __init__(self, config: BartDecoderConfig):
        super().__init__(config)
        self.position_embedding = nn.Embedding(OFFSET + config.context, config.width)
        self.embedding_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        nn.init.normal_(self.position_embedding.weight, 0.0, config.init_std)

    def _placed(self, vectors: Tensor, positions: Tensor) -> Tensor:
        """Token vectors [..., D] with their positions [...], normalised."""
        return self.embedding_norm(vectors + self.position_embedding(OFFSET + positions))
