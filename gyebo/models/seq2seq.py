"""Recurrent encoders and decoders: Sutskever et al. 2014, Bahdanau et al. 2014, Luong et al. 2015.

An encoder reads a sentence, and a decoder generates its translation, which may have another length and another order.

    source: token -> [ cell ] x layers -> a state of each token ----------------------- attention ------------+
                        | last states                                                                           v
    target: token ---> [ cell ] x layers -> a state of each token -------------> readout of state and context -> vocabulary

What differs from a language model (`gyebo/models/rnn.py`): the decoder starts from the states of the encoder, with

| `attention` | score of a source state h for a decoder state s | use of the context c, the weighted mean of the h |
| --- | --- | --- |
| none | - | the decoder only gets the last states of the encoder, whatever the length of the sentence (Sutskever) |
| additive | v tanh(W s + U h), s before the update | input of the update, and with state and word of a maxout (Bahdanau) |
| dot | s h, s after the update | tanh(W [c; s]); with input feeding also part of the input of the next step (Luong) |
| general | s W h | the same |
| concat | v tanh(W s + U h) | the same |

Sutskever's encoder reads the source backwards (`reversed_source`), so that its start is near that of the translation.
Bahdanau's is bidirectional (`bidirectional`), and the decoder starts from tanh(W h), h the backward state at the first token;
without attention h is the last state of both directions. With several layers the context is an input of the first one, and s is
the state of the last.

Source and target share one vocabulary and embedding. Dropout is applied to embeddings, the output of each layer and the
readout, never between time steps (Zaremba et al. 2014).

Letters: B batch, T length of the source, U of the target, N rows of the source, M of the target, R rows of a decoding step, Q
queries to a source, E width of the embedding, D of a state, C of a state of the encoder (D, bidirectional 2D), G gates, V
vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.protocol import FreeTarget, Translating, check_shape
from gyebo.nn.cache import Sentences, StateCache
from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import Encoded
from gyebo.nn.ragged import Ragged, aligned
from gyebo.nn.recurrent import CELLS, Gates, State, gates, read, time_steps

ATTENTIONS = ("none", "additive", "dot", "general", "concat")
_CHOICES = {"cell": ("gru", "lstm"), "attention": ATTENTIONS}

# Options without effect: the option, in which configs, and why.
_REFUSED = (
    ("input_feeding", lambda c: c.attention == "none", "attention is none: there is nothing to feed"),
    ("input_feeding", lambda c: c.attention == "additive", "attention is additive: its context is part of the input already"),
    ("reversed_source", lambda c: c.bidirectional, "bidirectional is set: the source is read both ways already"),
    ("maxout", lambda c: c.attention != "additive", "only additive attention has a maxout layer above it"),
)


@dataclass
class Seq2seqConfig(FreeTarget):
    """The configuration of an encoder and a decoder; the defaults are Bahdanau's, with one width."""

    vocab_size: int = 30_000
    context: int = 1024  # tokens of a sentence
    width: int = 1000  # of the states, and of queries and keys of attention
    embedding: int | None = None  # None: the width
    layers: int = 1  # of the encoder, and of the decoder
    cell: str = "gru"
    bidirectional: bool = True
    attention: str = "additive"
    maxout: int | None = None  # width of the maxout layer of additive attention; None: that of the embedding
    input_feeding: bool = False
    reversed_source: bool = False
    dropout: float = 0.0
    init_std: float = 0.05  # of the embedding
    tied: bool = True  # the output layer is the token embedding
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None
    start_id: int | None = None  # first id of the decoder; None: bos_id, otherwise pad_id

    def __post_init__(self) -> None:
        sized = [name for name in ("embedding", "maxout") if getattr(self, name) is not None]
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers", *sized),
            shares=("dropout",),
            positive=("init_std",),
            ids=("pad_id", "bos_id", "eos_id", "start_id"),
        )
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, but is {getattr(self, name)!r} instead")
        for name, refused, why in _REFUSED:
            if getattr(self, name) and refused(self):
                raise ValueError(f"{name} has no effect where {why}; leave it out")
        if self.attention == "dot" and self.bidirectional:
            raise ValueError(
                "attention dot needs equal widths of encoder and decoder states, but bidirectional ones are twice as wide: "
                "use general"
            )
        if self.tied and self.output_width != self.embedding_width:
            raise ValueError(
                f"tied needs the same width of embedding and output layer, but they are {self.embedding_width} and "
                f"{self.output_width}: set tied to false"
            )

    @property
    def first_id(self) -> int:
        """The first id of the decoder."""
        return next((id for id in (self.start_id, self.bos_id, self.pad_id) if id is not None), 0)

    @property
    def attends_source(self) -> bool:
        """Whether the decoder looks at the source while it writes."""
        return self.attention != "none"

    @property
    def decoder_layers(self) -> int:
        """Number of decoder layers, which equals that of the encoder: each starts from the state of one of its layers."""
        return self.layers

    @property
    def embedding_width(self) -> int:
        """Width of the embedding (E)."""
        return self.embedding or self.width

    @property
    def source_width(self) -> int:
        """Width of the states of the encoder (C)."""
        return self.width * (1 + self.bidirectional)

    @property
    def output_width(self) -> int:
        """Width of the input of the output layer."""
        return (self.maxout or self.embedding_width) if self.attention == "additive" else self.width

    @property
    def late_width(self) -> int:
        """Width of the decoder's input besides the embedding: context, last attentional vector, or nothing."""
        return self.source_width if self.attention == "additive" else self.width * self.input_feeding

    @property
    def readout_width(self) -> int:
        """Width of the input of the readout: state and context, with a maxout also the embedding."""
        return self.width + self.source_width + self.embedding_width * (self.attention == "additive")


