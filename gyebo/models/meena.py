"""Meena: Adiwardana et al. 2020, "Towards a Human-like Open-Domain Chatbot", with the network of So et al. 2019, "The Evolved
Transformer". The child of the Transformer.

A dialogue so far is read by an encoder of one block, the answer is written by a decoder of thirteen. What differs from the
Transformer are the blocks, which an evolutionary search over Transformers found (So et al., figure 3): each is about as deep as
two of the Transformer's, has convolutions between its attentions, which see a token's neighbours, and is pre-norm.

    encoder block, x -> x + f(norm(x)) for each f in turn          decoder block, likewise
    -----------------------------------------------------          -----------------------------------------------------
    gated linear unit: value * sigmoid(gate)                       self-attention with twice the heads (at most 16, but never
                                                                     fewer than H)  +  attention to the source
    relu(linear, 4D)  +  relu(convolution of 3, D/2)               relu(separable convolution of 11, 2D)
      -> norm -> separable convolution of 9, D/2                     +  separable convolution of 7, D/2
                                                                     -> norm -> separable convolution of 7, D
    self-attention                                                 self-attention
                                                                   attention to the source
    linear, 4D -> relu -> linear                                   linear, 4D -> swish -> norm -> linear

Where two branches or a residual of different widths are added, zeros fill the narrower one. The decoder's convolutions see a
token and those before it (10, 6 and 6), the encoder's both sides; beyond a text all of them see zeros.

The figure leaves details open. They are those of the authors' code in Tensor2Tensor (`evolved_transformer.py`), like the number
of heads above: both branches of the decoder's first step read one norm; a norm after each stack; dropout with one rate on the
sum of embedding and position, on every sublayer's output, after each branch of the convolutions and after the activation of the
feed-forward network, with another one on attention weights; no biases in attention; of a separable convolution the second step
alone has one; the embedding times sqrt(D), all sines before all cosines, one matrix for source, target and output. With these
shapes the published model has the 2.6 billion parameters that its paper reports. The frequencies of the sinusoids are those of
Vaswani et al.; Tensor2Tensor's fall a little faster.

Letters: B batch, T length of the source, N real tokens of the source, M of the target, R rows of a decoding step, D width, H
heads, K = D/H.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.protocol import FreeTarget, check_shape
from gyebo.models.transformer import Residual, SelfAttention, SourceAttention, Transformer, TransformerConfig
from gyebo.nn.across import Pairs
from gyebo.nn.cache import KeyValueCache, SourceCache, WindowCache
from gyebo.nn.convolution import Convolution, SeparableConvolution
from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.ragged import Ragged

MOST_DOUBLED = 16  # heads up to which the decoder's first self-attention has twice as many


@dataclass
class MeenaConfig(FreeTarget):
    """The configuration of a Meena; the defaults are the published model."""

    vocab_size: int = 8192
    context: int = 128  # tokens of a text, source or target; no parameter depends on it
    width: int = 2560
    layers: int = 1  # blocks of the encoder
    decoder_layers: int = 13
    heads: int = 32
    residual_dropout: float = 0.1  # of embeddings, sublayers, branches of convolutions, and after the activation
    attention_dropout: float = 0.1  # on the weights of attention
    norm_eps: float = 1e-6
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None
    start_id: int | None = None  # first id of the decoder; None: bos_id, otherwise pad_id

    # What a Transformer may choose and a Meena may not.
    pre_norm: ClassVar[bool] = True
    scaled: ClassVar[bool] = True
    positions: ClassVar[str] = "halves"
    tied: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers", "decoder_layers", "heads"),
            shares=("residual_dropout", "attention_dropout"),
            positive=("norm_eps",),
            ids=("pad_id", "bos_id", "eos_id", "start_id"),
        )
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, but is {self.width} with {self.heads} heads instead")
        if self.width % self.wide_heads:
            raise ValueError(
                f"width must be a multiple of the {self.wide_heads} heads of the decoder's first self-attention "
                f"(heads = {self.heads}, doubled up to {MOST_DOUBLED}), but is {self.width} instead"
            )
        if self.width % 2:
            raise ValueError(f"width must be even, as convolutions have half of it, but is {self.width} instead")

    @property
    def wide_heads(self) -> int:
        """Heads of the decoder's first self-attention."""
        return max(min(2 * self.heads, MOST_DOUBLED), self.heads)

    @property
    def init_std(self) -> float:
        """Standard deviation of the embedding; times sqrt(D) it is 1."""
        return self.width**-0.5


