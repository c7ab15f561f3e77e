"""Recurrent language models, the root of the tree: Elman's network (1990), the LSTM (1997) and the GRU (2014).

    token -> dropout -> [ cell -> dropout ] x layers -> vocabulary

A sentence is read token by token; it is represented by a state of fixed width, which each step updates. The three differ only
in the cell (for its equations see `gyebo/nn/recurrent.py`):

| | state | the gradient over t steps |
| --- | --- | --- |
| rnn | one vector, updated by a matrix and tanh | a product of t matrices: vanishes or explodes |
| lstm | a vector and a cell, with forget, input and output gates | through the cell, a product of t forget gates near 1 |
| gru | one vector, interpolated by a gate | as in the LSTM, with three matrices instead of four |

Dropout is applied between layers, never between time steps (Zaremba et al. 2014). The output layer is the token embedding
(Press & Wolf 2016). `context`: number of tokens over which gradients flow, and maximum length of a text.

Letters: B batch, T length, N rows, S sequences, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.models.protocol import CausalWithoutPositions, check_shape
from gyebo.nn.adaptive import AdaptiveEmbedding, AdaptiveSoftmax, check_cutoffs
from gyebo.nn.cost import Workload, recurrent_flops
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import Encoded
from gyebo.nn.recurrent import CELLS, State, Steps, read, time_steps
from gyebo.nn.state import StateTree


@dataclass
class RnnConfig:
    """The configuration of a recurrent language model; the defaults are the medium model of Zaremba et al. 2014."""

    vocab_size: int = 10_000
    context: int = 1024  # tokens
    width: int = 650  # of the embedding and of the state of each layer
    layers: int = 2
    dropout: float = 0.5
    init_std: float = 0.05  # of the embedding
    tied: bool = True  # the output layer is the token embedding
    cutoffs: tuple[int, ...] = ()  # clusters of the vocabulary (`gyebo/nn/adaptive.py`): first id of each after the short list
    division: int = 1  # each cluster's vectors are narrower by this factor than those of the one before it
    pad_id: int | None = None
    bos_id: int | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        self.cutoffs = tuple(self.cutoffs)
        check_shape(
            self,
            counts=("vocab_size", "context", "width", "layers"),
            shares=("dropout",),
            positive=("init_std",),
            ids=("pad_id", "bos_id", "eos_id"),
        )
        check_cutoffs(self.vocab_size, self.cutoffs, self.division, self.width)
        if self.division > 1 and not self.cutoffs:
            raise ValueError(f"division {self.division} has no effect without cutoffs: set both, or neither")


@dataclass
class Memory:
    """The cache of B texts in generation: one state per layer, each tensor [B, width of the layer]."""

    layers: list[State]

    def reorder(self, rows: Tensor) -> Memory:
        """A new cache of rows [B'], repeats allowed."""
        return Memory([tuple(part.index_select(0, rows) for part in state) for state in self.layers])


class Rnn(CausalWithoutPositions, nn.Module):
    """Elman's network as a language model."""

    family: ClassVar[str] = "rnn"
    compiles: ClassVar[bool] = False  # the steps are one kernel already, and their shapes change with every batch
    generates: ClassVar[bool] = True
    carries_state: ClassVar[bool] = True
    gives_raw: ClassVar[bool] = True
    has_clusters: ClassVar[bool] = True
    cell: ClassVar[str] = "rnn"
    config_class: ClassVar[type] = RnnConfig
    sizes: ClassVar[dict[str, RnnConfig]] = {
        "tiny": RnnConfig(vocab_size=4096, context=128, width=64, dropout=0.1),
        "mini": RnnConfig(vocab_size=16_000, context=256, width=256, dropout=0.1),
        "small": RnnConfig(vocab_size=16_000, context=512, width=1024, dropout=0.1),
        "medium": RnnConfig(tied=False),
    }

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.clustered = self.has_clusters and bool(config.cutoffs)
        shape = (config.vocab_size, config.width)
        clusters = (*shape, config.width, config.cutoffs, config.division) if self.clustered else ()
        table: Any = AdaptiveEmbedding(*clusters) if self.clustered else nn.Embedding(*shape)
        self.token_embedding = table
        layer = CELLS[self.cell].layer
        self.blocks = nn.ModuleList([layer(inputs, width, batch_first=True) for inputs, width in self.shapes])
        head: Any = AdaptiveSoftmax(*clusters) if self.clustered else nn.Linear(*reversed(shape))
        if self.clustered:
            head.tie(table, tables=config.tied, projections=config.tied)
        elif config.tied:
            head.weight = table.weight
        self.lm_head = head
        self.initialise()

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The widths of input and state of each layer."""
        return [(self.config.width, self.config.width)] * self.config.layers

    @torch.no_grad()
    def initialise(self) -> None:
        """Initialise the weights with torch's generator.

        | tensor | distribution |
        | --- | --- |
        | embedding, output matrix | N(0, init_std) |
        | projections of clusters | N(0, 1 / sqrt(width of their vectors)) |
        | input matrix of a cell, each gate | uniform, Glorot & Bengio 2010 |
        | recurrent matrix of a cell, each gate | orthogonal, which preserves norms (Saxe et al. 2013) |
        | biases | 0, except 1 for the forget gate of an LSTM (Jozefowicz et al. 2015) |
        """
        if self.clustered:
            self.lm_head.initialise(self.config.init_std)
            self.token_embedding.initialise(self.config.init_std)
        else:
            for table in {self.token_embedding.weight, self.lm_head.weight}:
                table.normal_(0.0, self.config.init_std)
            self.lm_head.bias.zero_()
        block: Any
        for block in self.blocks:
            for gate in block.weight_ih_l0.chunk(CELLS[self.cell].gates):
                nn.init.xavier_uniform_(gate)
            for gate in block.weight_hh_l0.chunk(CELLS[self.cell].gates):
                nn.init.orthogonal_(gate)
            block.bias_ih_l0.zero_()
            block.bias_hh_l0.zero_()
            if self.cell == "lstm":
                block.bias_ih_l0.chunk(4)[1].fill_(1.0)

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        document_ids: Tensor | None = None,
        *,
        state: StateTree | None = None,
        return_layers: bool = False,
        return_raw: bool = False,
    ) -> Encoded:
        """Read ids [B, T]; `hidden` [B, T, D] is zero at padding.

        `attention_mask` [B, T] is 0 at padding; each document of `document_ids` [B, T] (0 = padding) starts from a zero state,
        except the first of each row if `state` is given: `Encoded.state` of the text before it. `return_raw`: also return the
        output of the last layer before dropout. Raises ValueError where a text is longer than `config.context`.
        """
        layout = self.lay_out(input_ids, attention_mask, document_ids)
        steps = time_steps(layout)
        given = None if state is None else self._given(state["state"], steps)
        layers, raw, after = self._read(layout.gather(self.embed(input_ids)), steps, given)
        left = (self.fresh_state(len(input_ids)) if state is None else state)["state"]
        return Encoded(
            layout.scatter(layers[-1]),
            tuple(map(layout.scatter, layers)) if return_layers else None,
            state={"state": self._left(after, steps, left)},
            raw=layout.scatter(raw) if return_raw else None,
        )

    def fresh_state(self, rows: int) -> StateTree:
        """The initial state: "state", zeros [rows, K, D], for the K tensors of all layers, D the largest width; narrower ones
        are padded with zeros."""
        widest = max(width for _, width in self.shapes)
        return {"state": next(self.parameters()).new_zeros(rows, len(self.shapes) * CELLS[self.cell].states, widest)}

    def reset(self, state: StateTree, which: Tensor) -> StateTree:
        """The state with the rows of `which` [B] (bool) reset to the initial state."""
        return {"state": state["state"].masked_fill(which[:, None, None], 0.0)}

    def _given(self, state: Tensor, steps: Steps) -> list[State]:
        """The initial state of each layer for all sequences, each [S, width of the layer], from a state [B, K, D]: zeros except
        for the first sequence of each row."""
        by_sequence = state.new_zeros(steps.sequences, *state.shape[1:])
        by_sequence[steps.first] = state[steps.row[steps.first]]
        parts = iter(by_sequence.unbind(1))
        return [tuple(next(parts)[:, :width] for _ in range(CELLS[self.cell].states)) for _, width in self.shapes]

    def _left(self, after: list[State], steps: Steps, before: Tensor) -> Tensor:
        """The state [B, K, D] after the last sequence of each row; unchanged (`before`) where a row has no token."""
        ends = [part[steps.last] for state in after for part in state]
        parts = torch.stack([F.pad(end, (0, before.shape[2] - end.shape[1])) for end in ends], 1)
        left = before.clone()
        left[steps.row[steps.last]] = parts.to(left.dtype)
        return left

    def _read(self, x: Tensor, steps: Steps, states: list[State] | None) -> tuple[list[Tensor], Tensor, list[State]]:
        """The input of the layers and the output of each, [N, D]; the output of the last one before dropout; the states of each
        layer after the last token, [S, D]."""
        p = self.config.dropout if self.training else 0.0
        layers, after = [dropout(x, p)], []
        block: Any
        for number, block in enumerate(self.blocks):
            x, state = read(block, layers[-1], steps, states[number] if states else None)
            layers.append(dropout(x, p))
            after.append(state)
        return layers, x, after

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Memory]:
        """Read prompts [B, T] at once; returns hidden [B, D] of each last real token, and the cache (`slots` is ignored)."""
        layout = self.lay_out(input_ids, attention_mask)
        steps = time_steps(layout)
        *_, states = self._read(layout.gather(self.embed(input_ids)), steps, None)
        memory = Memory([steps.by_row(state, len(input_ids)) for state in states])
        return memory.layers[-1][0], memory

    def step(self, ids: Tensor, cache: Memory) -> Tensor:
        """One decoding step: ids [B] -> hidden [B, D]; the cache is updated in place."""
        layout = self.lay_out(ids[:, None])
        layers, _, cache.layers = self._read(self.embed(ids), time_steps(layout), cache.layers)
        return layers[-1]

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        tokens, gates = work.places(), CELLS[self.cell].gates
        cells = sum(recurrent_flops(tokens, inputs=inputs, width=width, gates=gates) for inputs, width in self.shapes)
        width = self.config.width
        costs = {"lm": width * self.config.vocab_size}
        if self.clustered:
            costs = {**self.lm_head.flops(width), **self.token_embedding.flops()}
        return cells + 2 * work.outputs(costs)


class Lstm(Rnn):
    """The LSTM as a language model."""

    family: ClassVar[str] = "lstm"
    cell: ClassVar[str] = "lstm"


class Gru(Rnn):
    """The GRU as a language model."""

    family: ClassVar[str] = "gru"
    cell: ClassVar[str] = "gru"
