"""GPT: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training".

The decoder of the Transformer ("Attention Is All You Need", 2017) without its encoder, so without cross-attention:

    token + learned position -> dropout -> [ attention -> add -> norm -> feed-forward -> add -> norm ] x 12 -> vocabulary

What differs from the 2017 decoder: learned positions instead of sinusoids; GELU (tanh form) instead of ReLU; the embedding is
not multiplied by sqrt(D); dropout is also applied to the attention weights. Normalisation is still *after* the addition
(post-norm), and there is no norm at the end. The output layer is the token embedding.

Letters: B batch, T length, D width, H heads, K = D/H, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gyebo.models.protocol import Causal, check_shape
from gyebo.nn.attention import attend, join_heads, split_heads, weigh
from gyebo.nn.cache import KeyValueCache
from gyebo.nn.cost import Workload, transformer_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS, FeedForward
from gyebo.nn.outputs import CausalOutput, Encoded
from gyebo.nn.positions import causal_layout
from gyebo.nn.ragged import Ragged, attend_ragged, ragged_layout, real_tokens, with_prefix


@dataclass
class GptConfig:
    """The configuration of a GPT; the defaults are the published model."""

    vocab_size: int = 40_478
    context: int = 512  # rows of the position table, tokens
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int | None = None  # width of the feed-forward network; None: 4 x width
    activation: str = "gelu_tanh"
    embedding_dropout: float = 0.1
    attention_dropout: float = 0.1
    residual_dropout: float = 0.1
    norm_eps: float = 1e-5
    init_std: float = 0.02
    tied: bool = True  # the output layer is the token embedding
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None
    prefix: bool = False  # a prefix language model: what it goes on from is seen by all of it

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers", "heads"),
            shares=("embedding_dropout", "attention_dropout", "residual_dropout"),
            positive=("norm_eps", "init_std"),
            ids=("pad_id", "bos_id", "eos_id"),
        )
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, but is {self.width} with {self.heads} heads instead")
        if self.inner is not None and self.inner < 1:
            raise ValueError(f"inner must be at least 1, or None for 4 x width, but is {self.inner} instead")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but is {self.activation!r} instead")

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward network."""
        return 4 * self.width if self.inner is None else self.inner


