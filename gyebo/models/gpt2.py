"""GPT-2: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners". The child of GPT.

What differs from GPT (section 2.3 of the paper):

- normalisation at the *input* of each sublayer (pre-norm), and once more after the last block;
- the matrices that write into the residual stream are initialised smaller, by 1/sqrt(2 x layers), so that its variance does not
  grow with depth; positions with half the standard deviation (as released, not in the paper);
- context 1024, byte-level BPE with 50,257 tokens; sizes up to 1.5 billion parameters.

Letters: B batch, T length, D width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gyebo.models.gpt import Attention, Block, Gpt, GptConfig, Run
from gyebo.nn.dropout import dropout


@dataclass
class Gpt2Config(GptConfig):
    """The configuration of a GPT-2; the defaults are the published "small" (124M)."""

    vocab_size: int = 50_257
    context: int = 1024
    scale_attention: bool = True  # divide scores by sqrt(D/H)
    scale_attention_by_layer: bool = False  # and by the index of the layer, from 1
    upcast_attention: bool = False  # scores and weights in float32, whatever the precision


class Gpt2Attention(Attention):
    """GPT's attention; the scale of the scores may depend on the layer, and they may be computed in float32."""

    def __init__(self, config: Gpt2Config, layer: int):
        super().__init__(config, layer)
        if not config.scale_attention:
            self.scale = 1.0
        if config.scale_attention_by_layer:
            self.scale /= layer + 1
        self.upcast = config.upcast_attention


class Gpt2Block(Block):
    """One layer: the input of each sublayer is normalised, and its output is added to the residual stream (pre-norm)."""

    def __init__(self, config: Gpt2Config, layer: int):
        super().__init__(config, layer)
        self.attention = Gpt2Attention(config, layer)

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        p = self.dropout if self.training else 0.0
        x = x + dropout(self.attention(self.attention_norm(x), run), p)
        return x + dropout(self.mlp(self.mlp_norm(x)), p)


class Gpt2(Gpt):
    """GPT-2 with its language-model head."""

    family: ClassVar[str] = "gpt2"
    config_class: ClassVar[type] = Gpt2Config
    block_class = Gpt2Block
    config: Gpt2Config
    sizes: ClassVar[dict[str, GptConfig]] = {
        "tiny": Gpt2Config(vocab_size=4096, context=128, width=64, layers=2, heads=2),
        "mini": Gpt2Config(vocab_size=16_000, context=256, width=256, layers=4, heads=4),
        "small": Gpt2Config(vocab_size=16_000, context=512, width=512, layers=8, heads=8),
        "base": Gpt2Config(),
        "medium": Gpt2Config(width=1024, layers=24, heads=16),
        "large": Gpt2Config(width=1280, layers=36, heads=20),
        "xl": Gpt2Config(width=1600, layers=48, heads=25),
    }

    def __init__(self, config: Gpt2Config):
        super().__init__(config)
        self.final_norm = nn.LayerNorm(config.width, eps=config.norm_eps)

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding | N(0, init_std), except: |
        | attention.out, mlp.down | N(0, init_std / sqrt(2 layers)) |
        | position_embedding | N(0, init_std / 2) |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        """
        super().initialise()
        std = self.config.init_std
        self.position_embedding.weight.normal_(0.0, std / 2)
        block: Any
        for block in self.blocks:
            block.attention.out.weight.normal_(0.0, std / math.sqrt(2 * self.config.layers))
            block.mlp.down.weight.normal_(0.0, std / math.sqrt(2 * self.config.layers))
