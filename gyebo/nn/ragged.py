"""The flat layout of a batch: one row for each real token and none for padding; attention over groups of similar length.

Linear layers, norms and feed-forward networks work row by row, so they run on [N, D] without padding. Only attention needs
whole sequences: the rows are ordered by the length of their sequence, longest first, so that a group of similar sequences is a
contiguous range of rows, with little padding within the group and none outside.

Matrix libraries compile a kernel for each new shape, which takes as long as a small product. To limit the number of shapes, the
number of rows is rounded up by at most 1/32 (spare rows, without a token), and groups slightly too.

A sequence: the tokens of one row of the batch with the same document id (padding, id 0, may be between them).

Letters: B batch, T length, N real tokens and spare rows, S sequences of a group, L the longest of them, C cells of a grid, H
heads, K width of a head, D = H*K.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.nn import host
from gyebo.nn.attention import attend, join_heads, weigh

# Difference in length, in tokens, up to which sequences always share a group: padding costs less there than another group. An
# accelerator computes more in the time in which a kernel is started.
CLOSE = {"cpu": 16, "accelerator": 256}


@dataclass(frozen=True)
class Grid:
    """The mapping of n rows to C cells: `cells` [n]; `rows` [C] the inverse (row 0 where there is none); `blank`: cells without
    a row. The last `spare` rows have no cell: they are copies of the first one, and are not written."""

    cells: Tensor
    rows: Tensor
    blank: Tensor
    spare: int = 0

    def place(self, rows: Tensor) -> Tensor:
        """[n, ...] -> [C, ...], zeros in blank cells."""
        return _Place.apply(rows, self)

    def collect(self, x: Tensor) -> Tensor:
        """[C, ...] -> [n, ...]."""
        return _Collect.apply(x, self)


@dataclass(frozen=True)
class Group:
    """At most S sequences of at most L tokens, `tokens` rows in all. `grid`: the rows in the grid S x L, None where they fill
    it; `allowed`: the attention mask, which broadcasts to [S, H, L, L], None where all keys are allowed."""

    sequences: int
    longest: int
    tokens: int
    grid: Grid | None = None
    allowed: Tensor | None = None


@dataclass(frozen=True)
class Ragged:
    """A batch [B, T] as flat rows.

    `index` [N]: index of each row in B*T; `positions` [N]: its position in its sequence; `longest`: the length of the longest
    sequence; `groups`: consecutive ranges of rows; `grid`: the rows in B x T, None where they fill it in order; `padding`
    [B, T]: padding that has rows (only in the dense layout).
    """

    shape: tuple[int, int]
    index: Tensor
    positions: Tensor
    longest: int
    groups: tuple[Group, ...]
    grid: Grid | None = None
    padding: Tensor | None = None

    @property
    def spare(self) -> int:
        """Number of rows without a token, at the end."""
        return self.grid.spare if self.grid else 0

    def gather(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [N, ...]: the real tokens."""
        x = x.flatten(0, 1)
        return x if self.grid is None else self.grid.collect(x)

    def gather_on_host(self, x: Tensor) -> Tensor:
        """The same on the CPU (`gyebo/nn/host.py`)."""
        return host.on_host(x).flatten(0, 1)[host.on_host(self.index)]

    def scatter(self, rows: Tensor) -> Tensor:
        """[N, ...] -> [B, T, ...], zeros at padding."""
        x = (rows if self.grid is None else self.grid.place(rows)).unflatten(0, self.shape)
        if self.padding is None:
            return x
        return x.masked_fill(self.padding.reshape(self.shape + (1,) * (x.ndim - 2)), 0)


class _Collect(torch.autograd.Function):
    """[C, ...] -> [n, ...]; the backward pass also gathers rows, where that of torch would add them to zeros one by one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Grid) -> Tensor:
        ctx.grid = grid
        return x.index_select(0, grid.cells)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return _place(grads[0], ctx.grid), None


class _Place(torch.autograd.Function):
    """[n, ...] -> [C, ...] with zeros in blank cells: the adjoint of `_Collect`."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, grid: Grid) -> Tensor:
        ctx.grid = grid
        return _place(rows, grid)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        rows = grads[0].index_select(0, ctx.grid.cells)
        if ctx.grid.spare:
            rows[-ctx.grid.spare :] = 0
        return rows, None


