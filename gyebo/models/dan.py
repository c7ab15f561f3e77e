"""DAN: Iyyer et al. 2015, "Deep Unordered Composition Rivals Syntactic Methods for Text Classification".

    token -> mean over all tokens so far -> [ dense -> tanh -> dropout ] x layers -> vocabulary

The deep averaging network is the feed-forward baseline of the tree: a text is a bag of words, without their order. Recurrent
networks and attention are compared with it. The paper averages a whole text and classifies it; here each position has the mean
of the tokens up to it, so the same network is also a language model, and its last position is the paper's model.

Word dropout (section 2.2 of the paper) drops whole tokens from the mean. Letters: B batch, T length, N rows, D width, V
vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gyebo.models.protocol import CausalWithoutPositions, check_shape
from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import Encoded
from gyebo.nn.ragged import over_sequences


@dataclass
class DanConfig:
    """The configuration of a DAN; the defaults are those of the paper for sentiment, three layers of width 300."""

    vocab_size: int = 16_000
    context: int = 1024  # tokens
    width: int = 300
    layers: int = 3
    dropout: float = 0.0  # after each layer
    word_dropout: float = 0.3  # share of the tokens that are dropped from the mean
    init_std: float = 0.05
    tied: bool = True  # the output layer is the token embedding
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers"),
            shares=("dropout", "word_dropout"),
            positive=("init_std",),
            ids=("pad_id", "bos_id", "eos_id"),
        )


@dataclass
class Bag:
    """The cache of B texts in generation: the sum of their token vectors [B, D], and the number of tokens [B, 1]."""

    total: Tensor
    count: Tensor

    def reorder(self, rows: Tensor) -> Bag:
        """A new cache of rows [B'], repeats allowed."""
        return Bag(self.total.index_select(0, rows), self.count.index_select(0, rows))


class Dan(CausalWithoutPositions, nn.Module):
    """The deep averaging network."""

    family: ClassVar[str] = "dan"
    generates: ClassVar[bool] = True
    compiles: ClassVar[bool] = True
    config_class: ClassVar[type] = DanConfig
    sizes: ClassVar[dict[str, DanConfig]] = {
        "tiny": DanConfig(vocab_size=4096, context=128, width=64, layers=2, word_dropout=0.0),
        "mini": DanConfig(context=256, width=256),
        "small": DanConfig(context=512, width=512),
        "paper": DanConfig(),
    }

    def __init__(self, config: DanConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList([nn.Linear(config.width, config.width) for _ in range(config.layers)])
        self.lm_head = nn.Linear(config.width, config.vocab_size)
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator: tables N(0, init_std), other matrices uniform (Glorot & Bengio 2010),
        biases 0."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                module.bias.zero_()
        for table in {self.token_embedding.weight, self.lm_head.weight}:
            table.normal_(0.0, self.config.init_std)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        return_layers: bool = False,
    ) -> Encoded:
        """Read ids [B, T]; `hidden` [B, T, D] is zero at padding.

        `attention_mask` [B, T] is 0 at padding; `document_ids` [B, T] (0 = padding) keeps the mean within each document. Raises
        ValueError where a text is longer than `config.context`.
        """
        layout = self.lay_out(input_ids, attention_mask, document_ids)
        x, counts = self._kept(layout.gather(self.embed(input_ids)))
        total, count = (over_sequences(part, layout, lambda cells: cells.cumsum(1)) for part in (x, counts))
        layers = self._layers(total / count.clamp(min=1))
        return Encoded(layout.scatter(layers[-1]), tuple(map(layout.scatter, layers)) if return_layers else None)

    def _kept(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Token vectors [N, D] and the weight of each [N, 1]: 0 for those that word dropout drops."""
        if not self.training or not self.config.word_dropout:
            return x, x.new_ones(len(x), 1)
        kept = torch.rand(len(x), 1, device=x.device) >= self.config.word_dropout
        return x * kept, kept.to(x.dtype)

    def _layers(self, x: Tensor) -> list[Tensor]:
        """The input of the network and the output of each layer, [N, D]."""
        p = self.config.dropout if self.training else 0.0
        layers = [x]
        for block in self.blocks:
            layers.append(dropout(torch.tanh(block(layers[-1])), p))
        return layers

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Bag]:
        """Read prompts [B, T] at once; returns hidden [B, D] of each last real token, and the cache (`slots` is ignored)."""
        self.lay_out(input_ids, attention_mask)
        x = self.embed(input_ids)
        real = torch.ones_like(input_ids) if attention_mask is None else (attention_mask != 0).long()
        wide = torch.promote_types(x.dtype, torch.float32)  # half precision can't count beyond a few hundred
        bag = Bag((x * real[..., None]).sum(1, dtype=wide), real.sum(1, keepdim=True).to(wide))
        return self._layers((bag.total / bag.count.clamp(min=1)).to(x.dtype))[-1] * (bag.count > 0), bag

    def step(self, ids: Tensor, cache: Bag) -> Tensor:
        """One decoding step: ids [B] -> hidden [B, D]; the cache is updated in place."""
        x = self.embed(ids)
        cache.total, cache.count = cache.total + x, cache.count + 1
        return self._layers((cache.total / cache.count).to(x.dtype))[-1]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config = self.config
        layers = work.places() * config.layers * config.width**2
        return 2 * (layers + work.outputs({"lm": config.width * config.vocab_size}))