# Output of each layer, context (with input feeding the attentional vector), attention weights; None without attention.
Attended = tuple[list[Tensor], Tensor | None, Tensor | None]


class Attention(nn.Module):
    """Attention of decoder states to the states of the source."""

    def __init__(self, config: Seq2seqConfig):
        super().__init__()
        width, kind = config.width, config.attention
        adds = kind in ("additive", "concat")
        self.query = nn.Linear(width, width, bias=False) if adds else nn.Identity()
        self.key = nn.Identity() if kind == "dot" else nn.Linear(config.source_width, width, bias=False)
        self.energy = nn.Linear(width, 1, bias=False) if adds else None

    def keys(self, rows: Tensor) -> Tensor:
        """The keys: states of the encoder [..., C] -> [..., D], times 2 if they are the input of a sigmoid."""
        return self.key(rows) if self.energy is None else 2 * self.key(rows)

    def forward(self, states: Tensor, source: Sentences) -> tuple[Tensor, Tensor]:
        """Query states [B, Q, D] -> contexts [B, Q, C] and weights [B, Q, T]."""
        query = self.query(states)
        if self.energy is None:
            scores = query @ source.keys.mT
        else:  # tanh(x) = 2 sigmoid(2x) - 1, six times as fast in torch; the constant cancels in the softmax
            scores = 2 * self.energy((2 * query[:, :, None] + source.keys[:, None]).sigmoid_()).squeeze(-1)
        if source.allowed is not None:
            scores = scores.masked_fill(~source.allowed, -math.inf)
        weights = scores.softmax(-1).to(source.values.dtype)
        return weights @ source.values, weights


