"""XLNet: Yang et al. 2019, "XLNet: Generalized Autoregressive Pretraining for Language Understanding".

A language model that predicts the tokens of a text one after the other in a random order, each from those before it in that
order, wherever they stand in the text: bidirectional as BERT, without masks in its input and without the assumption that masked
tokens are independent of each other.

    token -> dropout -> [ relative attention -> add -> norm -> feed-forward -> add -> norm ] x 12 -> dropout
    where    -> the same layers, weights and keys, without the token itself -> dropout -> vocabulary

What differs from BERT (sections 2.3 to 2.5 of the paper):

- two streams: the content stream of a token sees itself, the query stream, which predicts it, sees only where it stands: it
  begins with one learned vector. They share all weights; the query stream is computed only where a token is predicted;
- positions are relative, as in Transformer-XL, in both directions; its biases u and v belong to each layer;
- segments are relative too: a key is of the query's own segment or of another one;
- memory, as in Transformer-XL: the inputs of all layers at the tokens before, to which everything may attend;
- no biases in the attention's matrices; dropout within the feed-forward network too, and on the positions;
- [CLS] stands at the end.

In fine-tuning and in embeddings there is only the content stream, which costs nothing more.

Letters: B batch, T length, N real tokens, Q tokens to predict, M places of memory, D width, H heads, K = D/H, R distances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.protocol import Speaking, check_shape, grouped
from gyebo.nn import host
from gyebo.nn.cache import KeyValueCache
from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.feedforward import ACTIVATIONS
from gyebo.nn.memory import fresh_memory, memory_after, without_memory
from gyebo.nn.outputs import Encoded, PermutationOutput
from gyebo.nn.ragged import Ragged, ragged_layout, real_tokens
from gyebo.nn.relative import distance_vectors
from gyebo.nn.state import StateTree
from gyebo.nn.two_stream import Biases, Seen, Streams, attend_past, attend_streams, in_order, permuted, restored, streams_of


@dataclass
class XlnetConfig:
    """The configuration of an XLNet; the defaults are the published base model with its output layer."""

    vocab_size: int = 32_000
    context: int = 512  # the longest text; nothing in the model depends on it
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int | None = None  # width of the feed-forward network; None: 4 x width
    activation: str = "gelu"
    embedding_dropout: float = 0.1  # of tokens, positions and of the last layer
    attention_dropout: float = 0.1
    residual_dropout: float = 0.1
    norm_eps: float = 1e-12
    init_std: float = 0.02
    tied: bool = True  # the output layer is the token embedding
    segments: int = 3  # how many are told apart: of two texts, and of [CLS]
    memory: int = 0  # tokens before a row that `encode` can be given
    clamp: int | None = None  # distances beyond it count as it; None: all are told apart
    lm: bool = True  # has the output layer
    pad_id: int | None = None

    bos_id: ClassVar[int | None] = None  # no token begins or ends a text that it generates: it never learns to predict one
    eos_id: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers", "heads", "segments"),
            shares=("embedding_dropout", "attention_dropout", "residual_dropout"),
            positive=("norm_eps", "init_std"),
            ids=("pad_id",),
        )
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, but is {self.width} with {self.heads} heads instead")
        if self.memory < 0:
            raise ValueError(f"memory must be at least 0, but is {self.memory} instead")
        for name in ("inner", "clamp"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, or None, but is {value} instead")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, but is {self.activation!r} instead")

    @property
    def inner_width(self) -> int:
        """Width of the feed-forward network."""
        return 4 * self.width if self.inner is None else self.inner


@dataclass
class Past(KeyValueCache):
    """The cache of generation; `positions_of[i]` [H, K, R]: in layer i the projected vectors of the distances R - 1 to 0."""

    positions_of: list[Tensor] = field(default_factory=list)


@dataclass
class Run:
    """Shared by the blocks in one pass: who sees whom, the vectors of the distances [R, D] (or [2, R, D] with those of reversed
    rows, `reversed` [B] says of which), dropout, and what is collected: attention weights, keys and values [B, H, T, K]."""

    streams: Streams
    distances: Tensor
    reversed: Tensor | None = None
    attentions: list[Tensor] | None = None
    cache: list[Tensor] | None = None


class Attention(nn.Module):
    """Relative attention of both streams to the content stream."""

    def __init__(self, config: XlnetConfig):
        super().__init__()
        width, shape = config.width, (config.heads, config.width // config.heads)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.position = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.content_bias = nn.Parameter(torch.empty(shape))
        self.position_bias = nn.Parameter(torch.empty(shape))
        self.segment_bias = nn.Parameter(torch.empty(shape))
        self.segments = nn.Parameter(torch.empty(2, *shape))  # the same, another
        self.heads, self.dropout = config.heads, config.attention_dropout

    @property
    def biases(self) -> Biases:
        """What is added to queries."""
        return Biases(self.content_bias, self.position_bias, self.segment_bias, self.segments)

    def forward(self, x: Tensor, run: Run, memory: Tensor | None, alone: bool) -> Tensor:
        """[N + Q, D] -> [N + Q, D]; `alone`: -> [Q, D], the query stream. memory [B, M, D]."""
        content = run.streams.content_rows
        query = self.query(x[content:] if alone else x).unflatten(-1, (self.heads, -1))
        key_value = self.key_value(x[:content]).unflatten(-1, (2, self.heads, -1))  # [N, 2, H, K]
        remembered = None if memory is None else self.key_value(memory).unflatten(-1, (2, self.heads, -1))
        if run.cache is not None:
            run.cache.append(key_value)
        mixed = attend_streams(
            query,
            key_value,
            self.by_distance(run.distances, run.reversed),
            self.biases,
            run.streams,
            memory=remembered,
            dropout=self.dropout if self.training else 0.0,
            attentions=run.attentions,
        )
        return self.out(mixed)

    def by_distance(self, distances: Tensor, reversed: Tensor | None = None) -> Tensor:
        """W R: [R, D] -> [H, K, R]; [2, R, D] and `reversed` [B] -> [B, H, K, R]."""
        projected = self.position(distances).unflatten(-1, (self.heads, -1)).movedim(-3, -1)
        return projected if reversed is None else projected[reversed.long()]


class Block(nn.Module):
    """One layer: each sublayer is added to its input, then normalised (post-norm)."""

    def __init__(self, config: XlnetConfig):
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.up = nn.Linear(config.width, config.inner_width)
        self.down = nn.Linear(config.inner_width, config.width)
        self.mlp_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.activation = ACTIVATIONS[config.activation]
        self.dropout = config.residual_dropout

    def forward(self, x: Tensor, run: Run, memory: Tensor | None = None, *, alone: bool = False) -> Tensor:
        """[N + Q, D] -> [N + Q, D]; `alone`: -> [Q, D], the query stream."""
        p = self.dropout if self.training else 0.0
        attended = dropout(self.attention(x, run, memory, alone), p)
        return self.feed((x[run.streams.content_rows :] if alone else x) + attended)

    def feed(self, x: Tensor) -> Tensor:
        """The rest of the layer, after the addition."""
        p = self.dropout if self.training else 0.0
        x = self.attention_norm(x)
        return self.mlp_norm(x + dropout(self.down(dropout(self.activation(self.up(x)), p)), p))


class Xlnet(Speaking, nn.Module):
    """XLNet with its output layer."""

    family: ClassVar[str] = "xlnet"
    generates: ClassVar[bool] = True
    carries_state: ClassVar[bool] = True
    has_memory: ClassVar[bool] = True
    gives_attentions: ClassVar[bool] = True
    has_segments: ClassVar[bool] = True
    has_query_stream: ClassVar[bool] = True
    optional_heads: ClassVar[tuple[str, ...]] = ("lm",)
    label_places: ClassVar[str] = "here"
    config_class: ClassVar[type] = XlnetConfig
    sizes: ClassVar[dict[str, XlnetConfig]] = {
        "tiny": XlnetConfig(vocab_size=4096, context=128, width=64, layers=2, heads=2),
        "mini": XlnetConfig(vocab_size=16_000, context=256, width=256, layers=4, heads=4),
        "small": XlnetConfig(vocab_size=16_000, context=512, width=512, layers=8, heads=8),
        "base": XlnetConfig(),
        "large": XlnetConfig(width=1024, layers=24, heads=16),
    }

    def __init__(self, config: XlnetConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.width)
        self.query_vector = nn.Parameter(torch.empty(config.width))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.layers)])
        self.lm_head = nn.Linear(config.width, config.vocab_size) if config.lm else None
        if self.lm_head is not None and config.tied:
            self.lm_head.weight = self.token_embedding.weight
        self.initialise()

    @classmethod
    def carries(cls, config: Any) -> bool:
        """Whether it is given what stood before a row: where its memory has places."""
        return config.memory > 0

    @property
    def heads(self) -> tuple[str, ...]:  # type: ignore[override]
        """The output layer "lm", where it has one."""
        return tuple(name for name in self.optional_heads if getattr(self.config, name))

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | every matrix and embedding, the attention's biases, the query stream's first vector | N(0, init_std) |
        | other biases | 0 |
        | norms | gain 1, bias 0 |
        """
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
                continue
            for name, parameter in module.named_parameters(recurse=False):
                if name == "bias":
                    parameter.zero_()
                else:
                    parameter.normal_(0.0, self.config.init_std)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        ranks: Tensor | None = None,
        targets: Tensor | None = None,
        visible: Tensor | None = None,
        backwards: Tensor | None = None,
        state: StateTree | None = None,
        return_layers: bool = False,
        return_attentions: bool = False,
    ) -> Encoded:
        """Run the blocks over ids [B, T]; `hidden` [B, T, D] is zero at padding.

        `attention_mask` [B, T] is 0 at padding; `document_ids` [B, T] (0 = padding) keeps attention within each document, and
        distances count its tokens; `token_type_ids` [B, T]: segments.

        `ranks` [B, T]: the order of factorisation; a token sees those of a rank up to its own (all by default). `targets` [B,
        T] (bool): where tokens are predicted; `hidden` is then that of the query stream there, and zero elsewhere, and
        `layers` are those of the content stream. `visible` [B, T, T] (bool): whether i may see j, in place of ranks.
        `backwards` [B] (bool): rows whose text is written from its end to its start, so that distances change their sign.
        `state`: what stood before the first document of each row; `Encoded.state` is what the last one leaves.

        Raises ValueError for a text longer than `config.context`, a segment not below `config.segments`, or two orders.
        """
        if ranks is not None and visible is not None:
            raise ValueError("ranks and visible both say who sees whom: give one of them")
        by_row = state is not None or visible is not None or backwards is not None or return_attentions
        given = (None if mask is None else host.on_host(mask) for mask in (attention_mask, document_ids))
        ids = host.to_device(_documents(input_ids.shape, *given), input_ids.device)
        layout = in_order(ids.shape, ids) if by_row else ragged_layout(ids.shape, ids.device, document_ids=ids)
        self._check_length(layout, host.on_host(ids))
        seen = Seen(
            ranks=None if ranks is None else layout.gather(ranks),
            types=self._types(layout, token_type_ids),
            documents=layout.gather(ids) if by_row else None,
            visible=None if visible is None else permuted(visible, layout),
            **({} if state is None else self._remembered(state, layout.gather(ids).view(ids.shape))),
        )
        streams = streams_of(layout, seen, None if targets is None else layout.gather_on_host(targets))
        run = Run(streams, self._distances(streams, backwards), backwards, [] if return_attentions else None)
        memories = None if state is None or seen.remembered is None else state["memory"].unbind(1)
        layers, hidden = self._blocks(self.embed(layout.gather(input_ids)), run, memories, keep=return_layers)
        if state is not None:
            state = memory_after(state, layout.gather(ids).view(ids.shape), [rows.view(*ids.shape, -1) for rows in layers])
        return Encoded(
            layout.scatter(hidden) if streams.targets is None else streams.targets.place(hidden).unflatten(0, ids.shape),
            tuple(map(layout.scatter, layers)) if return_layers else None,
            None if run.attentions is None else tuple(restored(weights, layout) for weights in run.attentions),
            state=state,
        )

    def _check_length(self, layout: Ragged, ids: Tensor) -> None:
        """ValueError where a document is longer than `config.context`."""
        longest, most = layout.longest, self.config.context
        if longest > most and layout.padding is not None:  # the length of a row
            longest = max(int(torch.bincount(row[row > 0]).max()) if bool(row.any()) else 0 for row in ids)
        if longest > most:
            raise ValueError(f"a text must have at most {most} tokens (context), but has {longest} instead")

    def _types(self, layout: Ragged, token_type_ids: Tensor | None) -> Tensor | None:
        """Segments of the rows [N]; None where all are the first."""
        if token_type_ids is None:
            return None
        types = layout.gather_on_host(host.on_host(token_type_ids).expand(layout.shape))
        if layout.padding is not None:  # where any id may stand
            types = types.masked_fill(layout.gather_on_host(layout.padding), 0)
        low, high = (int(types.min()), int(types.max())) if len(types) else (0, 0)
        if low < 0 or high >= self.config.segments:
            raise ValueError(f"token_type_ids must be below {self.config.segments} (segments), but are {low} to {high} instead")
        return host.to_device(types, layout.index.device) if high else None

    def _distances(self, streams: Streams, backwards: Tensor | None) -> Tensor:
        """The vectors of all distances of a pass, [R, D]; [2, R, D] with those of reversed rows."""
        weight, (first, last) = self.token_embedding.weight, streams.span
        options: dict[str, Any] = {"clamp": self.config.clamp, "device": weight.device}
        vectors = distance_vectors(first, last, self.config.width, **options)
        if backwards is not None:
            vectors = torch.stack([vectors, distance_vectors(-last, -first, self.config.width, **options).flip(0)])
        return dropout(vectors.to(weight.dtype), self.config.embedding_dropout if self.training else 0.0)

    def _blocks(
        self, tokens: Tensor, run: Run, memories: tuple[Tensor, ...] | None = None, *, keep: bool = False
    ) -> tuple[list[Tensor], Tensor]:
        """From token vectors [N, D] the input of the blocks and the content stream after each, [N, D]; and the output, of the
        query stream [Q, D] where there is one. The last block then computes the content stream only to `keep` it."""
        p = self.config.embedding_dropout if self.training else 0.0
        rows, grid = len(tokens), run.streams.targets
        x = dropout(tokens, p)
        layers = [x]
        if grid is not None:
            x = torch.cat([x, dropout(self.query_vector.expand(len(grid.cells), -1), p)])
        block: Any
        for number, block in enumerate(self.blocks):
            alone = grid is not None and not keep and number + 1 == len(self.blocks)
            x = block(x, run, memories[number] if memories else None, alone=alone)
            if not alone:
                layers.append(x[:rows])
        hidden = x if grid is None or len(x) == len(grid.cells) else x[rows:]
        return layers, dropout(hidden, p)

    def fresh_state(self, rows: int) -> StateTree:
        """No past (`gyebo/nn/memory.py`)."""
        return fresh_memory(self.token_embedding.weight, rows, self.config.layers, self.config.memory, self.config.width)

    def reset(self, state: StateTree, which: Tensor) -> StateTree:
        """The state with the rows of `which` [B] (bool) without a past."""
        return without_memory(state, which)

    def _remembered(self, state: StateTree, ids: Tensor) -> dict[str, Tensor]:
        """Which places of the memory are real, and whose they are; nothing where no row has a past."""
        most, length = state["memory"].shape[2], state["length"]
        if not bool((length > 0).any()):
            return {}
        places = torch.arange(most, device=ids.device)
        return {"remembered": places >= most - length[:, None], "first": ids[:, 0]}

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        labels: Tensor | None = None,
    ) -> PermutationOutput:
        """The output layer on the query stream where `target_mapping` [B, Q, T] has ones, as in `transformers`, else on the
        content stream. `perm_mask` [B, T, T]: 1 where i may not see j; other arguments as in `encode`, labels as in
        `with_loss`. Raises ValueError where a row of `target_mapping` is not one place.
        """
        encoded = self.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            document_ids,
            visible=None if perm_mask is None else perm_mask == 0,
            targets=None if target_mapping is None else target_mapping.sum(1) > 0,
            return_layers=output_hidden_states,
            return_attentions=output_attentions,
        )
        hidden = encoded.hidden
        if target_mapping is not None:
            if not bool(((target_mapping == 1).sum(-1) == 1).all() and ((target_mapping != 0).sum(-1) == 1).all()):
                raise ValueError("each row of target_mapping must have a single 1, at the token that it is to predict")
            hidden = hidden.gather(1, target_mapping.argmax(-1)[..., None].expand(-1, -1, hidden.shape[-1]))
        logits = self.project(hidden) if self.heads else None
        if logits is not None and target_mapping is None and (attention_mask is not None or document_ids is not None):
            logits = logits * (_documents(input_ids.shape, attention_mask, document_ids) > 0)[..., None]
        return self.with_loss(PermutationOutput(logits, hidden, encoded.layers, encoded.attentions), labels, logits)

    def output_layer(self, hidden: Tensor, head: str = "lm") -> tuple[Tensor, Tensor, Tensor | None]:
        """Input rows [..., D], weight [V, D] and bias [V] of the output layer. Raises ValueError for a head that this model
        does not have."""
        if head not in self.heads or self.lm_head is None:
            known = ", ".join(self.heads) or "none, as this model has no head"
            raise ValueError(f"head must be one of {known}, but is {head!r} instead")
        return hidden, self.lm_head.weight, self.lm_head.bias

    # -- generation: a prompt is what is not predicted, all of which sees all of it; each new token sees those before it

    @torch.no_grad()
    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Past]:
        """Read prompts [B, T]; returns hidden [B, D] of the query stream at the place after each, and a cache of `slots`
        tokens, in which each prompt ends at the last place used."""
        config, weight = self.config, self.token_embedding.weight
        batch, length = input_ids.shape
        real = torch.ones_like(input_ids) if attention_mask is None else (attention_mask != 0).long()
        asked = F.pad(torch.zeros_like(real), (0, 1), value=1)  # a place more, which is predicted and seen by none
        layout = in_order(asked.shape, F.pad(real, (0, 1), value=1), padding_first=True)
        documents, ranks = layout.gather(F.pad(real, (0, 1), value=1)), layout.gather(asked) - 1
        streams = streams_of(layout, Seen(ranks=ranks, documents=documents), host.on_host(ranks) == 0)
        run = Run(streams, self._distances(streams, None), cache=[])
        _, hidden = self._blocks(self.embed(layout.gather(F.pad(input_ids, (0, 1)))), run)
        dtype = torch.get_autocast_dtype(weight.device.type) if torch.is_autocast_enabled(weight.device.type) else weight.dtype
        shape = (config.layers, batch, config.heads, max(slots, length), config.width // config.heads)
        cache = Past.empty(*shape, dtype=dtype, device=weight.device)
        assert run.cache is not None
        for layer, rows in enumerate(run.cache):
            key, value = rows.unflatten(0, asked.shape)[:, :-1].permute(2, 0, 3, 1, 4)
            cache.write(layer, key, value)
        kept = documents.view(asked.shape)[:, :-1] > 0
        cache.padded = not bool(kept.all())
        cache.advance(kept)
        return hidden, cache

    @torch.no_grad()
    def step(self, ids: Tensor, cache: Past) -> Tensor:
        """One decoding step: ids [B] -> hidden [B, D] of the query stream at the next place; the cache is extended in place."""
        new = torch.ones_like(ids, dtype=torch.bool)[:, None]
        allowed = torch.cat([cache.real[:, : cache.used], new], 1)[:, None, None] if cache.padded else None
        x = torch.stack([self.embed(ids), self.query_vector.expand(len(ids), -1)], 1)  # the new token and the next place
        vectors = self._positions_of(cache)
        block: Any
        for layer, block in enumerate(self.blocks):
            attention = block.attention
            key_value = attention.key_value(x[:, :1]).unflatten(-1, (2, self.config.heads, -1))
            key, value = cache.write(layer, *key_value.permute(2, 0, 3, 1, 4))
            query = attention.query(x).unflatten(-1, (self.config.heads, -1))
            position = vectors[layer][..., vectors[layer].shape[-1] - cache.used - 2 :]
            mixed = attend_past(query, key, value, position, attention.biases, allowed)
            x = block.feed(x + attention.out(mixed))
        cache.advance(new)
        return x[:, 1]

    def _positions_of(self, cache: Past) -> list[Tensor]:
        """For each layer the projected vectors of all distances in the cache, computed once for its size."""
        if not cache.positions_of or cache.positions_of[0].shape[-1] < cache.slots + 1:
            weight = self.token_embedding.weight
            options: dict[str, Any] = {"clamp": self.config.clamp, "device": weight.device}
            vectors = distance_vectors(cache.slots, 0, self.config.width, **options).to(weight.dtype)
            blocks: Any = self.blocks
            cache.positions_of = [block.attention.by_distance(vectors) for block in blocks]
        return cache.positions_of

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`); with rows of the output layer as many of the query stream, spread
        evenly over all documents, and no content stream after the last layer."""
        config, width = self.config, self.config.width
        tokens, memory = work.places(), work.places("memory") if "memory" in work.lengths else 0
        # By content, by distance (two for each key of the text, one for each of the memory), weighted sum.
        pairs = (4 * work.pairs() + (3 * work.pairs("tokens", "memory") if memory else 0)) * width
        asked = work.projected.get("lm", 0)
        feed, share = 2 * width * config.inner_width, asked / max(1, tokens)
        content = tokens * (4 * width * width + feed) + pairs
        query = asked * (2 * width * width + feed) + share * pairs
        blocks = config.layers * (content + query + 2 * memory * width * width)
        if asked:
            blocks -= content - 2 * tokens * width * width
        return 2 * (blocks + work.outputs({"lm": width * config.vocab_size}))

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Parameters from input to output: embeddings, each block, the rest."""
        return grouped(self, [*self.token_embedding.parameters(), self.query_vector], self.blocks)


def _documents(shape: torch.Size, mask: Tensor | None, documents: Tensor | None) -> Tensor:
    """The document of each place [B, T], 0 at padding; where nothing is given, on the CPU."""
    real = real_tokens(mask, documents)
    if real is None:
        return torch.ones(shape, dtype=torch.long)
    return real.long() if documents is None else documents.masked_fill(~real, 0)