def _place(rows: Tensor, grid: Grid) -> Tensor:
    if not len(rows):
        return rows.new_zeros(len(grid.rows), *rows.shape[1:])
    return rows.index_select(0, grid.rows).index_fill_(0, grid.blank, 0)


def real_tokens(attention_mask: Tensor | None = None, document_ids: Tensor | None = None) -> Tensor | None:
    """False at padding, [B, T]; None: no padding. A masked token belongs to no document."""
    if attention_mask is None or document_ids is None:
        given = attention_mask if document_ids is None else document_ids
        return None if given is None else given != 0
    return (document_ids != 0) & (attention_mask != 0)


def first_tokens(hidden: Tensor, real: Tensor | None) -> Tensor:
    """The vector of the first real token of each row, wherever padding is: hidden [B, T, D], real [B, T] -> [B, D]."""
    if real is None:
        return hidden[:, 0]
    return hidden[torch.arange(len(hidden), device=hidden.device), real.int().argmax(1)]


def ragged_layout(
    shape: tuple[int, int] | torch.Size,
    device: torch.device,
    *,
    attention_mask: Tensor | None = None,
    document_ids: Tensor | None = None,
    position_ids: Tensor | None = None,
    dense: bool = False,
) -> Ragged:
    """The flat layout of a batch [B, T].

    `attention_mask` [B, T] is 0 at padding; `document_ids` [B, T] (0 = padding) defaults to the mask, which defaults to ones.
    Positions restart in each sequence and count its tokens only; `position_ids` [B, T] or [1, T] replaces them. `dense`: all
    B*T tokens in order as one group with a block mask, so that shapes depend on B and T only: for attention weights as
    [B, H, T, T], and for `torch.compile`.
    """
    batch, length = shape
    if not dense:
        # Dozens of small operations with control flow on their results: on an accelerator, each would be a synchronisation.
        attention_mask, document_ids = (None if ids is None else host.on_host(ids) for ids in (attention_mask, document_ids))
    real = real_tokens(attention_mask, document_ids)
    ids = None if real is None else (real.long() if document_ids is None else document_ids.masked_fill(~real, 0))
    if dense:
        layout = _dense(batch, length, device, ids)
    else:
        if ids is None or bool(((ids == ids[:, :1]) & (ids != 0)).all()):
            layout = _full(batch, length, torch.device("cpu"))
        else:
            layout = _flat(batch, length, ids, CLOSE["cpu" if device.type == "cpu" else "accelerator"])
        layout = moved(layout, device)
    if position_ids is None:
        return layout
    positions = position_ids.expand(batch, length).flatten()[layout.index]
    if layout.padding is not None:
        positions = positions.masked_fill(layout.padding.flatten(), 0)
    return replace(layout, positions=positions)


def with_prefix(layout: Ragged, prefix: Tensor) -> Ragged:
    """The layout with the masks of a prefix language model (Liu et al. 2018; Raffel et al. 2020, section 3.2.1), to be used
    without `causal`: every token attends to those before it, and to all of its sequence where `prefix` [B, T] is not 0, which
    is at its beginning."""
    flags = layout.gather(prefix != 0)
    groups, first = [], 0
    for group in layout.groups:
        rows = flags[first : first + group.tokens]
        first += group.tokens
        seen = (rows if group.grid is None else _place(rows, group.grid)).unflatten(0, (group.sequences, group.longest))
        allowed = seen[:, None, None] | torch.ones(group.longest, group.longest, dtype=torch.bool, device=rows.device).tril()
        if group.grid is None and group.allowed is not None:  # several sequences in a row of the dense layout
            allowed = allowed & group.allowed
        groups.append(replace(group, allowed=allowed))
    return replace(layout, groups=tuple(groups))


def aligned(layout: Ragged) -> Ragged:
    """The same rows in [B, longest] (at least length 1), left-aligned: the tokens of each row of the batch without gaps. They
    must be one sequence, and the layout must not be dense."""
    if layout.grid is None:
        return layout
    (batch, length), longest = layout.shape, max(1, layout.longest)
    cells = layout.index // length * longest + layout.positions
    grid = make_grid(cells[: len(cells) - layout.spare], batch * longest, layout.spare)
    return replace(layout, shape=(batch, longest), index=grid.cells, grid=grid)


