"""The Transformer: Vaswani et al. 2017, "Attention Is All You Need".

An encoder reads a sentence, a decoder generates its translation; without recurrence, a whole sentence is read in parallel.

    source: token + sinusoid -> dropout -> [ self-attention -> add -> norm -> feed-forward -> add -> norm ] x 6 ----------+
                                                                                                                       v
    target: token + sinusoid -> dropout -> [ masked self-attention -> add -> norm -> attention over the source -> add -> norm
                                             -> feed-forward -> add -> norm ] x 6 -> vocabulary

What differs from the recurrent encoders and decoders before it (`gyebo/models/seq2seq.py`): word order is represented by
position vectors added to the embedding (section 3.5) instead of recurrence; every layer of the decoder has attention to the
source, with several heads. Source, target and output layer share one matrix, multiplied by sqrt(D) as the embedding (section
3.4). Dropout is applied to the output of each sublayer and to the sums of embeddings and positions (section 5.4). The paper's
projections in attention have no biases.

`pre_norm` normalises the *input* of each sublayer, and once more the final output (Tensor2Tensor's later default).

Letters: B batch, T length of the source, U of the target, N real tokens of the source, M of the target, R rows of a decoding
step, D width, H heads, K = D/H, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.protocol import FreeTarget, Translating, check_shape
from gyebo.nn.across import Pairs, attend_across, pairs_of
from gyebo.nn.attention import attend, join_heads, split_heads
from gyebo.nn.cache import KeyValueCache, SourceCache
from gyebo.nn.cost import Workload, transformer_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS
from gyebo.nn.outputs import Encoded
from gyebo.nn.positions import ORDERS, sinusoids
from gyebo.nn.ragged import Ragged, attend_ragged


@dataclass
class TransformerConfig(FreeTarget):
    """The configuration of a Transformer; the defaults are the published base model, without biases in attention."""

    vocab_size: int = 37_000
    context: int = 1024  # tokens of a sentence
    width: int = 512
    layers: int = 6  # of the encoder
    decoder_layers: int = 6
    heads: int = 8
    inner: int = 2048
    activation: str = "relu"
    residual_dropout: float = 0.1  # on the output of each sublayer, and on the sum of embedding and position
    attention_dropout: float = 0.0  # on the weights of attention
    inner_dropout: float = 0.0  # after the activation
    norm_eps: float = 1e-6
    pre_norm: bool = False
    attention_bias: bool = False
    output_bias: bool = False
    scaled: bool = True  # the embedding is multiplied by sqrt(width)
    positions: str = "interleaved"  # sine and cosine in turn, as published; or "halves": all sines, then all cosines
    tied: bool = True  # the output layer is the token embedding
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None
    start_id: int | None = None  # first id of the decoder; None: bos_id, otherwise pad_id

    position_kinds: ClassVar[tuple[str, ...]] = ORDERS

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers", "decoder_layers", "heads", "inner"),
            shares=("residual_dropout", "attention_dropout", "inner_dropout"),
            positive=("norm_eps",),
            ids=("pad_id", "bos_id", "eos_id", "start_id"),
        )
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, but is {self.width} with {self.heads} heads instead")
        for name, known in (("activation", ACTIVATIONS), ("positions", self.position_kinds)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, but is {getattr(self, name)!r} instead")

    @property
    def init_std(self) -> float:
        """Standard deviation of the embedding; times sqrt(D) it is 1."""
        return self.width**-0.5


def position_table(config: TransformerConfig) -> Tensor:
    """The vectors of all positions, [context, D], which are not trained."""
    return sinusoids(torch.arange(config.context), config.width, config.context, config.positions)


_MARIAN: dict[str, Any] = {"attention_bias": True, "positions": "halves", "norm_eps": 1e-5}  # as in `transformers`


@dataclass
class Side:
    """One side of a batch: the layout of its rows, and the attention mask [B, 1, 1, T] (None: all tokens)."""

    layout: Ragged
    allowed: Tensor | None


class SelfAttention(nn.Module):
    """Self-attention; query, key and value are computed by one matrix."""

    def __init__(self, config: TransformerConfig, causal: bool):
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.attention_bias)
        self.out = nn.Linear(config.width, config.width, bias=config.attention_bias)
        self.heads, self.dropout, self.causal = config.heads, config.attention_dropout, causal

    def forward(self, x: Tensor, layout: Ragged, attentions: list[Tensor] | None = None) -> Tensor:
        """[N, D] -> [N, D]."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        p = self.dropout if self.training else 0.0
        return self.out(attend_ragged(qkv, layout, causal=self.causal, dropout=p, attentions=attentions))

    def step(self, x: Tensor, layer: int, cache: KeyValueCache) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D], with attention to those in the cache and to itself."""
        query, key, value = split_heads(self.qkv(x), 3 * self.heads).chunk(3, 1)
        key, value = cache.write(layer, key, value)
        return self.out(join_heads(attend(query, key, value)))


class SourceAttention(nn.Module):
    """Cross-attention: queries from the target, keys and values from the encoder."""

    scale: ClassVar[float | None] = None  # of the scores; None: K^-0.5

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.query = nn.Linear(config.width, config.width, bias=config.attention_bias)
        self.key_value = nn.Linear(config.width, 2 * config.width, bias=config.attention_bias)
        self.out = nn.Linear(config.width, config.width, bias=config.attention_bias)
        self.heads, self.dropout = config.heads, config.attention_dropout

    def keys(self, source: Tensor, layout: Ragged) -> tuple[Tensor, Tensor]:
        """Keys and values [B, H, T, K] of the encoder's rows [N, D]."""
        key, value = split_heads(layout.scatter(self.key_value(source)), 2 * self.heads).chunk(2, 1)
        return key, value

    def forward(self, x: Tensor, rows: Tensor, source: Pairs, attentions: list[Tensor] | None = None) -> Tensor:
        """[M, D] -> [M, D], with attention to the encoder's `rows` [N, D]; `source`: which target attends to which of them."""
        query = self.query(x).unflatten(-1, (self.heads, -1))
        key_value = self.key_value(rows).unflatten(-1, (2, self.heads, -1))
        p = self.dropout if self.training else 0.0
        return self.out(attend_across(query, key_value, source, scale=self.scale, dropout=p, attentions=attentions))

    def step(self, x: Tensor, layer: int, cache: SourceCache) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D]."""
        return self.out(cache.attend(layer, split_heads(self.query(x), self.heads)))


class FeedForward(nn.Module):
    """Two linear layers with an activation between (section 3.3); [..., D] -> [..., D]."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.up = nn.Linear(config.width, config.inner)
        self.down = nn.Linear(config.inner, config.width)
        self.activation, self.dropout = ACTIVATIONS[config.activation], config.inner_dropout

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., inner] -> [..., D]."""
        return self.down(dropout(self.activation(self.up(x)), self.dropout if self.training else 0.0))


class Residual(nn.Module):
    """The residual connection of a sublayer f: x -> norm(x + dropout(f(x))), or with pre-norm x -> x + dropout(f(norm(x)))."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.pre, self.dropout = config.pre_norm, config.residual_dropout

    def before(self, x: Tensor) -> Tensor:
        """The input of the sublayer."""
        return self.norm(x) if self.pre else x

    def after(self, x: Tensor, change: Tensor) -> Tensor:
        """The sum of the input and the output of the sublayer."""
        x = x + dropout(change, self.dropout if self.training else 0.0)
        return x if self.pre else self.norm(x)


