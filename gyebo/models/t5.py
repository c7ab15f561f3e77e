"""T5: Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer".

Every task is text to text, so the model is the Transformer of 2017, encoder and decoder:

    source: token -> dropout -> x + [ norm -> self-attention ]
                             -> x + [ norm -> feed-forward ]     x 12 -> norm -> dropout ------+
                                                                                               v
    target: token -> dropout -> x + [ norm -> masked self-attention ] -> x + [ norm -> attention over the source ]
                             -> x + [ norm -> feed-forward ]     x 12 -> norm -> dropout -> vocabulary

What differs from the Transformer (sections 2.1 and 3.1.1):

- order is known from a bias on the scores of self-attention that is learned for each head and bucket of distances, instead of
  from vectors of positions; all layers of a stack share one table, and attention over the source has none;
- the input of each sublayer is normalised, by its root mean square without mean or bias; no layer has a bias;
- scores are not divided by sqrt(K), which the initialisation of the query makes up for; a head's width K need not be D/H;
- the decoder's output is divided by sqrt(D) before the output layer, which is the token embedding.

Answers are written. For a head on a whole text the decoder reads the text as well, as BART's does, and its state at the last
token stands for it; for a head on each token the encoder is enough.

Version 1.1 (Shazeer 2020, "GLU Variants Improve Transformer", and the notes of its release): a gated feed-forward network with
GELU, an output layer of its own, and no division. mT5 (Xue et al. 2021) is version 1.1 with tokens of 101 languages.

In float16 the feed-forward network's second matrix overflows: it and the sums of the sublayers are computed in float32.

Letters: B batch, T length of the source, U of the target, N real tokens of the source, M of the target, R rows of a decoding
step, D width, H heads, K width of a head, F inner width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from gyebo.models import transformer
from gyebo.models.protocol import FreeTarget, check_shape
from gyebo.models.transformer import Transformer, shifted
from gyebo.nn.across import Pairs
from gyebo.nn.attention import attend, join_heads, split_heads
from gyebo.nn.cache import KeyValueCache, SourceCache
from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS
from gyebo.nn.norms import RMSNorm
from gyebo.nn.outputs import Encoded
from gyebo.nn.position_bias import bias_by_distance, bias_of_length
from gyebo.nn.ragged import Ragged, attend_ragged

Bias = Callable[[int], Tensor]  # the length of a sequence -> what is added to its scores, [H, L, L]


@dataclass
class T5Config(FreeTarget):
    """The configuration of a T5; the defaults are the published small one."""

    vocab_size: int = 32_128
    context: int = 512  # tokens of a text; no parameter depends on it
    width: int = 512
    layers: int = 6  # of the encoder
    decoder_layers: int = 6
    heads: int = 8
    head_width: int = 64  # heads * head_width need not be the width
    inner: int = 2048
    activation: str = "relu"
    gated: bool = False  # activation(x A) * (x B) instead of activation(x A)
    buckets: int = 32  # of relative positions
    farthest: int = 128  # the distance from which all share a bucket
    dropout: float = 0.1  # of embeddings, sublayers, attention weights, after the activation, and at the end of both stacks
    norm_eps: float = 1e-6
    divided: bool = True  # the decoder's output by sqrt(width)
    untied: bool = False  # the output layer is not the token embedding
    decoder: bool = True  # else an encoder alone
    multilingual: bool = False  # is an mT5 for `transformers`; computes the same
    pad_id: int | None = 0
    bos_id: int | None = None
    eos_id: int | None = 1
    start_id: int | None = None  # first id of the decoder; None: pad_id

    def __post_init__(self) -> None:
        counts = ("vocab_size", "context", "width", "layers", "decoder_layers", "heads", "head_width", "inner")
        check_shape(
            self, counts=counts, shares=("dropout",), positive=("norm_eps",), ids=("pad_id", "bos_id", "eos_id", "start_id")
        )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but is {self.activation!r} instead")
        if self.buckets < 4 or self.buckets % 2:
            raise ValueError(f"buckets must be an even number of at least 4, but is {self.buckets} instead")
        if self.farthest <= self.buckets // 2:
            raise ValueError(f"farthest must be above half of the {self.buckets} buckets, but is {self.farthest} instead")

    @property
    def tied(self) -> bool:
        """Whether the output layer is the token embedding."""
        return not self.untied

    @property
    def first_id(self) -> int:
        """The first id of the decoder."""
        return next((id for id in (self.start_id, self.pad_id) if id is not None), 0)

    @property
    def init_std(self) -> float:
        """Standard deviation of what is put on the model later: a task's head, or rows of the embedding."""
        return self.width**-0.5