def _full(batch: int, length: int, device: torch.device) -> Ragged:
    """The layout without padding, with one sequence per row."""
    positions = torch.arange(length, device=device).repeat(batch)
    index = torch.arange(batch * length, device=device)
    return Ragged((batch, length), index, positions, length, (Group(batch, length, batch * length),))


def _dense(batch: int, length: int, device: torch.device, ids: Tensor | None) -> Ragged:
    layout = _full(batch, length, device)
    if ids is None:
        return layout
    same = ids[:, :, None] == ids[:, None, :]  # padding attends to padding, so that no row of the mask is empty
    positions = (same.tril(-1).sum(-1) * (ids != 0)).flatten()
    group = Group(batch, length, batch * length, allowed=same[:, None])
    return Ragged(layout.shape, layout.index, positions, length, (group,), padding=ids == 0)


def _flat(batch: int, length: int, ids: Tensor, close: int) -> Ragged:
    device, flat = ids.device, ids.flatten()
    real = flat.nonzero().squeeze(1)
    names, number = flat[real].unique(return_inverse=True)
    key = real // length * len(names) + number  # one number for a row of the batch and a document in it
    order = key.argsort(stable=True)
    _, sizes = key[order].unique_consecutive(return_counts=True)
    starts = sizes.cumsum(0) - sizes  # of the sequences, in `order`
    longest_first = sizes.argsort(descending=True, stable=True)
    sizes, starts = sizes[longest_first], starts[longest_first]
    sequence = torch.arange(len(sizes), device=device).repeat_interleave(sizes)  # of each flat row
    positions = torch.arange(len(real), device=device) - (sizes.cumsum(0) - sizes)[sequence]
    index = real[order[starts[sequence] + positions]]
    groups = _groups(sizes, sequence, positions, close)
    spare = rounded(len(index), 32) - len(index)
    grid = make_grid(index, batch * length, spare)
    longest = int(sizes[0]) if len(sizes) else 0
    return Ragged((batch, length), grid.cells, _more(positions, spare), longest, groups, grid)


def moved(x: Any, device: torch.device) -> Any:
    """The same layout, or part of one, with its tensors on the device, which remember those on the CPU (`gyebo/nn/host.py`)."""
    if isinstance(x, Tensor):
        return host.to_device(x, device)
    if isinstance(x, tuple):
        return tuple(moved(part, device) for part in x)
    if is_dataclass(x) and not isinstance(x, type):
        return replace(x, **{field.name: moved(getattr(x, field.name), device) for field in fields(x)})
    return x