class Seq2seq(Translating, nn.Module):
    """A recurrent encoder and decoder with an output layer."""

    family: ClassVar[str] = "seq2seq"
    config_class: ClassVar[type] = Seq2seqConfig
    sizes: ClassVar[dict[str, Seq2seqConfig]] = {
        "tiny": Seq2seqConfig(4096, 128, 64),
        "mini": Seq2seqConfig(10_000, 256, 160, dropout=0.3),
        "small": Seq2seqConfig(16_000, 512, 512, layers=2, cell="lstm", dropout=0.3),
        "rnnsearch": Seq2seqConfig(embedding=620, maxout=500, tied=False),
        "sutskever": Seq2seqConfig(
            80_000, layers=4, cell="lstm", bidirectional=False, attention="none", reversed_source=True, tied=False
        ),
    }

    def __init__(self, config: Seq2seqConfig):
        super().__init__()
        self.config = config
        layer, width = CELLS[config.cell].layer, config.width
        self.token_embedding = nn.Embedding(config.vocab_size, config.embedding_width)
        below = [config.embedding_width] + [config.source_width] * (config.layers - 1)
        self.encoder = nn.ModuleList([layer(inputs, width, bidirectional=config.bidirectional) for inputs in below])
        below = [config.embedding_width + config.late_width] + [width] * (config.layers - 1)
        self.decoder = nn.ModuleList([layer(inputs, width) for inputs in below])
        if config.bidirectional:
            read = config.source_width if config.attention == "none" else width
            states = config.layers * CELLS[config.cell].states
            self.bridge = nn.ModuleList([nn.Linear(read, width) for _ in range(states)])
        if config.attention != "none":
            self.attention = Attention(config)
            pairs = 2 if config.attention == "additive" else 1
            self.readout = nn.Linear(config.readout_width, pairs * config.output_width)
        self.lm_head = nn.Linear(config.output_width, config.vocab_size)
        if config.tied:
            self.lm_head.weight = self.token_embedding.weight
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | embedding, output matrix | N(0, init_std) |
        | recurrent matrix of a cell, each gate | orthogonal (Saxe et al. 2013) |
        | other matrices; input matrix of a cell, each gate | uniform, Glorot & Bengio 2010 |
        | biases | 0, except 1 for the forget gate of an LSTM (Jozefowicz et al. 2015) |
        """
        for name, parameter in self.named_parameters():
            kind = name.rpartition(".")[2]
            parts = CELLS[self.config.cell].gates if kind.startswith(("weight_ih", "weight_hh")) else 1
            if parameter.ndim == 1:
                parameter.zero_()
                if self.config.cell == "lstm" and kind.startswith("bias_ih"):
                    parameter.chunk(4)[1].fill_(1.0)
                continue
            for part in parameter.chunk(parts):
                (nn.init.orthogonal_ if kind.startswith("weight_hh") else nn.init.xavier_uniform_)(part)
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

        `hidden` is the input of the output layer, [B, U, `config.output_width`] and zero at padding; `encoder_hidden` [B, T, C]
        are the states of the encoder; `cross_attentions` is one tensor [B, 1, U, T]. The masks are 0 at padding. Raises
        ValueError where a sentence is longer than `config.context`, or for `return_attentions` of a model without attention.
        """
        if return_attentions and self.config.attention == "none":
            raise ValueError("return_attentions has no effect: this model has no attention (attention = 'none')")
        if decoder_input_ids is None:
            decoder_input_ids = input_ids.new_full((len(input_ids), 1), self.start_id)
        source, read, cache = self._read(input_ids, attention_mask)
        target, _ = self.lay_out(decoder_input_ids, decoder_attention_mask)
        written, hidden, weights = self._write(decoder_input_ids, target, cache)
        return Encoded(
            target.scatter(hidden),
            tuple(map(target.scatter, written)) if return_layers else None,
            encoder_hidden=source.scatter(read[-1]),
            encoder_layers=tuple(map(source.scatter, read)) if return_layers else None,
            cross_attentions=(target.scatter(weights)[:, None],) if return_attentions else None,
        )

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout if self.training else 0.0)

    def _read(self, ids: Tensor, mask: Tensor | None) -> tuple[Ragged, list[Tensor], StateCache]:
        """The layout of the source; the input of the encoder and the output of each layer, [N, E or C]; the initial cache of
        the decoder."""
        layout, seen = self.lay_out(ids, mask)
        steps = time_steps(layout, backwards=self.config.reversed_source)
        layers, state = [self._drop(self.embed(layout.gather(ids)))], []
        for number, block in enumerate(self.encoder):
            x, after = read(block, layers[-1], steps)  # type: ignore[arg-type]
            layers.append(self._drop(x))
            state.append(self._begin(steps.by_row(after, len(ids)), number))
        cache = StateCache(state, state[0][0].new_zeros(len(ids), self.config.width * self.config.input_feeding))
        if self.config.attention != "none":
            values = layout.scatter(layers[-1])
            keys = layout.scatter(self.attention.keys(layers[-1]))
            cache.source = Sentences(keys, values, None if seen is None else seen[:, None])
        return layout, layers, cache

    def _begin(self, after: State, layer: int) -> State:
        """The initial state of a layer of the decoder, from the last states of that of the encoder, [B, C] each."""
        if not self.config.bidirectional:
            return after
        first = 0 if self.config.attention == "none" else self.config.width
        bridges = self.bridge[layer * len(after) :]
        return tuple(torch.tanh(bridge(part[:, first:])) for bridge, part in zip(bridges, after))

    def _write(self, ids: Tensor, layout: Ragged, cache: StateCache) -> tuple[list[Tensor], Tensor, Any]:
        """Run the decoder on known targets, ids [B, U]: in parallel, unless a step needs the context of the one before.

        Returns the input of the decoder and the output of each layer, the input of the output layer, and the attention weights,
        [M, ...] each.
        """
        embedded = self._drop(self.embed(layout.gather(ids)))
        run = self._stepwise if self.config.late_width else self._parallel
        layers, found, weights = run(embedded, layout, cache)
        return [embedded, *layers], self._hidden(layers[-1], embedded, found), weights

    def _parallel(self, x: Tensor, layout: Ragged, cache: StateCache) -> Attended:
        """Apply the layers to embeddings [M, E], then attention, each over all steps at once."""
        steps, layers = time_steps(layout), []
        for block, state in zip(self.decoder, cache.state):
            start = tuple(part.index_select(0, steps.row) for part in state)
            x = self._drop(read(block, x, steps, start)[0])  # type: ignore[arg-type]
            layers.append(x)
        if cache.source is None:
            return layers, None, None
        context, weights = self.attention(layout.scatter(x), cache.source)
        return layers, layout.gather(context), layout.gather(weights)

    def _stepwise(self, x: Tensor, layout: Ragged, cache: StateCache) -> Attended:
        """As `_parallel`, step by step; the contribution of the embeddings to the gates is computed before, for all steps."""
        grid, turns = aligned(layout), []
        early, cells = self._cells()
        for given in grid.scatter(F.linear(x, early, cells[0].input_bias)).unbind(1):
            outputs, found, weights = self._step(given, cells, cache)
            turns.append((*outputs, found, weights))
        *layers, found, weights = (grid.gather(torch.stack(parts, 1)) for parts in zip(*turns))
        return layers, found, weights

    def _cells(self) -> tuple[Tensor, list[Gates]]:
        """The columns of the first layer's input matrix that belong to the embedding, [G*D, E]; the weights of all layers,
        without these columns."""
        first, *others = (gates(block) for block in self.decoder)  # type: ignore[arg-type]
        early, late = first.inputs.split([self.config.embedding_width, self.config.late_width], 1)
        return early, [first._replace(inputs=late), *others]

    def _step(self, given: Tensor, cells: list[Gates], cache: StateCache) -> Attended:
        """One step, from the contribution of the embedding to the gates of the first layer, [R, G*D]; updates the cache."""
        early = self.config.attention == "additive"
        context, weights = self._attend(cache.state[-1][0], cache) if early else (None, None)
        x, outputs = cache.input_feed if context is None else context, []
        for number, cell in enumerate(cells):
            cell = cell if number else cell._replace(input_bias=given)
            cache.state[number] = CELLS[self.config.cell].equations(x, cache.state[number], cell)
            x = self._drop(cache.state[number][0])
            outputs.append(x)
        if not early:
            context, weights = self._attend(x, cache)
        if self.config.input_feeding:
            context = cache.input_feed = self._attentional(x, context)
        return outputs, context, weights

    def _attend(self, states: Tensor, cache: StateCache) -> tuple[Any, Any]:
        """Attention of states [R, D] to their sources: contexts [R, C] and weights [R, T]."""
        if cache.source is None:
            return None, None
        context, weights = self.attention(states.unflatten(0, (-1, cache.rows_per_source)), cache.source)
        return context.flatten(0, 1), weights.flatten(0, 1)

    def _attentional(self, top: Tensor, context: Any) -> Tensor:
        """Luong's attentional vector [..., D] of state and context."""
        return torch.tanh(self.readout(torch.cat([context, top], -1)))

    def _hidden(self, top: Tensor, embedded: Tensor, found: Tensor | None) -> Tensor:
        """The input of the output layer, from state, embedding and context, all [..., width]."""
        if found is None:
            return top
        if self.config.attention == "additive":
            found = self.readout(torch.cat([top, embedded, found], -1)).unflatten(-1, (-1, 2)).amax(-1)
        elif not self.config.input_feeding:
            found = self._attentional(top, found)
        return self._drop(found)

    def read_source(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> StateCache:
        """Read source sentences [B, T]; `slots` is ignored."""
        return self._read(input_ids, attention_mask)[2]

    def step(self, ids: Tensor, cache: StateCache) -> Tensor:
        """One decoding step: ids [R] -> the input of the output layer, [R, its width]; the cache is updated in place.

        Raises ValueError where the cache collects attention weights and the model has none.
        """
        embedded = self.embed(ids)
        early, cells = self._cells()
        outputs, found, weights = self._step(F.linear(embedded, early, cells[0].input_bias), cells, cache)
        if cache.attentions is not None:
            if weights is None:
                raise ValueError(
                    "this model has no attention (attention = 'none'): no attention weights and no coverage penalty"
                )
            cache.attentions.append(weights)
        return self._hidden(outputs[-1], embedded, found)

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        config = self.config
        products = work.places("source") * self._elements("encoder", "attention.key")
        products += work.documents("source") * self._elements("bridge")
        products += work.places("target") * self._elements("decoder", "attention.query", "readout")
        if config.attention != "none":
            products += work.pairs("target", "source") * (config.width + config.source_width)  # scores and weighted mean
        return 2 * (products + work.outputs({"lm": config.output_width * config.vocab_size}))

    def _elements(self, *parts: str) -> int:
        """Number of elements of the matrices of these parts."""
        return sum(p.numel() for name, p in self.named_parameters() if p.ndim == 2 and name.startswith(parts))
