"""Recurrent layers: the equations of the cells, and torch's fused layers on the flat rows of a batch.

A recurrent layer reads a sequence token by token and carries a state. The sequences of a batch differ in length, so step t has
only those with a t-th token: rows are sorted by position, longest sequence first, and padding never enters the recurrence.

Letters: B batch, T length, N real tokens and spare rows, S sequences, I width of the input, D width of the state, G gates; C
width of a cell and P of its output where the two differ.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import PackedSequence

from gyebo.nn.host import on_host
from gyebo.nn.ragged import Ragged, moved

# On CUDA with weight dropout: the weights are new tensors in every pass, so the warning is unavoidable.
warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk of memory")

State = tuple[Tensor, ...]  # the state of a layer, each [S, D]: the hidden state, and for an LSTM the cell


class Gates(NamedTuple):
    """The weights of a cell with G gates, as torch stores them: `inputs` [G*D, I], `recurrent` [G*D, D], two biases [G*D] of
    which only the sum matters, except in the last gate of a GRU. If a part of the input is known before the step, `inputs` may
    have the columns of the rest, and `input_bias` the contribution of that part, [S, G*D]."""

    inputs: Tensor
    recurrent: Tensor
    input_bias: Tensor
    recurrent_bias: Tensor


def elman(x: Tensor, state: State, w: Gates) -> State:
    """Elman 1990, "Finding Structure in Time": h' = tanh(W x + U h + b). x [S, I], state ([S, D],)."""
    (h,) = state
    return (torch.tanh(x @ w.inputs.T + w.input_bias + h @ w.recurrent.T + w.recurrent_bias),)


def lstm(x: Tensor, state: State, w: Gates) -> State:
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000: the cell is updated by addition, not by a matrix
    product, so its gradient neither vanishes nor explodes while f is near 1. Gates in torch's order i, f, g, o."""
    h, c = state
    i, f, g, o = (x @ w.inputs.T + w.input_bias + h @ w.recurrent.T + w.recurrent_bias).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def gru(x: Tensor, state: State, w: Gates) -> State:
    """Cho et al. 2014, in torch's form: the reset gate acts *after* the recurrent matrix and its bias (the paper's before).
    Gates in torch's order r, z, n."""
    (h,) = state
    r, z, n = (x @ w.inputs.T + w.input_bias).chunk(3, -1)
    r_h, z_h, n_h = (h @ w.recurrent.T + w.recurrent_bias).chunk(3, -1)
    r, z = (r + r_h).sigmoid(), (z + z_h).sigmoid()
    return ((1 - z) * (n + r * n_h).tanh() + z * h,)


class Projected(NamedTuple):
    """The weights of a projected LSTM: `inputs` [4C, I], `recurrent` [4C, P], `bias` [4C], `projection` [P, C]."""

    inputs: Tensor
    recurrent: Tensor
    bias: Tensor
    projection: Tensor


def projected_lstm(x: Tensor, state: State, w: Projected, clip: float = 0.0) -> State:
    """Sak et al. 2014: an LSTM whose output, which is also the input of the next step, is a projection of its state, so that a
    wide cell needs no wide recurrent matrix. x [S, 4C], the contribution of the input to the gates; state ([S, P], [S, C]).

    `clip`: bound of cell and output within the step, as in ELMo's released code; 0: none.
    """
    h, c = state
    i, f, g, o = (x + linear(h, w.recurrent)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    c = c.clamp(-clip, clip) if clip else c
    h = linear(o.sigmoid() * c.tanh(), w.projection)
    return (h.clamp(-clip, clip) if clip else h), c


@dataclass(frozen=True)
class Cell:
    """A cell: its equations, torch's fused layer, the number of gates and of tensors of its state."""

    equations: Callable[[Tensor, State, Gates], State]
    layer: Callable[..., nn.RNNBase]
    gates: int
    states: int


CELLS = {"rnn": Cell(elman, nn.RNN, 1, 1), "lstm": Cell(lstm, nn.LSTM, 4, 2), "gru": Cell(gru, nn.GRU, 3, 1)}

# `mode` of a layer of torch -> torch's kernel for it.
_FUSED: dict[str, Callable[..., Any]] = {"RNN_TANH": torch.rnn_tanh, "LSTM": torch.lstm, "GRU": torch.gru}


def gates(layer: nn.RNNBase) -> Gates:
    """The weights of a layer of torch."""
    named: Any = layer
    return Gates(named.weight_ih_l0, named.weight_hh_l0, named.bias_ih_l0, named.bias_hh_l0)


@dataclass(frozen=True)
class Steps:
    """The rows of a flat layout by time step.

    `order` [N]: the rows, step by step, in each step the longest sequence first; `back` [N]: the inverse of `order`; `sizes`
    [T], on the CPU: number of sequences in each step. `sequence` [N]: the sequence of each row; `row` [S]: the row of the batch
    of each sequence; `first`, `last`: the first and last sequences of the rows of the batch that have any token.
    """

    order: Tensor
    back: Tensor
    sizes: Tensor
    sequence: Tensor
    row: Tensor
    first: Tensor
    last: Tensor

    @property
    def sequences(self) -> int:
        """Number of sequences; each spare row counts as one."""
        return len(self.row)

    def by_row(self, state: State, rows: int) -> State:
        """The state after the last sequence of each row of the batch, [rows, D] each: zeros where a row has no token."""
        place = self.row[self.last]
        return tuple(
            part.new_zeros(rows, part.shape[1]).index_copy(0, place, part.index_select(0, self.last)) for part in state
        )


def time_steps(layout: Ragged, *, backwards: bool = False) -> Steps:
    """The steps of a layout with default positions; `backwards`: each sequence is read from its end to its start."""
    positions = on_host(layout.positions)
    order = positions.argsort(stable=True)
    is_start = positions == 0
    sequence = is_start.cumsum(0) - 1
    if backwards:
        last = torch.bincount(sequence)[sequence] - 1
        order = (torch.arange(len(order)) + last - 2 * positions)[order]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order))
    starts = is_start.nonzero().squeeze(1)  # of the sequences, longest first
    place = on_host(layout.index)[starts]
    row, real = place // layout.shape[1], torch.arange(len(starts)) < len(starts) - layout.spare
    by_place = place.argsort(stable=True)
    by_place = by_place[real[by_place]]
    rows = row[by_place]
    change = rows[1:] != rows[:-1]
    one = change.new_ones(min(1, len(rows)))
    sizes = torch.bincount(positions)
    first, final = by_place[torch.cat([one, change])], by_place[torch.cat([change, one])]
    steps = moved(Steps(order, back, sizes, sequence, row, first, final), layout.index.device)
    return replace(steps, sizes=sizes)