class SelfAttention(nn.Module):
    """Self-attention without scale and biases; query, key and value are computed by one matrix."""

    def __init__(self, config: T5Config, causal: bool):
        super().__init__()
        inner = config.heads * config.head_width
        self.qkv = nn.Linear(config.width, 3 * inner, bias=False)
        self.out = nn.Linear(inner, config.width, bias=False)
        self.heads, self.dropout, self.causal = config.heads, config.dropout, causal

    def forward(self, x: Tensor, layout: Ragged, bias: Bias, attentions: list[Tensor] | None = None) -> Tensor:
        """[N, D] -> [N, D]."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        p = self.dropout if self.training else 0.0
        mixed = attend_ragged(qkv, layout, bias=bias, causal=self.causal, scale=1.0, dropout=p, attentions=attentions)
        return self.out(mixed)

    def step(self, x: Tensor, layer: int, cache: KeyValueCache, bias: Tensor) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D], with attention to those in the cache and to itself; bias [1, H, 1, U]."""
        query, key, value = split_heads(self.qkv(x), 3 * self.heads).chunk(3, 1)
        key, value = cache.write(layer, key, value)
        return self.out(join_heads(attend(query, key, value, bias=bias, scale=1.0)))


class SourceAttention(transformer.SourceAttention):
    """Cross-attention: queries from the target, keys and values from the encoder; without scale and biases."""

    scale: ClassVar[float | None] = 1.0

    def __init__(self, config: T5Config):
        nn.Module.__init__(self)
        inner = config.heads * config.head_width
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key_value = nn.Linear(config.width, 2 * inner, bias=False)
        self.out = nn.Linear(inner, config.width, bias=False)
        self.heads, self.dropout = config.heads, config.dropout


class FeedForward(nn.Module):
    """Two linear layers with an activation between, and dropout after it; [..., D] -> [..., D]."""

    def __init__(self, config: T5Config):
        super().__init__()
        self.up = nn.Linear(config.width, config.inner, bias=False)
        self.down = nn.Linear(config.inner, config.width, bias=False)
        self.activation, self.dropout = ACTIVATIONS[config.activation], config.dropout

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., F] -> [..., D]; the sums of the second matrix are too large for float16."""
        x = dropout(self.widen(x), self.dropout if self.training else 0.0)
        if x.dtype != torch.float16:
            return self.down(x)
        with torch.autocast(x.device.type, enabled=False):
            return functional.linear(x.float(), self.down.weight.float())

    def widen(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., F]."""
        return self.activation(self.up(x))


