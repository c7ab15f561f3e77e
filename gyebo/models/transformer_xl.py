"""Transformer-XL: Dai et al. 2019, "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context".

    token -> x sqrt(D) -> [ attention over memory and segment -> add -> norm -> feed-forward -> add -> norm ] x L -> vocabulary

The decoder of the Transformer (`gyebo/models/transformer.py`) without its encoder. What differs from it:

- Recurrence from segment to segment (section 3.2): the input that each layer had in the segments before is kept as its memory,
  of a fixed number of tokens. Keys and values are computed over memory and segment, queries over the segment; no gradient flows
  into the memory. So what a token sees grows with the number of layers, and attention at evaluation may reach further than in
  training.
- Relative positions (section 3.3): the score of query i and key j is (q_i + u) k_j + (q_i + v) W_r R_{i-j}, with R a fixed
  sinusoid of their distance, and two vectors u and v a head instead of a position of the query. So a memory needs no positions
  of its own. `clamp`: distances beyond it count as that one. `same_length`: each query sees exactly `memory` tokens, itself
  included.
- Adaptive embedding and softmax for large vocabularies (`gyebo/nn/adaptive.py`).

Projections in attention have no bias; the output layer has one. `separate_biases`: each layer has its own u and v, as in the
large models that were released.

Letters: B batch, T length of a segment, M memory, S = M + T, N rows, D width, H heads, K width of a head, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from gyebo.models.protocol import CausalWithoutPositions, check_shape
from gyebo.models.transformer import FeedForward, Residual
from gyebo.nn.adaptive import AdaptiveEmbedding, AdaptiveSoftmax, check_cutoffs
from gyebo.nn.attention import join_heads, split_heads
from gyebo.nn.cache import MemoryCache
from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS
from gyebo.nn.memory import Segment, fresh_memory, memory_after, without_memory
from gyebo.nn.outputs import Encoded
from gyebo.nn.positions import causal_layout
from gyebo.nn.ragged import Ragged, attend_ragged
from gyebo.nn.relative import attend_relative, distance_vectors
from gyebo.nn.state import StateTree


@dataclass
class TransformerXlConfig:
    """The configuration of a Transformer-XL; the defaults are the published base model of WikiText-103."""

    vocab_size: int = 267_735
    context: int = 16_384  # tokens of the longest text
    window: int = 150  # tokens of a segment, through which a gradient flows
    memory: int = 150  # tokens before a segment that it attends to
    width: int = 410
    layers: int = 16
    heads: int = 10
    head_width: int = 41
    inner: int = 2100
    activation: str = "relu"
    embedding_width: int | None = None  # of the short list; None: that of the model
    cutoffs: tuple[int, ...] = ()  # first id of each cluster after the short list
    division: int = 1  # each cluster's vectors are narrower by this factor than those of the one before it
    clamp: int = 0  # the largest distance that is told apart; 0: all are
    same_length: bool = False
    separate_biases: bool = False
    pre_norm: bool = False
    dropout: float = 0.1  # of embeddings, position vectors, sublayers, within the feed-forward network, and of the output
    attention_dropout: float = 0.0  # of the weights of attention
    norm_eps: float = 1e-5
    init_std: float = 0.02
    tied: bool = True  # the tables of the output layer are those of the embedding
    tied_projections: bool = True  # those of all clusters but the short list
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        self.cutoffs = tuple(self.cutoffs)
        check_shape(
            self,
            counts=("vocab_size", "context", "window", "width", "layers", "heads", "head_width", "inner"),
            shares=("dropout", "attention_dropout"),
            positive=("norm_eps", "init_std"),
            ids=("pad_id", "bos_id", "eos_id"),
        )
        for name in ("memory", "clamp"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, but is {getattr(self, name)} instead")
        if self.window > self.context:
            raise ValueError(f"window must be at most context {self.context}, but is {self.window} instead")
        if self.same_length and not self.memory:
            raise ValueError("same_length needs a memory, but memory is 0: set one of them otherwise")
        if self.width % 2:
            raise ValueError(f"width must be even (half sines, half cosines), but is {self.width} instead")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but is {self.activation!r} instead")
        check_cutoffs(self.vocab_size, self.cutoffs, self.division, self.vectors)

    @property
    def vectors(self) -> int:
        """Width of the short list's vectors."""
        return self.width if self.embedding_width is None else self.embedding_width

    @property
    def residual_dropout(self) -> float:
        """Dropout of the output of a sublayer."""
        return self.dropout

    @property
    def inner_dropout(self) -> float:
        """Dropout within the feed-forward network."""
        return self.dropout

    @property
    def reach(self) -> int:
        """How many tokens before it a generated token sees: the memory, or of a model without one a segment."""
        return self.memory or self.window