def read(
    layer: nn.RNNBase, x: Tensor, steps: Steps, state: State | None = None, recurrent: Tensor | None = None
) -> tuple[Tensor, State]:
    """Apply a layer to rows [N, I] -> [N, D]; also returns the state of each sequence after its last token, each [S, D].

    `state`: the initial state of each sequence, zeros by default. In a bidirectional layer both directions are concatenated, of
    width 2D; the second one starts at the last token of each sequence, and its state is that after the first token.
    `recurrent` [G*D, D]: replaces the recurrent matrix of a unidirectional layer.
    """
    if not len(x):  # only padding, which torch refuses
        nothing = x.new_zeros(0, layer.hidden_size * (1 + layer.bidirectional))
        return nothing, (nothing,) * (2 if isinstance(layer, nn.LSTM) else 1)
    given: Any = None if state is None else tuple(part[None].contiguous() for part in state)
    if given is not None and len(given) == 1:
        given = given[0]
    rows = x.index_select(0, steps.order)
    with _full_precision(rows):
        if rows.is_cuda:
            dtype = gates(layer).inputs.dtype
            rows, given, recurrent = (_as(part, dtype) for part in (rows, given, recurrent))
        if recurrent is None:
            packed, after = layer(PackedSequence(rows, steps.sizes), given)
            data, after = packed.data, after if isinstance(after, tuple) else (after,)
        else:
            data, *after = _fused(layer, rows, steps, given, gates(layer)._replace(recurrent=recurrent))
    return data.index_select(0, steps.back), tuple(part.transpose(0, 1).flatten(1) for part in after)


def _full_precision(rows: Tensor) -> AbstractContextManager[Any]:
    """Autocast runs cuDNN's layers in float16, whatever its dtype, in which the gradient of a mean over a batch underflows."""
    return torch.autocast("cuda", enabled=False) if rows.is_cuda else nullcontext()


def _as(x: Any, dtype: torch.dtype) -> Any:
    """A tensor, a tuple of tensors, or None, converted to a dtype."""
    return tuple(part.to(dtype) for part in x) if isinstance(x, tuple) else x if x is None else x.to(dtype)


def _fused(layer: nn.RNNBase, rows: Tensor, steps: Steps, state: Any, weights: Gates) -> tuple[Tensor, ...]:
    """A layer with other weights, by calling torch's kernel: a layer keeps its own list of weights, in which a replaced
    attribute need not appear."""
    if state is None:
        zeros = rows.new_zeros(1, steps.sequences, layer.hidden_size)
        state = (zeros, zeros) if layer.mode == "LSTM" else zeros
    biases, layers, dropout, both = True, 1, 0.0, False
    return _FUSED[layer.mode](rows, steps.sizes, state, weights, biases, layers, dropout, layer.training, both)


class ProjectedLstm(nn.Module):
    """`projected_lstm` over a batch of sequences. Weights are zeros until the family initialises them.

    torch's layer (`nn.LSTM(proj_size=)`) computes the same without clipping, but has no fused kernel on a CPU, and for
    sequences of different lengths its backward pass is quadratic in the length; therefore the equations are computed here.
    """

    def __init__(self, inputs: int, cells: int, outputs: int, clip: float = 0.0):
        super().__init__()
        self.inputs = nn.Parameter(torch.zeros(4 * cells, inputs))
        self.recurrent = nn.Parameter(torch.zeros(4 * cells, outputs))
        self.bias = nn.Parameter(torch.zeros(4 * cells))
        self.projection = nn.Parameter(torch.zeros(outputs, cells))
        self.clip = clip

    def forward(self, x: Tensor, sizes: Tensor) -> Tensor:
        """Rows [N, I] in the order of `Steps`, `sizes[t]` of them in step t, -> [N, P]; all sequences start from zeros."""
        w = Projected(self.inputs, self.recurrent, self.bias, self.projection)
        counts: list[int] = sizes.tolist()
        gates = linear(x, w.inputs, w.bias)
        count, (outputs, cells) = counts[0] if counts else 0, w.projection.shape
        state: State = (gates.new_zeros(count, outputs), w.bias.new_zeros(count, cells))
        rows = []
        for part in gates.split(counts):  # a single split, whose backward pass is a single copy
            if len(part) < len(state[0]):
                state = tuple(kept[: len(part)] for kept in state)
            state = projected_lstm(part, state, w, self.clip)
            rows.append(state[0])
        return torch.cat(rows) if rows else gates.new_zeros(0, outputs)