class GatedFeedForward(FeedForward):
    """The same with a gate: activation(x A) * (x B); A and B are one matrix [2 F, D]."""

    def __init__(self, config: T5Config):
        super().__init__(config)
        del self.up
        self.gate_up = nn.Linear(config.width, 2 * config.inner, bias=False)

    def widen(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., F]."""
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.activation(gate) * up


class EncoderBlock(nn.Module):
    """A layer of the encoder: the input of each sublayer is normalised, its output added to the residual stream."""

    causal: ClassVar[bool] = False

    def __init__(self, config: T5Config):
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm_eps)
        self.attention = SelfAttention(config, self.causal)
        self.mlp_norm = RMSNorm(config.width, config.norm_eps)
        self.mlp: FeedForward = GatedFeedForward(config) if config.gated else FeedForward(config)
        self.dropout = config.dropout

    def add(self, x: Tensor, change: Tensor) -> Tensor:
        """The residual connection, with dropout."""
        return x + dropout(change, self.dropout if self.training else 0.0)

    def forward(self, x: Tensor, layout: Ragged, bias: Bias, attentions: list[Tensor] | None = None) -> Tensor:
        """[N, D] -> [N, D]."""
        x = self.add(x, self.attention(self.attention_norm(x), layout, bias, attentions))
        return self.add(x, self.mlp(self.mlp_norm(x)))


class DecoderBlock(EncoderBlock):
    """A layer of the decoder."""

    causal: ClassVar[bool] = True

    def __init__(self, config: T5Config):
        super().__init__(config)
        self.source_norm = RMSNorm(config.width, config.norm_eps)
        self.source_attention = SourceAttention(config)

    def forward(  # type: ignore[override]
        self,
        x: Tensor,
        layout: Ragged,
        bias: Bias,
        rows: Tensor,
        source: Pairs,
        to_target: list[Tensor] | None = None,
        across: list[Tensor] | None = None,
    ) -> Tensor:
        """[M, D] -> [M, D], with attention to the encoder's `rows` [N, D]; the lists as in the Transformer's block."""
        x = self.add(x, self.attention(self.attention_norm(x), layout, bias, to_target))
        x = self.add(x, self.source_attention(self.source_norm(x), rows, source, across))
        return self.add(x, self.mlp(self.mlp_norm(x)))

    def step(self, x: Tensor, layer: int, cache: SourceCache, bias: Tensor) -> Tensor:
        """The next token [R, 1, D] -> [R, 1, D]."""
        x = self.add(x, self.attention.step(self.attention_norm(x), layer, cache.target, bias))
        x = self.add(x, self.source_attention.step(self.source_norm(x), layer, cache))
        return self.add(x, self.mlp(self.mlp_norm(x)))


_V11: dict[str, Any] = {"activation": "gelu_tanh", "gated": True, "divided": False, "untied": True}
_MT5: dict[str, Any] = {**_V11, "vocab_size": 250_112, "multilingual": True}


class T5(Transformer):
    """T5, encoder and decoder with an output layer; or its encoder alone (`config.decoder`)."""

    family: ClassVar[str] = "t5"
    embeds_source: ClassVar[bool] = True
    gives_attentions: ClassVar[bool] = True
    config_class: ClassVar[type] = T5Config
    config: T5Config  # type: ignore[assignment]
    sizes: ClassVar[dict[str, T5Config]] = {  # type: ignore[assignment]
        "tiny": T5Config(4096, 128, 64, 2, 2, heads=2, head_width=32, inner=256),
        "mini": T5Config(16_000, 256, 256, 4, 4, heads=4, head_width=64, inner=1024),
        "small": T5Config(),
        "base": T5Config(width=768, layers=12, decoder_layers=12, heads=12, inner=3072),
        "large": T5Config(width=1024, layers=24, decoder_layers=24, heads=16, inner=4096),
        "3b": T5Config(width=1024, layers=24, decoder_layers=24, heads=32, head_width=128, inner=16_384),
        "11b": T5Config(width=1024, layers=24, decoder_layers=24, heads=128, head_width=128, inner=65_536),
        "v1.1-small": T5Config(layers=8, decoder_layers=8, heads=6, inner=1024, **_V11),
        "v1.1-base": T5Config(width=768, layers=12, decoder_layers=12, heads=12, inner=2048, **_V11),
        "mt5-small": T5Config(layers=8, decoder_layers=8, heads=6, inner=1024, **_MT5),
        "mt5-base": T5Config(width=768, layers=12, decoder_layers=12, heads=12, inner=2048, **_MT5),
    }

    def __init__(self, config: T5Config):
        nn.Module.__init__(self)  # all parts differ from the parent's
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.encoder_bias = nn.Embedding(config.buckets, config.heads)
        self.encoder = nn.ModuleList([EncoderBlock(config) for _ in range(config.layers)])
        self.encoder_norm = RMSNorm(config.width, config.norm_eps)  # type: ignore[assignment]
        self.decoder = nn.ModuleList([DecoderBlock(config) for _ in range(config.decoder_layers if config.decoder else 0)])
        if config.decoder:
            self.decoder_bias = nn.Embedding(config.buckets, config.heads)
            self.decoder_norm = RMSNorm(config.width, config.norm_eps)  # type: ignore[assignment]
            self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
            if config.tied:
                self.lm_head.weight = self.token_embedding.weight
        else:
            self.heads = ()  # type: ignore[misc]
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator; without a scale in attention the query's has to be smaller.

        | tensor | distribution |
        | --- | --- |
        | embedding | N(0, 1) |
        | query | N(0, 1 / sqrt(D K)) |
        | key, value, mlp.up, mlp.gate_up, tables of distances, an untied output layer | N(0, 1 / sqrt(D)) |
        | attention.out | N(0, 1 / sqrt(H K)) |
        | mlp.down | N(0, 1 / sqrt(F)) |
        | norms | gain 1 |
        """
        config = self.config
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0)
            elif name.endswith(("attention.out.weight", "mlp.down.weight")):
                parameter.normal_(0.0, parameter.shape[1] ** -0.5)  # H K, or F
            else:
                parameter.normal_(0.0, config.width**-0.5)
            if name.endswith(("attention.query.weight", "attention.qkv.weight")):
                parameter[: config.heads * config.head_width] *= config.head_width**-0.5
        self.token_embedding.weight.normal_(0.0, 1.0)

    def without_decoder(self) -> T5:
        """Its encoder alone, with the same weights; itself where it has no decoder."""
        if not self.config.decoder:
            return self
        with torch.device("meta"):
            encoder = T5(replace(self.config, decoder=False))
        encoder.load_state_dict({name: self.get_parameter(name) for name, _ in encoder.named_parameters()}, assign=True)
        return encoder.train(self.training)

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
        """As `Transformer.encode`; without `decoder_input_ids` the target is the source, so `hidden` is [B, T, D]. Of an
        encoder alone `hidden`, layers and attentions are the encoder's."""
        if self.config.decoder:
            if decoder_input_ids is None:
                decoder_input_ids = shifted(input_ids, attention_mask, self.start_id)
                decoder_attention_mask = attention_mask
            wanted = {"return_layers": return_layers, "return_attentions": return_attentions}
            return super().encode(input_ids, attention_mask, decoder_input_ids, decoder_attention_mask, **wanted)
        if decoder_input_ids is not None:
            raise ValueError("decoder_input_ids: this model is an encoder alone")
        attentions: list[Tensor] | None = [] if return_attentions else None
        layout = self._lay_out(input_ids, attention_mask, return_attentions).layout
        read = self._read(input_ids, layout, attentions)
        layers = tuple(map(layout.scatter, read)) if return_layers else None
        return Encoded(layout.scatter(read[-1]), layers, None if attentions is None else tuple(attentions))

    def _embed_tokens(self, ids: Tensor) -> Tensor:
        """The input of a stack: ids [...] -> [..., D]; in float32 where the weights are float16, whose sums overflow."""
        x = self.embed(ids)
        x = x.float() if x.dtype == torch.float16 else x
        return dropout(x, self.config.dropout if self.training else 0.0)

    def _bias(self, table: nn.Embedding, layout: Ragged, *, bidirectional: bool) -> Bias:
        """The bias of the scores in a stack, computed once for the longest sequence of the layout."""
        longest = max((group.longest for group in layout.groups), default=1)
        whole = bias_of_length(table.weight, longest, bidirectional=bidirectional, farthest=self.config.farthest)
        return lambda length: whole[:, :length, :length]

    def _read(self, ids: Tensor, layout: Ragged, attentions: list[Tensor] | None = None) -> list[Tensor]:
        """The input of the encoder and the output of each layer, [N, D]; the last one is normalised."""
        bias = self._bias(self.encoder_bias, layout, bidirectional=True)
        layers = [self._embed_tokens(layout.gather(ids))]
        for block in self.encoder:
            layers.append(block(layers[-1], layout, bias, attentions))
        layers[-1] = self._finish(layers[-1], self.encoder_norm)
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
        """The input of the decoder and the output of each layer, [M, D]; the last one is normalised."""
        bias = self._bias(self.decoder_bias, layout, bidirectional=False)
        layers = [self._embed_tokens(layout.gather(ids))]
        for block in self.decoder:
            layers.append(block(layers[-1], layout, bias, rows, source, to_target, across))
        layers[-1] = self._finish(layers[-1], self.decoder_norm)
        return layers

    def _finish(self, x: Tensor, norm: nn.Module) -> Tensor:
        """The end of a stack."""
        return dropout(norm(x), self.config.dropout if self.training else 0.0)

    def output_layer(self, hidden: Tensor, head: str = "lm") -> tuple[Tensor, Tensor, Tensor | None]:
        """As `Speaking.output_layer`; the rows are divided by sqrt(D) where the config says so."""
        if head not in self.heads:
            known = ", ".join(self.heads) or "none, as this model has no output layer"
            raise ValueError(f"head must be one of {known}, but is {head!r} instead")
        return hidden * self.config.width**-0.5 if self.config.divided else hidden, self.lm_head.weight, None

    def read_source(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> SourceCache:
        """Read source sentences [B, T]; the cache has room for `slots` tokens of each target."""
        config = self.config
        source = self._lay_out(input_ids, attention_mask)
        rows = self._read(input_ids, source.layout)[-1]
        target = KeyValueCache.empty(
            config.decoder_layers,
            len(input_ids),
            config.heads,
            slots,
            config.head_width,
            dtype=rows.dtype,
            device=rows.device,
        )
        keys = [block.source_attention.keys(rows, source.layout) for block in self.decoder]  # type: ignore[operator, union-attr]
        bias = bias_by_distance(self.decoder_bias.weight, 1 - slots, 0, bidirectional=False, farthest=config.farthest)
        return replace(SourceCache.of(keys, source.allowed, target), scale=1.0, bias=bias.to(target.keys[0].dtype))

    def step(self, ids: Tensor, cache: SourceCache) -> Tensor:
        """One decoding step: ids [R] -> hidden [R, D]; the cache, which must have room, is extended in place."""
        assert cache.bias is not None
        bias = cache.bias[None, :, None, cache.target.slots - 1 - cache.target.used :]  # of the keys so far and of itself
        x = self._embed_tokens(ids[:, None])
        for layer, block in enumerate(self.decoder):
            x = block.step(x, layer, cache, bias)  # type: ignore[operator]
        cache.target.advance(torch.ones_like(ids, dtype=torch.bool)[:, None])
        return self._finish(x, self.decoder_norm)[:, 0]

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embedding and tables of distances, each block, the rest."""
        first, *blocks, rest = super().layer_groups()
        tables = [table.weight for name, table in self.named_children() if name.endswith("_bias")]
        known = {id(table) for table in tables}
        return [[*first, *tables], *blocks, [p for p in rest if id(p) not in known]]  # type: ignore[list-item]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config = self.config
        source, target = ("source", "target") if "source" in work.lengths else ("tokens", "tokens")
        width, inner = config.width, config.heads * config.head_width
        block = 4 * width * inner + (3 if config.gated else 2) * width * config.inner

        def stack(layers: int, stream: str) -> float:
            return layers * (work.places(stream) * block + 2 * work.pairs(stream) * inner)

        found = stack(config.layers, source) + work.outputs({"lm": width * config.vocab_size})
        if config.decoder:
            # Query and output of each target token, key and value of each source token.
            across = 2 * (work.places(source) + work.places(target)) * width * inner + 2 * work.pairs(target, source) * inner
            found += stack(config.decoder_layers, target) + config.decoder_layers * across
        return 2 * found
