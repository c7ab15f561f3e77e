"""BART: Lewis et al. 2020, "BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation, Translation, and
Comprehension". The child of the Transformer.

An encoder reads a text whose tokens were masked, deleted or reordered, a decoder writes the original
(`gyebo/objectives/denoising.py`). Differences from the Transformer of 2017 (section 2.1, and the released weights):

- GELU instead of ReLU; all weights drawn from N(0, 0.02);
- learned positions, a table for each stack, and a norm after the sum of token and position, as in BERT; the first two rows of a
  table are never used;
- biases in attention; the embedding is not multiplied by sqrt(D);
- the decoder starts with the end token `</s>`, not with `<s>`: its target is `<s> ... </s>`.

A text that is to be classified is fed to both stacks, to the decoder moved on by one; the decoder's state at the last token
stands for it (section 3.1). So `encode` without a target takes the source as the target.

Post-norm throughout. Pre-norm with a last norm in each stack is mBART (Liu et al. 2020), which is not this family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gyebo.models.transformer import Transformer, TransformerConfig, shifted
from gyebo.nn.cost import Workload
from gyebo.nn.outputs import Encoded

OFFSET = 2  # rows of a position table before that of the first token; they are never used

# What a Transformer may choose and BART may not.
FIXED: dict[str, Any] = {
    "norm_eps": 1e-5,
    "pre_norm": False,
    "attention_bias": True,
    "output_bias": False,  # the released weights have one of zeros that is never trained
    "positions": "learned",
    "tied": True,
}


@dataclass
class BartConfig(TransformerConfig):
    """The configuration of a BART; the defaults are the published base model."""

    vocab_size: int = 50_265
    context: int = 1024
    width: int = 768
    heads: int = 12
    inner: int = 3072
    activation: str = "gelu"
    norm_eps: float = 1e-5
    attention_bias: bool = True
    scaled: bool = False
    positions: str = "learned"
    pad_id: int | None = 1
    bos_id: int | None = 0
    eos_id: int | None = 2
    init_std: float = 0.02
    forced_bos_id: int | None = None  # the first id that is generated after the start, where it is always the same
    forced_eos_id: int | None = None  # the last id of an answer that has reached its maximum length

    position_kinds: ClassVar[tuple[str, ...]] = ("learned",)

    def __post_init__(self) -> None:
        for name, value in FIXED.items():
            if getattr(self, name) != value:
                hint = ": a BART with pre-norm is mBART, which gyebo does not have" if name == "pre_norm" else ""
                raise ValueError(f"{name} is always {value} in BART, but is {getattr(self, name)} instead{hint}")
        super().__post_init__()

    @property
    def first_id(self) -> int:
        """The first id of the decoder: the end token, unless `start_id` says otherwise."""
        return next((id for id in (self.start_id, self.eos_id, self.bos_id, self.pad_id) if id is not None), 0)

    @property
    def forced_ids(self) -> tuple[int | None, int | None]:
        """As in `FreeTarget`."""
        return self.forced_bos_id, self.forced_eos_id


def _small(vocab_size: int, context: int, width: int, layers: int, heads: int) -> BartConfig:
    return BartConfig(vocab_size, context, width, layers, layers, heads, 4 * width, pad_id=None, bos_id=None, eos_id=None)


class Bart(Transformer):
    """BART, encoder and decoder, with an output layer."""

    family: ClassVar[str] = "bart"
    gives_attentions: ClassVar[bool] = True
    config_class: ClassVar[type] = BartConfig
    # As in the base model, encoder and decoder together have as many layers as BERT of that size.
    sizes: ClassVar[dict[str, TransformerConfig]] = {
        "tiny": _small(4096, 128, 64, 1, 2),
        "mini": _small(16_000, 256, 256, 2, 4),
        "small": _small(16_000, 512, 512, 4, 8),
        "base": BartConfig(),
        "large": BartConfig(width=1024, layers=12, decoder_layers=12, heads=16, inner=4096),
    }

    def __init__(self, config: BartConfig):
        super().__init__(config)
        width, stacks = config.width, ("encoder", "decoder")
        self.position_embedding = nn.ModuleDict({stack: nn.Embedding(OFFSET + config.context, width) for stack in stacks})
        self.embedding_norm = nn.ModuleDict({stack: nn.LayerNorm(width, eps=config.norm_eps) for stack in stacks})
        for parameter in self.position_embedding.parameters():
            nn.init.normal_(parameter, 0.0, config.init_std)

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding | N(0, init_std) |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding) and module is not self.lm_head:  # which is the embedding
                module.weight.normal_(0.0, self.config.init_std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def _placed(self, x: Tensor, positions: Tensor, stack: str) -> Tensor:
        """Token vectors [..., D] with their positions [...], normalised."""
        return self.embedding_norm[stack](x + self.position_embedding[stack](OFFSET + positions))

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        **wanted: bool,
    ) -> Encoded:
        """As `Transformer.encode`; without `decoder_input_ids` the target is the source, so `hidden` is [B, T, D]."""
        if decoder_input_ids is None:
            decoder_input_ids = shifted(input_ids, attention_mask, self.start_id)
            decoder_attention_mask = attention_mask
        return super().encode(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, **wanted)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`); a text that is source and target at once is in the stream "tokens"."""
        if "tokens" in work.lengths:
            work = Workload(dict.fromkeys(("source", "target"), work.lengths["tokens"]), work.projected)
        return super().flops(work)