@dataclass
class Run:
    """Shared by the blocks in one pass. `vectors` [R, D]: R of all distances, None where the cache has what is made of them;
    `biases`: u and v where all layers share them; `reach`: as in `attend_relative`. `rows`: the flat layout of texts that are
    read at once; otherwise `allowed` [B, 1, T, S], the mask over memory and segment (None: all of it), `causal`, and the
    `cache`."""

    vectors: Tensor | None
    biases: tuple[Tensor, Tensor] | None
    reach: int | None = None
    rows: Ragged | None = None
    allowed: Tensor | None = None
    causal: bool = False
    cache: MemoryCache | None = None


class RelativeAttention(nn.Module):
    """Attention over memory and segment with relative positions; query, key and value are computed by one matrix."""

    def __init__(self, config: TransformerXlConfig):
        super().__init__()
        inside = config.heads * config.head_width
        self.qkv = nn.Linear(config.width, 3 * inside, bias=False)
        self.position = nn.Linear(config.width, inside, bias=False)  # W_r
        self.out = nn.Linear(inside, config.width, bias=False)
        if config.separate_biases:
            self.content_bias = nn.Parameter(torch.empty(config.heads, config.head_width))  # u
            self.position_bias = nn.Parameter(torch.empty(config.heads, config.head_width))  # v
        self.heads, self.dropout = config.heads, config.attention_dropout

    def distances(self, layer: int, run: Run) -> Tensor:
        """W_r R, [R, H, K]; of a first pass with a cache it stays there."""
        if run.vectors is None:
            assert run.cache is not None
            return run.cache.by_distance[layer]
        by_distance = self.position(run.vectors).unflatten(-1, (self.heads, -1))
        if run.cache is not None:
            run.cache.by_distance.append(by_distance)
        return by_distance

    def forward(self, x: Tensor, layer: int, run: Run, memory: Tensor | None = None) -> Tensor:
        """x [B, T, D] and its memory [B, M, D] -> [B, T, D]; rows without padding [N, D] -> [N, D]."""
        biases = (self.content_bias, self.position_bias) if run.biases is None else run.biases
        attend = partial(attend_relative, by_distance=self.distances(layer, run), biases=biases, reach=run.reach)
        p = self.dropout if self.training else 0.0
        if run.rows is not None:
            qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
            return self.out(attend_ragged(qkv, run.rows, attention=attend, causal=True, dropout=p))
        query, key, value = split_heads(self.qkv(x), 3 * self.heads).chunk(3, 1)  # [B, H, T, K] each
        if run.cache is not None:
            key, value = run.cache.write(layer, key, value)
        if memory is not None:
            before = linear(memory, self.qkv.weight[self.qkv.out_features // 3 :])
            keys, values = split_heads(before, 2 * self.heads).chunk(2, 1)
            key, value = torch.cat([keys, key], 2), torch.cat([values, value], 2)
        return self.out(join_heads(attend(query, key, value, allowed=run.allowed, causal=run.causal, dropout=p)))


class Block(nn.Module):
    """One layer: each sublayer is added to its input, then normalised; with `pre_norm` its input is normalised instead."""

    def __init__(self, config: Any):
        super().__init__()
        self.attention, self.attention_residual = RelativeAttention(config), Residual(config)
        self.mlp, self.mlp_residual = FeedForward(config), Residual(config)

    def forward(self, x: Tensor, layer: int, run: Run, memory: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, T, D]; `memory` [B, M, D]: the input that the layer had before."""
        before = None if memory is None else self.attention_residual.before(memory)
        change = self.attention(self.attention_residual.before(x), layer, run, before)
        x = self.attention_residual.after(x, change)
        return self.mlp_residual.after(x, self.mlp(self.mlp_residual.before(x)))


def _wt103(**shape: Any) -> TransformerXlConfig:
    return TransformerXlConfig(cutoffs=(20_000, 40_000, 200_000), **shape)


def _enwik8(**shape: Any) -> TransformerXlConfig:
    return TransformerXlConfig(vocab_size=204, **shape)


class TransformerXl(CausalWithoutPositions, nn.Module):
    """Transformer-XL with its output layer."""

    family: ClassVar[str] = "transformer_xl"
    generates: ClassVar[bool] = True
    carries_state: ClassVar[bool] = True
    steers: ClassVar[bool] = True
    has_memory: ClassVar[bool] = True
    any_memory: ClassVar[bool] = True
    has_clusters: ClassVar[bool] = True
    has_windows: ClassVar[bool] = True
    config_class: ClassVar[type] = TransformerXlConfig
    sizes: ClassVar[dict[str, TransformerXlConfig]] = {
        "tiny": TransformerXlConfig(4096, 512, 64, 64, 64, 2, 2, 32, 128),
        "mini": TransformerXlConfig(16_000, 2048, 128, 128, 256, 4, 4, 64, 1024),
        "small": TransformerXlConfig(16_000, 4096, 256, 256, 512, 8, 8, 64, 2048),
        "wt103-base": _wt103(),
        "wt103-large": _wt103(
            window=384,
            memory=384,
            width=1024,
            layers=18,
            heads=16,
            head_width=64,
            inner=4096,
            division=4,
            dropout=0.2,
            attention_dropout=0.2,
        ),
        "enwik8-base": _enwik8(window=512, memory=512, width=512, layers=12, heads=8, head_width=64, inner=2048),
        "enwik8-large": _enwik8(
            window=768,
            memory=768,
            width=1024,
            layers=24,
            heads=8,
            head_width=128,
            inner=3072,
            dropout=0.15,
            attention_dropout=0.15,
        ),
    }

    def __init__(self, config: TransformerXlConfig):
        super().__init__()
        self.config = config
        shape = (config.vocab_size, config.width, config.vectors, config.cutoffs, config.division)
        self.token_embedding = AdaptiveEmbedding(*shape)
        if not config.separate_biases:
            self.content_bias = nn.Parameter(torch.empty(config.heads, config.head_width))  # u
            self.position_bias = nn.Parameter(torch.empty(config.heads, config.head_width))  # v
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.lm_head = AdaptiveSoftmax(*shape)
        self.lm_head.tie(self.token_embedding, tables=config.tied, projections=config.tied_projections)
        self.initialise()

    @classmethod
    def carries(cls, config: Any) -> bool:
        """Whether it is given what stood before a row: where it has a memory."""
        return bool(config.memory)

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator, as the original code does.

        | tensor | distribution |
        | --- | --- |
        | matrices, tables, u, v | N(0, init_std) |
        | projections of embedding and output layer | N(0, init_std / 2) |
        | biases | 0 |
        | norms | gain N(1, init_std), bias 0 |
        """
        std = self.config.init_std
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.weight.normal_(0.0, std)
                if module.bias is not None:
                    module.bias.zero_()
            if isinstance(module, nn.LayerNorm):
                module.weight.normal_(1.0, std)
                module.bias.zero_()
        for name, parameter in self.named_parameters():
            if name.endswith(("content_bias", "position_bias")):
                parameter.normal_(0.0, std)
        self.lm_head.initialise(std, std / 2)
        self.token_embedding.initialise(std, std / 2)

    def embed(self, tokens: Tensor) -> Tensor:
        """Token vectors, multiplied by sqrt(D): ids [B, T], or probabilities [B, T, V], -> [B, T, D]."""
        return super().embed(tokens) * self.config.width**0.5

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        state: StateTree | None = None,
        return_layers: bool = False,
    ) -> Encoded:
        """Read ids [B, T]; `hidden` [B, T, D] is zero at padding.

        `attention_mask` [B, T] is 0 at padding; `document_ids` [B, T] (0 = padding) keeps attention within each document. With
        a `state`, the first document of each row goes on from its memory, and `Encoded.state` is that after the last document
        of each row. Without one, a text is read at once, and attention reaches all of it, of a model of `same_length` `memory`
        tokens. Raises ValueError where a text is longer than `config.context`.
        """
        if state is not None:
            return self._go_on(input_ids, attention_mask, document_ids, state, return_layers)
        layout = self.lay_out(input_ids, attention_mask, document_ids)
        longest = max((group.longest for group in layout.groups), default=1)
        run = self._run(longest, self.config.memory if self.config.same_length else None)
        run.rows = layout
        layers = self._read(self.embed(layout.gather(input_ids)), run)
        return Encoded(layout.scatter(layers[-1]), tuple(map(layout.scatter, layers)) if return_layers else None)

    def _go_on(
        self, ids: Tensor, mask: Tensor | None, documents: Tensor | None, state: StateTree, return_layers: bool
    ) -> Encoded:
        """`encode` behind a memory."""
        part, memory = Segment.of(ids.shape, mask, documents, state), state["memory"].detach()
        slots = memory.shape[2]
        run = self._run(slots + ids.shape[1], slots if self.config.same_length else None)
        run.allowed = part.allowed
        layers = self._read(self.embed(part.gather(ids)), run, memory if slots else None)
        shown = tuple(map(part.scatter, layers)) if return_layers else None
        return Encoded(part.scatter(layers[-1]), shown, state=memory_after(state, part.ids, layers[:-1]))

    def fresh_state(self, rows: int, memory: int | None = None) -> StateTree:
        """The state of rows without a past (`gyebo/nn/memory.py`), with room for `memory` tokens (default: the config's)."""
        config = self.config
        slots = config.memory if memory is None else memory
        return fresh_memory(next(self.parameters()), rows, config.layers, slots, config.width)

    def reset(self, state: StateTree, which: Tensor) -> StateTree:
        """The state with the rows of `which` [B] (bool) without a past."""
        return without_memory(state, which)

    def _run(self, keys: int, reach: int | None) -> Run:
        """What the blocks share in a pass with at most so many keys."""
        config: TransformerXlConfig = self.config
        options: dict[str, Any] = {"clamp": config.clamp or None, "device": next(self.parameters()).device}
        vectors = distance_vectors(keys - 1, -1, config.width, **options).to(next(self.parameters()).dtype)
        vectors = dropout(vectors, config.dropout if self.training else 0.0)
        return Run(vectors, None if config.separate_biases else (self.content_bias, self.position_bias), reach)

    def _read(self, x: Tensor, run: Run, memory: Tensor | None = None) -> list[Tensor]:
        """The input of each block, and the output of the last; `memory` [B, L, M, D]."""
        p = self.config.dropout if self.training else 0.0
        layers = [dropout(x, p)]
        for number, block in enumerate(self.blocks):
            layers.append(block(layers[-1], number, run, None if memory is None else memory[:, number]))
        layers[-1] = dropout(layers[-1], p)
        return layers

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, MemoryCache]:
        """Read prompts [B, T] at once; returns hidden [B, D] of the last real token of each, and a cache. Each token sees
        `config.reach` tokens before it, as if it were a segment of its own."""
        config, weight = self.config, next(self.parameters())
        batch, length = input_ids.shape
        before = config.reach - config.same_length
        room = max(1, min(slots, 2 * before + 1))
        kind = weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        shape = (config.layers, batch, config.heads, max(room, length), config.head_width)
        cache = MemoryCache.empty(*shape, dtype=dtype, device=weight.device)
        cache.memory = before
        run = self._run(max(length, before + 1), before + 1)
        layout = causal_layout(input_ids.shape, input_ids.device, attention_mask=attention_mask)
        run.allowed, run.causal, run.cache = layout.allowed, layout.allowed is None, cache
        hidden = self._read(self.embed(input_ids), run)[-1]
        real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        cache.padded = not bool(real.all())
        cache.advance(real)
        cache = cache.grow(room) if cache.slots > room else cache  # a long prompt needed more
        last = length - 1 - real.flip(1).int().argmax(1)  # the last real token, wherever padding is
        return hidden[torch.arange(batch, device=last.device), last], cache

    def step(self, ids: Tensor, cache: MemoryCache) -> Tensor:
        """One decoding step: ids [B], or probabilities [B, V] (`embed`), -> hidden [B, D]; the cache is updated in place."""
        config, new = self.config, cache.real.new_ones(len(ids), 1)
        biases = None if config.separate_biases else (self.content_bias, self.position_bias)
        run = Run(None, biases, cache=cache)
        if cache.padded:
            run.allowed = torch.cat([cache.real[:, cache.first : cache.used], new], 1)[:, None, None]  # [B, 1, 1, S]
        hidden = self._read(self.embed(ids[:, None]), run)[-1]
        cache.advance(new)
        return hidden[:, 0]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`), without the projection of distances, which a pass shares."""
        config = self.config
        inside = config.heads * config.head_width
        tokens, memory = work.places(), work.places("memory") if "memory" in work.lengths else 0
        pairs = work.pairs() + (work.pairs("tokens", "memory") if memory else 0)
        matrices = tokens * (4 * inside * config.width + 2 * config.width * config.inner)
        matrices += memory * 2 * inside * config.width
        scores = (3 * pairs + tokens) * inside  # by content and by distance, of which there is one more, and the weighted sum
        vectors = self.token_embedding.flops()
        single = tokens * sum(vectors.values()) if len(self.token_embedding.tables) == 1 else 0
        outputs = work.outputs({**self.lm_head.flops(config.width), **vectors})
        return 2 * (config.layers * (matrices + scores) + single + outputs)