def _groups(sizes: Tensor, sequence: Tensor, positions: Tensor, close: int) -> tuple[Group, ...]:
    lengths: list[int] = sizes.tolist()
    groups, row = [], 0
    for first, last in similar(lengths, close):
        longest, count = lengths[first], sum(lengths[first:last])
        rows = slice(row, row + count)
        row += count
        if count == longest * (last - first):
            groups.append(Group(last - first, longest, count))
            continue
        several, longest = rounded(last - first, 8), -(-longest // 8) * 8
        cells = (sequence[rows] - first) * longest + positions[rows]
        keys = F.pad(sizes[first:last], (0, several - (last - first)), value=longest)  # the output of the last ones is not used
        allowed = torch.arange(longest, device=sizes.device) < keys[:, None]  # [S, L]
        grid = make_grid(cells, longest * several)
        groups.append(Group(several, longest, count, grid, allowed[:, None, None]))
    return tuple(groups)


def rounded(count: int, parts: int) -> int:
    """The number rounded up to one of few: `parts` to 2 * `parts` numbers between a power of two and the next."""
    step = 1 << max(0, (count // parts).bit_length() - 1)
    return -(-count // step) * step


def similar(lengths: list[int], close: int) -> list[tuple[int, int]]:
    """Ranges (first, last + 1) of descending lengths that form a group: each at least three quarters of the longest, or at most
    `close` tokens shorter (where attention costs less than the start of another group)."""
    ranges, first = [], 0
    while first < len(lengths):
        low = min(lengths[first] * 3 / 4, lengths[first] - close)
        last = bisect_right(lengths, -low, lo=first, key=lambda n: -n)
        ranges.append((first, last))
        first = last
    return ranges


def make_grid(cells: Tensor, count: int, spare: int = 0) -> Grid:
    """The grid of rows in these of `count` cells, and `spare` rows."""
    rows = torch.zeros(count, dtype=torch.long, device=cells.device)
    rows[cells] = torch.arange(len(cells), device=cells.device)
    blank = torch.ones(count, dtype=torch.bool, device=cells.device)
    blank[cells] = False
    return Grid(_more(cells, spare), rows, blank.nonzero().squeeze(1), spare)


def _more(values: Tensor, spare: int) -> Tensor:
    return torch.cat([values, values[:1].expand(spare)]) if spare else values


def over_sequences(x: Tensor, layout: Ragged, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of [S, L, ...] to every sequence of rows [N, ...]. It sees each sequence from its first token on, and
    zeros behind its last one; what it gives there is not used. In the dense layout a row of the batch must be one sequence."""
    if layout.padding is not None:
        return _over_rows(x, layout, layout.padding, function)
    done = []
    parts = x.split([*(group.tokens for group in layout.groups), layout.spare])
    for group, rows in zip(layout.groups, parts):
        cells = rows if group.grid is None else group.grid.place(rows)
        y = function(cells.unflatten(0, (group.sequences, group.longest))).flatten(0, 1)
        done.append(y if group.grid is None else group.grid.collect(y))
    if not done:  # nothing but padding; the function may change the width
        return function(x.new_zeros(1, 1, *x.shape[1:]))[0, :0]
    if layout.spare:
        done.append(done[0].new_zeros(layout.spare, *done[0].shape[1:]))
    return done[0] if len(done) == 1 else torch.cat(done)


def _over_rows(x: Tensor, layout: Ragged, padding: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`over_sequences` in the dense layout: the tokens of each row move to its front, and back."""
    batch, length = layout.shape
    first = torch.arange(batch, device=x.device)[:, None] * length
    order = (padding.int().argsort(dim=1, stable=True) + first).flatten()
    blank = padding.flatten()[order].reshape(-1, *(1 for _ in x.shape[1:]))
    cells = x.index_select(0, order).masked_fill(blank, 0)
    return function(cells.unflatten(0, layout.shape)).flatten(0, 1).index_select(0, order.argsort())


def attend_ragged(
    qkv: Tensor,
    layout: Ragged,
    *,
    bias: Callable[[int], Tensor] | None = None,
    attention: Callable[..., Tensor] | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    upcast: bool = False,
    attentions: list[Tensor] | None = None,
) -> Tensor:
    """Attention of every token over its sequence: query, key and value [N, 3, H, K] -> [N, H*K].

    `bias`: a length L -> [H, L, L], added to the scaled scores of the first L tokens of a sequence; in the dense layout the
    tokens of a sequence must be adjacent.
    `attention`: a function of query, key and value [S, H, L, K] and, by name, `allowed`, `causal` and `dropout`, instead of
    `attend`; the other options have no effect on it.
    `causal`, `scale`, `dropout`, `upcast`: as in `attend`. `attentions`: a list to which the weights [B, H, T, T] are appended,
    by the naive implementation; for the dense layout.
    """
    mixed = []
    options: dict[str, Any] = {"causal": causal, "scale": scale, "dropout": dropout, "upcast": upcast}
    parts = qkv.split([*(group.tokens for group in layout.groups), layout.spare])
    for group, rows in zip(layout.groups, parts):
        cells = rows if group.grid is None else group.grid.place(rows)
        cells = cells.unflatten(0, (group.sequences, group.longest))
        query, key, value = cells.permute(2, 0, 3, 1, 4).unbind()  # [S, H, L, K] each
        allowed = group.allowed
        if causal and allowed is not None:
            # Tokens are at the start of their row of the grid, so the causal mask also excludes blank cells.
            allowed = None if group.grid else allowed.tril()
        options["bias"] = None if bias is None else bias(group.longest)
        if attention is not None:
            heads = attention(query, key, value, allowed=allowed, causal=causal, dropout=dropout)
        elif attentions is None:
            heads = attend(query, key, value, allowed=allowed, **options)
        else:
            heads, weights = weigh(query, key, value, allowed=allowed, **options)
            attentions.append(weights)
        x = join_heads(heads).flatten(0, 1)  # [S*L, D]
        mixed.append(x if group.grid is None else group.grid.collect(x))
    if not mixed:  # nothing but padding
        return qkv[:, 2].flatten(1)
    if layout.spare:
        mixed.append(torch.zeros_like(parts[-1][:, 2].flatten(1)))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