def _as_transformer(config: MeenaConfig, heads: int) -> TransformerConfig:
    """The options of those sublayers that are the Transformer's."""
    return TransformerConfig(
        width=config.width,
        heads=heads,
        residual_dropout=config.residual_dropout,
        attention_dropout=config.attention_dropout,
        norm_eps=config.norm_eps,
        pre_norm=config.pre_norm,
    )


def _widened(narrow: Tensor, width: int) -> Tensor:
    """[..., d] -> [..., width], with zeros."""
    return F.pad(narrow, (0, width - narrow.shape[-1]))


class _Part(nn.Module):
    """A sublayer with dropout inside."""

    def __init__(self, config: MeenaConfig):
        super().__init__()
        self.dropout = config.residual_dropout

    def drop(self, x: Tensor) -> Tensor:
        """Dropout in training."""
        return dropout(x, self.dropout if self.training else 0.0)


class GatedUnit(nn.Module):
    """A gated linear unit (Dauphin et al. 2017): value * sigmoid(gate), both computed by one matrix; [N, D] -> [N, D]."""

    def __init__(self, config: MeenaConfig):
        super().__init__()
        self.value_gate = nn.Linear(config.width, 2 * config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, D] -> [N, D]."""
        return F.glu(self.value_gate(x), -1)


class EncoderConvolutions(_Part):
    """Branches of a linear layer and a convolution over both sides, then a separable convolution; [N, D] -> [N, D]."""

    def __init__(self, config: MeenaConfig):
        super().__init__(config)
        width = config.width
        self.dense = nn.Linear(width, 4 * width)
        self.near = Convolution(width, width // 2, 3)
        self.norm = nn.LayerNorm(4 * width, eps=config.norm_eps)
        self.far = SeparableConvolution(4 * width, width // 2, 9)

    def forward(self, x: Tensor, layout: Ragged) -> Tensor:
        """[N, D] -> [N, D]."""
        dense = self.drop(F.relu(self.dense(x)))
        near = self.drop(F.relu(self.near(x, layout)))
        joined = self.norm(dense + _widened(near, dense.shape[-1]))
        return _widened(self.far(joined, layout), x.shape[-1])


class DecoderConvolutions(_Part):
    """Branches of two separable convolutions, then a third one; all see a token and those before; [M, D] -> [M, D]."""

    def __init__(self, config: MeenaConfig):
        super().__init__(config)
        width = config.width
        self.left = SeparableConvolution(width, 2 * width, 11, causal=True)
        self.right = SeparableConvolution(width, width // 2, 7, causal=True)
        self.norm = nn.LayerNorm(2 * width, eps=config.norm_eps)
        self.last = SeparableConvolution(2 * width, width, 7, causal=True)

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """How many inputs of which width a step needs of those before: of both branches together, of the third convolution."""
        return (max(self.left.size, self.right.size) - 1, self.left.inputs), (self.last.size - 1, self.last.inputs)

    def join(self, left: Tensor, right: Tensor) -> Tensor:
        """The input of the third convolution, from both branches."""
        left = self.drop(F.relu(left))
        return self.norm(left + _widened(self.drop(right), left.shape[-1]))

    def forward(self, x: Tensor, layout: Ragged) -> Tensor:
        """[M, D] -> [M, D]."""
        return self.last(self.join(self.left(x, layout), self.right(x, layout)), layout)

    def step(self, x: Tensor, layer: int, cache: WindowCache) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D]."""
        seen = cache.slide(2 * layer, x)
        return self.last.step(cache.slide(2 * layer + 1, self.join(self.left.step(seen), self.right.step(seen))))