class Attention(nn.Module):
    """Causal multi-head self-attention; query, key and value are computed by one matrix."""

    def __init__(self, config: GptConfig, layer: int):
        super().__init__()
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.heads, self.layer, self.dropout = config.heads, layer, config.attention_dropout
        self.scale = (config.width // config.heads) ** -0.5
        self.upcast = False

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[B, T, D] -> [B, T, D], or rows without padding [N, D] -> [N, D]."""
        options = {"causal": run.causal, "scale": self.scale, "upcast": self.upcast}
        options["dropout"] = self.dropout if self.training else 0.0
        if run.rows is not None:
            qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
            return self.out(attend_ragged(qkv, run.rows, attentions=run.attentions, **options))
        query, key, value = split_heads(self.qkv(x), 3 * self.heads).chunk(3, 1)  # [B, H, T, K] each
        if run.cache is not None:
            key, value = run.cache.write(self.layer, key, value)
        if run.attentions is None:
            mixed = attend(query, key, value, allowed=run.allowed, **options)
        else:
            mixed, weights = weigh(query, key, value, allowed=run.allowed, **options)
            run.attentions.append(weights)
        return self.out(join_heads(mixed))


@dataclass
class Run:
    """Shared by the blocks in one pass: the attention mask, the cache, and the list that collects attention weights.

    `rows`: the flat layout, if there is padding or several documents per row: then x is [N, D], without padding."""

    allowed: Tensor | None = None
    causal: bool = True
    rows: Ragged | None = None
    cache: KeyValueCache | None = None
    attentions: list[Tensor] | None = None


class Block(nn.Module):
    """One layer: each sublayer is added to its input, then normalised (post-norm)."""

    def __init__(self, config: GptConfig, layer: int):
        super().__init__()
        self.attention = Attention(config, layer)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.mlp = FeedForward(config.width, config.inner_width, config.activation)
        self.mlp_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = config.residual_dropout

    def forward(self, x: Tensor, run: Run) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        p = self.dropout if self.training else 0.0
        x = self.attention_norm(x + dropout(self.attention(x, run), p))
        return self.mlp_norm(x + dropout(self.mlp(x), p))


class Gpt(Causal, nn.Module):
    """GPT with its language-model head."""

    family: ClassVar[str] = "gpt"
    generates: ClassVar[bool] = True
    compiles: ClassVar[bool] = True
    gives_attentions: ClassVar[bool] = True
    sees_prefix: ClassVar[bool] = True
    learned_as: ClassVar[tuple[str, ...]] = ("prefix",)
    steers: ClassVar[bool] = True
    config_class: ClassVar[type] = GptConfig
    block_class: ClassVar[Callable[..., nn.Module]] = Block
    sizes: ClassVar[dict[str, GptConfig]] = {
        "tiny": GptConfig(vocab_size=4096, context=128, width=64, layers=2, heads=2),
        "mini": GptConfig(vocab_size=16_000, context=256, width=256, layers=4, heads=4),
        "small": GptConfig(vocab_size=16_000, context=512, width=512, layers=8, heads=8),
        "base": GptConfig(),  # the published one
    }

    def __init__(self, config: GptConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.position_embedding = nn.Embedding(config.context, config.width)
        self.blocks = nn.ModuleList([self.block_class(config, layer) for layer in range(config.layers)])
        self.final_norm: nn.Module = nn.Identity()
        self.lm_head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight
        self.initialise()

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
            if isinstance(module, nn.Linear | nn.Embedding):
                module.weight.normal_(0.0, self.config.init_std)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        prefix: Tensor | None = None,
        cache: KeyValueCache | None = None,
        return_layers: bool = False,
        return_attentions: bool = False,
    ) -> Encoded:
        """Run the blocks over ids [B, T]; without a cache, `hidden` [B, T, D] is zero at padding.

        `attention_mask` [B, T] is 0 at padding; `document_ids` [B, T] (0 = padding) keeps attention and positions within
        each document; `position_ids` [B, T] replaces the positions. `prefix` [B, T], not 0 at the beginning of a document:
        these tokens are seen by all of the document, also by those before them. An empty `cache` is filled, by a model with
        `config.prefix` from tokens that all see each other. Raises ValueError where a position is beyond `config.context`, and
        for `prefix` with a cache.
        """
        shape, device = input_ids.shape[:2], input_ids.device
        given: dict[str, Any] = {"attention_mask": attention_mask, "document_ids": document_ids, "position_ids": position_ids}
        if prefix is not None and cache is not None:
            raise ValueError("prefix: whether what fills a cache is seen by all of it is an option of the model, config.prefix")
        dense = return_attentions or torch.compiler.is_compiling()
        if cache is None and (prefix is not None or not dense):
            rows = ragged_layout(shape, device, dense=dense, **given)
            if rows.grid is not None or prefix is not None:
                self._check(rows.positions, position_ids is not None or rows.longest > self.config.context)
                rows = rows if prefix is None else with_prefix(rows, prefix)
                run = Run(causal=prefix is None, rows=rows, attentions=[] if return_attentions else None)
                layers = self._blocks(self.embed(rows.gather(input_ids)), rows.positions, run)
                attentions = None if run.attentions is None else tuple(run.attentions)
                found = tuple(map(rows.scatter, layers)) if return_layers else None
                return Encoded(rows.scatter(layers[-1]), found, attentions)
        layout = causal_layout(shape, device, **given)
        self._check(layout.positions, position_ids is not None or shape[1] > self.config.context)
        allowed, causal = layout.allowed, layout.allowed is None
        if cache is not None and self.config.prefix:
            allowed, causal = None if attention_mask is None else (attention_mask != 0)[:, None, None], False
        run = Run(allowed, causal, cache=cache, attentions=[] if return_attentions else None)
        layers = self._blocks(self.embed(input_ids), layout.positions, run)
        attentions = None if run.attentions is None else tuple(run.attentions)
        real = real_tokens(attention_mask, document_ids)
        if cache is None and real is not None:
            layers = [layer * real[..., None] for layer in layers]
        return Encoded(layers[-1], tuple(layers) if return_layers else None, attentions)

    def _check(self, positions: Tensor, uncertain: bool) -> None:
        """ValueError for a position that has no row in the table."""
        if uncertain and positions.numel():
            low, high, most = int(positions.min()), int(positions.max()), self.config.context - 1
            if low < 0 or high > most:
                raise ValueError(f"positions must be from 0 to {most} (context), but are {low} to {high} instead")

    def _placed(self, vectors: Tensor, positions: Tensor) -> Tensor:
        """Token vectors [..., D] with their positions [...]."""
        return vectors + self.position_embedding(positions)

    def _blocks(self, vectors: Tensor, positions: Tensor, run: Run) -> list[Tensor]:
        """The input of the blocks, and the output of each."""
        x = dropout(self._placed(vectors, positions), self.config.embedding_dropout if self.training else 0.0)
        layers = [x]
        for block in self.blocks:
            x = block(x, run)
            layers.append(x)
        layers[-1] = self.final_norm(x)
        return layers

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        labels: Tensor | None = None,
    ) -> CausalOutput:
        """Logits [B, T, V] for the next token at every position; arguments as in `encode`, labels as in
        `with_loss`."""
        encoded = self.encode(
            input_ids,
            attention_mask,
            position_ids,
            document_ids,
            return_layers=output_hidden_states,
            return_attentions=output_attentions,
        )
        logits = self.project(encoded.hidden)
        return self.with_loss(CausalOutput(logits, encoded.hidden, encoded.layers, encoded.attentions), labels, logits)

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, KeyValueCache]:
        """Read prompts [B, T] at once; returns hidden [B, D] of the last real token of each, and a cache of `slots` tokens."""
        config, weight = self.config, self.token_embedding.weight
        batch, length = input_ids.shape
        dtype = torch.get_autocast_dtype(weight.device.type) if torch.is_autocast_enabled(weight.device.type) else weight.dtype
        cache = KeyValueCache.empty(
            config.layers,
            batch,
            config.heads,
            max(slots, length),
            config.width // config.heads,
            dtype=dtype,
            device=weight.device,
        )
        encoded = self.encode(input_ids, attention_mask, cache=cache)
        real = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        cache.padded = not bool(real.all())
        cache.advance(real)
        last = length - 1 - real.flip(1).int().argmax(1)  # the last real token, wherever padding is
        return encoded.hidden[torch.arange(batch, device=last.device), last], cache

    def step(self, ids: Tensor, cache: KeyValueCache) -> Tensor:
        """One decoding step: ids [B], or probabilities [B, V] (`embed`), -> hidden [B, D]; the cache, which must have room, is
        extended in place."""
        allowed, new = None, cache.real.new_ones(len(ids), 1)
        if cache.padded:
            allowed = torch.cat([cache.real[:, : cache.used], new], 1)[:, None, None]  # [B, 1, 1, S]
        run = Run(allowed, causal=False, cache=cache)
        *_, hidden = self._blocks(self.embed(ids[:, None]), cache.positions[:, None], run)
        cache.advance(new)
        return hidden[:, 0]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config = self.config
        blocks = transformer_flops(
            work.places(), work.pairs(), width=config.width, layers=config.layers, inner=config.inner_width
        )
        return blocks + 2 * work.outputs({"lm": config.width * config.vocab_size})