class EncoderBlock(nn.Module):
    """A layer of the encoder."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.attention, self.attention_residual = SelfAttention(config, causal=False), Residual(config)
        self.mlp, self.mlp_residual = FeedForward(config), Residual(config)

    def forward(self, x: Tensor, layout: Ragged, attentions: list[Tensor] | None = None) -> Tensor:
        """[N, D] -> [N, D]."""
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), layout, attentions))
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))


class DecoderBlock(nn.Module):
    """A layer of the decoder."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.attention, self.attention_residual = SelfAttention(config, causal=True), Residual(config)
        self.source_attention, self.source_residual = SourceAttention(config), Residual(config)
        self.mlp, self.mlp_residual = FeedForward(config), Residual(config)

    def forward(
        self,
        x: Tensor,
        layout: Ragged,
        rows: Tensor,
        source: Pairs,
        to_target: list[Tensor] | None = None,
        across: list[Tensor] | None = None,
    ) -> Tensor:
        """[M, D] -> [M, D], with attention to the encoder's `rows` [N, D]. The lists collect the weights to the target
        (`to_target`) and to the source (`across`)."""
        x = self.attention_residual.after(x, self.attention(self.attention_residual.before(x), layout, to_target))
        attended = self.source_attention(self.source_residual.before(x), rows, source, across)
        x = self.source_residual.after(x, attended)
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))

    def step(self, x: Tensor, layer: int, cache: SourceCache) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D]."""
        x = self.attention_residual.after(x, self.attention.step(self.attention_residual.before(x), layer, cache.target))
        x = self.source_residual.after(x, self.source_attention.step(self.source_residual.before(x), layer, cache))
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))


class Transformer(Translating, nn.Module):
    """The Transformer of 2017, encoder and decoder, with an output layer."""

    family: ClassVar[str] = "transformer"
    config_class: ClassVar[type] = TransformerConfig
    sizes: ClassVar[dict[str, TransformerConfig]] = {
        "tiny": TransformerConfig(4096, 128, 64, 2, 2, 2, 128, **_MARIAN),
        # Transformer-Tiny of Wu et al. 2021, "Good for Misconceived Reasons"
        "mini": TransformerConfig(10_000, 256, 128, 4, 4, 4, 256, residual_dropout=0.3, **_MARIAN),
        "small": TransformerConfig(16_000, 512, 256, 6, 6, 4, 1024, **_MARIAN),
        "base": TransformerConfig(),
        "big": TransformerConfig(width=1024, heads=16, inner=4096, residual_dropout=0.3),
    }

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.encoder = nn.ModuleList([EncoderBlock(config) for _ in range(config.layers)])
        self.decoder = nn.ModuleList([DecoderBlock(config) for _ in range(config.decoder_layers)])
        if config.pre_norm:
            self.encoder_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
            self.decoder_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=config.output_bias)
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | embedding, output matrix | N(0, 1 / sqrt(D)) |
        | other matrices | uniform (Glorot & Bengio 2010), query, key and value separately |
        | biases | 0 |
        | norms | gain 1, bias 0 |
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            if isinstance(module, nn.Linear):
                parts = {"qkv": 3, "key_value": 2}.get(name.rpartition(".")[2], 1)
                for part in module.weight.chunk(parts):
                    nn.init.xavier_uniform_(part)
                if module.bias is not None:
                    module.bias.zero_()
        for table in {self.token_embedding.weight, self.lm_head.weight}:
            table.normal_(0.0, self.config.init_std)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        *,
        return_layers: bool = False,
        return_attentions: bool = False,
    ) -> Encoded:
        """Read the source, ids [B, T], and the target so far, `decoder_input_ids` [B, U] (default: its start id).

        `hidden` [B, U, D] is that of the decoder and zero at padding, `encoder_hidden` [B, T, D] that of the encoder; likewise
        layers and attentions. The masks are 0 at padding. Raises ValueError where a sentence is longer than `config.context`.
        """
        if decoder_input_ids is None:
            decoder_input_ids = input_ids.new_full((len(input_ids), 1), self.start_id)
        lists: list[list[Tensor] | None] = [[] if return_attentions else None for _ in range(3)]
        to_source, to_target, across = lists
        source = self._lay_out(input_ids, attention_mask, return_attentions)
        read = self._read(input_ids, source.layout, to_source)
        target = self._lay_out(decoder_input_ids, decoder_attention_mask, return_attentions)
        pairs = pairs_of(target.layout, source.layout, source.allowed)
        written = self._write(decoder_input_ids, target.layout, read[-1], pairs, to_target, across)
        return Encoded(
            target.layout.scatter(written[-1]),
            tuple(map(target.layout.scatter, written)) if return_layers else None,
            None if to_target is None else tuple(to_target),
            encoder_hidden=source.layout.scatter(read[-1]),
            encoder_layers=tuple(map(source.layout.scatter, read)) if return_layers else None,
            encoder_attentions=None if to_source is None else tuple(to_source),
            cross_attentions=None if across is None else tuple(across),
        )

    def _lay_out(self, ids: Tensor, mask: Tensor | None, dense: bool = False) -> Side:
        """The layout of ids [B, T], with its attention mask."""
        layout, seen = self.lay_out(ids, mask, dense=dense)
        return Side(layout, None if seen is None else seen[:, None, None])

    def _embed(self, ids: Tensor, positions: Tensor, stack: str) -> Tensor:
        """The input of a stack, "encoder" or "decoder": ids and positions [...] -> [..., D]."""
        x = self.embed(ids)
        x = x * self.config.width**0.5 if self.config.scaled else x
        return dropout(self._placed(x, positions, stack), self.config.residual_dropout if self.training else 0.0)

    def _placed(self, x: Tensor, positions: Tensor, stack: str) -> Tensor:
        """Token vectors [..., D] with their positions [...]."""
        return x + sinusoids(positions, self.config.width, self.config.context, self.config.positions).to(x.dtype)

    def _read(self, ids: Tensor, layout: Ragged, attentions: list[Tensor] | None = None) -> list[Tensor]:
        """The input of the encoder and the output of each layer, [N, D]."""
        layers = [self._embed(layout.gather(ids), layout.positions, "encoder")]
        for block in self.encoder:
            layers.append(block(layers[-1], layout, attentions))
        if self.config.pre_norm:
            layers[-1] = self.encoder_norm(layers[-1])
        return layers

    def _write(
        self,
        ids: Tensor,
        layout: Ragged,
        rows: Tensor,
        source: Pairs,
        to_target: list[Tensor] | None,
        across: list[Tensor] | None,
    ) -> list[Tensor]:
        """The input of the decoder and the output of each layer, [M, D]."""
        layers = [self._embed(layout.gather(ids), layout.positions, "decoder")]
        for block in self.decoder:
            layers.append(block(layers[-1], layout, rows, source, to_target, across))
        if self.config.pre_norm:
            layers[-1] = self.decoder_norm(layers[-1])
        return layers

    def read_source(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> SourceCache:
        """Read source sentences [B, T]; the cache has room for `slots` tokens of each translation."""
        source = self._lay_out(input_ids, attention_mask)
        rows = self._read(input_ids, source.layout)[-1]
        config, blocks = self.config, [block.source_attention for block in self.decoder]
        return SourceCache.of(
            [attention.keys(rows, source.layout) for attention in blocks],  # type: ignore[operator, union-attr]
            source.allowed,
            KeyValueCache.empty(
                config.decoder_layers,
                len(input_ids),
                config.heads,
                slots,
                config.width // config.heads,
                dtype=rows.dtype,
                device=rows.device,
            ),
        )

    def step(self, ids: Tensor, cache: SourceCache) -> Tensor:
        """One decoding step: ids [R] -> hidden [R, D]; the cache, which must have room, is extended in place."""
        target = cache.target
        x = self._embed(ids[:, None], target.positions[:, None], "decoder")
        for layer, block in enumerate(self.decoder):
            x = block.step(x, layer, cache)  # type: ignore[operator]
        target.advance(torch.ones_like(ids, dtype=torch.bool)[:, None])
        return (self.decoder_norm(x) if self.config.pre_norm else x)[:, 0]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config, width, inner = self.config, self.config.width, self.config.inner
        source, target = work.places("source"), work.places("target")
        encoder = transformer_flops(source, work.pairs("source"), width=width, layers=config.layers, inner=inner)
        decoder = transformer_flops(target, work.pairs("target"), width=width, layers=config.decoder_layers, inner=inner)
        # Query and output of each target token, key and value of each source token.
        across = config.decoder_layers * (2 * (source + target) * width**2 + 2 * work.pairs("target", "source") * width)
        return encoder + decoder + 2 * (across + work.outputs({"lm": width * config.vocab_size}))


def shifted(ids: Tensor, mask: Tensor | None, start: int) -> Tensor:
    """Ids [B, T] moved on by one, with `start` first: what a decoder reads that is to write them. The mask [B, T] is 0 at
    padding, which may be anywhere and stays where it is."""
    if mask is None:
        return F.pad(ids[:, :-1], (1, 0), value=start)
    places = torch.arange(ids.shape[1], device=ids.device).masked_fill(mask == 0, -1)
    before = F.pad(places.cummax(1).values[:, :-1], (1, 0), value=-1)  # the last real token before each
    return ids.gather(1, before.clamp(min=0)).masked_fill(before < 0, start)