class FeedForward(_Part):
    """The encoder's feed-forward network; [..., D] -> [..., D]."""

    def __init__(self, config: MeenaConfig):
        super().__init__(config)
        self.up = nn.Linear(config.width, 4 * config.width)
        self.down = nn.Linear(4 * config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., 4D] -> [..., D]."""
        return self.down(self.drop(F.relu(self.up(x))))


class NormedFeedForward(FeedForward):
    """The decoder's: swish, and a norm before the second matrix."""

    def __init__(self, config: MeenaConfig):
        super().__init__(config)
        self.norm = nn.LayerNorm(4 * config.width, eps=config.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., 4D] -> [..., D]."""
        return self.down(self.norm(self.drop(F.silu(self.up(x)))))


class EncoderBlock(nn.Module):
    """A block of the encoder."""

    def __init__(self, config: MeenaConfig):
        super().__init__()
        plain = _as_transformer(config, config.heads)
        self.gate, self.gate_residual = GatedUnit(config), Residual(plain)
        self.convolutions, self.convolutions_residual = EncoderConvolutions(config), Residual(plain)
        self.attention, self.attention_residual = SelfAttention(plain, causal=False), Residual(plain)
        self.mlp, self.mlp_residual = FeedForward(config), Residual(plain)

    def forward(self, x: Tensor, layout: Ragged, attentions: list[Tensor] | None = None) -> Tensor:
        """[N, D] -> [N, D]."""
        x = self.gate_residual.after(x, self.gate(self.gate_residual.before(x)))
        x = self.convolutions_residual.after(x, self.convolutions(self.convolutions_residual.before(x), layout))
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), layout, attentions))
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))


class DecoderBlock(nn.Module):
    """A block of the decoder; it has two layers of a cache, the first for the attentions side by side."""

    def __init__(self, config: MeenaConfig):
        super().__init__()
        plain, wide = (_as_transformer(config, heads) for heads in (config.heads, config.wide_heads))
        self.wide_attention, self.beside_attention = SelfAttention(wide, causal=True), SourceAttention(plain)
        self.wide_residual = Residual(plain)  # of both
        self.convolutions, self.convolutions_residual = DecoderConvolutions(config), Residual(plain)
        self.attention, self.attention_residual = SelfAttention(plain, causal=True), Residual(plain)
        self.source_attention, self.source_residual = SourceAttention(plain), Residual(plain)
        self.mlp, self.mlp_residual = NormedFeedForward(config), Residual(plain)

    def forward(
        self,
        x: Tensor,
        layout: Ragged,
        rows: Tensor,
        source: Pairs,
        to_target: list[Tensor] | None = None,
        across: list[Tensor] | None = None,
    ) -> Tensor:
        """[M, D] -> [M, D], with attention to the encoder's `rows` [N, D]; to each of the lists two tensors are appended."""
        y = self.wide_residual.before(x)
        x = self.wide_residual.after(x, self.wide_attention(y, layout, to_target))
        x = self.wide_residual.after(x, self.beside_attention(y, rows, source, across))
        x = self.convolutions_residual.after(x, self.convolutions(self.convolutions_residual.before(x), layout))
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), layout, to_target))
        attended = self.source_attention(self.source_residual.before(x), rows, source, across)
        x = self.source_residual.after(x, attended)
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))

    def step(self, x: Tensor, layer: int, cache: SourceCache) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D]."""
        target, first, second = cache.target, 2 * layer, 2 * layer + 1
        assert isinstance(target, WindowCache)
        y = self.wide_residual.before(x)
        x = self.wide_residual.after(x, self.wide_attention.step(y, first, target))
        x = self.wide_residual.after(x, self.beside_attention.step(y, first, cache))
        x = self.convolutions_residual.after(x, self.convolutions.step(self.convolutions_residual.before(x), layer, target))
        x = self.attention_residual.after(x, self.attention.step(self.attention_residual.before(x), second, target))
        x = self.source_residual.after(x, self.source_attention.step(self.source_residual.before(x), second, cache))
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))


class Meena(Transformer):
    """Meena, encoder and decoder, with an output layer. Every block of the decoder has two attentions to the target and two to
    the source, whose weights are given in this order."""

    family: ClassVar[str] = "meena"
    config_class: ClassVar[type] = MeenaConfig
    config: MeenaConfig  # type: ignore[assignment]
    # gyebo's own have one block of the encoder, as published, and of the decoder as many as make a BART of that size.
    sizes: ClassVar[dict[str, MeenaConfig]] = {  # type: ignore[assignment]
        "tiny": MeenaConfig(4096, 128, 64, 1, 1, 2),
        "mini": MeenaConfig(16_000, 256, 256, 1, 1, 4),
        "small": MeenaConfig(16_000, 512, 512, 1, 3, 8),
        "published": MeenaConfig(),
    }

    def __init__(self, config: MeenaConfig):
        nn.Module.__init__(self)  # the blocks differ from the parent's
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.encoder = nn.ModuleList([EncoderBlock(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderBlock(config) for _ in range(config.decoder_layers)])
        self.encoder_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.decoder_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        self.lm_head.weight = self.token_embedding.weight
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator, as Tensor2Tensor does.

        | tensor | distribution |
        | --- | --- |
        | embedding | N(0, 1 / sqrt(D)) |
        | other matrices | uniform (Glorot & Bengio 2010), query, key, value and gate separately |
        | kernels of convolutions | uniform (Glorot): in, places times inputs of a kernel; out, places times kernels |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        """
        super().initialise()
        for module in self.modules():
            if isinstance(module, GatedUnit):
                for part in module.value_gate.weight.chunk(2):
                    nn.init.xavier_uniform_(part)
            if isinstance(module, nn.Conv1d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    module.bias.zero_()

    def read_source(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> SourceCache:
        """Read sources [B, T]; the cache has room for `slots` tokens of each target. It has two layers for each block."""
        source = self._lay_out(input_ids, attention_mask)
        rows = self._read(input_ids, source.layout)[-1]
        attentions = [attention for block in self._blocks for attention in (block.beside_attention, block.source_attention)]
        keys = [attention.keys(rows, source.layout) for attention in attentions]
        return SourceCache.of(keys, source.allowed, self._empty(len(input_ids), slots, rows))

    @property
    def _blocks(self) -> list[DecoderBlock]:
        return list(self.decoder)  # type: ignore[arg-type]

    def _empty(self, count: int, slots: int, rows: Tensor) -> WindowCache:
        """The cache of so many targets; dtype and device are those of the `rows`."""
        config = self.config
        kind: dict[str, Any] = {"dtype": rows.dtype, "device": rows.device}
        wide, plain = (
            KeyValueCache.empty(config.decoder_layers, count, heads, slots, config.width // heads, **kind)
            for heads in (config.wide_heads, config.heads)
        )
        return WindowCache(
            [part for pair in zip(wide.keys, plain.keys) for part in pair],
            [part for pair in zip(wide.values, plain.values) for part in pair],
            plain.real,
            plain.positions,
            windows=[rows.new_zeros(count, *shape) for block in self._blocks for shape in block.convolutions.windows],
        )

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config, width = self.config, self.config.width
        square, source, target = width**2, work.places("source"), work.places("target")
        # Gate, branches of 4 and 3 x 1/2, separable convolution of 9 over 4 D, attention, feed-forward.
        encoder = source * ((2 + 4 + 1.5 + 2 + 4 + 8) * square + 9 * 4 * width) + 2 * work.pairs("source") * width
        # Two self-attentions; separable convolutions of 11 and 7 over D, of 7 over 2 D; feed-forward.
        decoder = target * ((2 * 4 + 2 + 0.5 + 2 + 8) * square + (11 + 7 + 7 * 2) * width) + 4 * work.pairs("target") * width
        # Twice: query and output of each target token, key and value of each source token.
        decoder += 4 * (source + target) * square + 4 * work.pairs("target", "source") * width
        return 2 * (config.layers * encoder + config.decoder_layers * decoder + work.outputs({"lm": width * config.vocab_size}))
