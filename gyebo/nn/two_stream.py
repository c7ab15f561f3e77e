"""Two streams of attention with relative positions and segments (Yang et al. 2019, sections 2.3 to 2.5).

The content stream has a row for each token and sees the token itself. The query stream has a row for each token to be predicted
and sees where it stands, not which it is. Both attend to the keys of the content stream:

    who sees a key of rank r    content, itself of rank s: r <= s        query, of rank s: r < s

Ranks are the order of factorisation; tokens that are not predicted have rank -1, so everybody sees them and they see each other
only. Without ranks everybody sees everybody, which is plain bidirectional attention.

Rows are flat (`gyebo/nn/ragged.py`), first those of the content stream, then those of the query stream. A score is

    (q + u) . k  +  (q + v) . W R(distance)  +  (q + s) . e(same or different segment)

The last term counts as its difference between the two: what all keys of a query have in common does not change the weights.

Letters: N rows of the content stream, Q of the query stream, B batch, T length, S sequences of a group, L the longest of them,
P the most queries of one of them, M places of memory, H heads, K width of a head, R distances.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gyebo.nn import host
from gyebo.nn.attention import attend, join_heads, weigh
from gyebo.nn.ragged import Grid, Group, Ragged, make_grid, moved, rounded
from gyebo.nn.relative import relative_shift, slide

_LAST = torch.iinfo(torch.long).max  # a rank after all others: what fills the places of a grid that have no row


class Biases(NamedTuple):
    """What is added to queries: `content` u, `position` v, `segment` s, [H, K] each; `segments` e [2, H, K], same and other."""

    content: Tensor
    position: Tensor
    segment: Tensor
    segments: Tensor


@dataclass(frozen=True)
class View:
    """The queries of one stream in a group, and what they see.

    `rows`: their number; `most`: of one sequence, L or P; `grid`: the rows in S x `most`, None where they fill it; `mask`
    broadcasts to [S, H, `most`, M + L], -inf at keys that are not seen, None: all are; `seen` [S, 1, `most`, 1]: False for
    queries that see no key, whose result is zero, None where all see all; `same` [S, 1, `most`, M + L]: keys of the query's
    own segment, None where there is only one; `starts` [S, P]: the column at which a query's scores by distance begin, None:
    query t stands at place t.
    """

    rows: int
    most: int
    grid: Grid | None = None
    mask: Tensor | None = None
    seen: Tensor | None = None
    same: Tensor | None = None
    starts: Tensor | None = None


@dataclass(frozen=True)
class Streams:
    """The rows of a pass: of each group of the layout the views of the content stream and of the query stream (None: not in
    this pass). `targets`: the rows of the query stream in B x T; `longest`: L of the longest group; `memory`: M."""

    layout: Ragged
    views: tuple[tuple[Group, View, View | None], ...]
    targets: Grid | None
    longest: int
    memory: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """The largest and the smallest distance of a query and a key: R in all."""
        return self.memory + self.longest, 1 - self.longest

    @property
    def content_rows(self) -> int:
        """N."""
        return len(self.layout.index)


@dataclass(frozen=True)
class Seen:
    """What decides who sees whom, by rows of the content stream: `ranks` [N]; `types` [N], the segments; `documents` [N], where
    a sequence of the layout holds several; `visible` [B, T, T], in place of ranks: whether a query at i may see j.
    `remembered` [B, M]: which places of the memory are real; it is the past of `first` [B], a document of each row."""

    ranks: Tensor | None = None
    types: Tensor | None = None
    documents: Tensor | None = None
    visible: Tensor | None = None
    remembered: Tensor | None = None
    first: Tensor | None = None


def in_order(shape: tuple[int, int] | torch.Size, ids: Tensor, *, padding_first: bool = False) -> Ragged:
    """All B*T places of a batch as one group, in each row the tokens of each document of `ids` [B, T] side by side, and padding
    (0) behind or before them; on the device of the ids."""
    batch, length = shape
    device, ids = ids.device, host.on_host(ids)
    order = ids.masked_fill(ids == 0, 0 if padding_first else _LAST).argsort(dim=1, stable=True)
    cells = (order + torch.arange(batch)[:, None] * length).flatten()
    ordered = bool((cells[1:] > cells[:-1]).all())
    grid = None if ordered else make_grid(cells, batch * length)
    places = torch.arange(length).repeat(batch)
    groups = (Group(batch, length, batch * length),)
    return moved(Ragged((batch, length), cells, places, length, groups, grid, padding=ids == 0), device)


def streams_of(layout: Ragged, seen: Seen, targets: Tensor | None = None) -> Streams:
    """The streams of a layout; `targets` [N], on the CPU: which rows the query stream predicts. Where they stand is worked out
    there, who sees whom on the device of the layout, which has more to compute."""
    memory = 0 if seen.remembered is None else seen.remembered.shape[1]
    longest = max((group.longest for group in layout.groups), default=0)
    if targets is not None and layout.spare:
        targets = targets.clone()
        targets[-layout.spare :] = False
    views: list[tuple[Group, View, View | None]] = []
    row = 0
    for group in layout.groups:
        rows = slice(row, row + group.tokens)
        keys = _Keys(group, rows, seen, layout.index.device)
        views.append((group, keys.content(), None if targets is None else keys.queries(targets[rows])))
        row += group.tokens
    if targets is None:
        return Streams(layout, tuple(views), None, longest, memory)
    index = host.on_host(layout.index)[targets]
    spare = rounded(len(index), 16) - len(index) if layout.grid is not None and len(index) else 0
    grid = make_grid(index, layout.shape[0] * layout.shape[1], spare)
    return Streams(layout, tuple(views), moved(grid, layout.index.device), longest, memory)


class _Keys:
    """The keys of a group, and the masks of the queries to them."""

    def __init__(self, group: Group, rows: slice, seen: Seen, device: torch.device):
        self.group, self.seen, self.rows, self.device = group, seen, rows, device
        self.fields = {name: x[rows] for name, x in self._by_row().items()}
        self.cells = {name: self._placed(x, _LAST if name == "ranks" else 0) for name, x in self.fields.items()}

    def _by_row(self) -> dict[str, Tensor]:
        named = {"ranks": self.seen.ranks, "types": self.seen.types, "documents": self.seen.documents}
        return {name: x for name, x in named.items() if x is not None}

    def _placed(self, x: Tensor, fill: int) -> Tensor:
        """[n] -> [S, L]."""
        grid = self.group.grid
        if grid is not None:
            x = grid.place(x).index_fill_(0, grid.blank, fill)
        return x.unflatten(0, (self.group.sequences, self.group.longest))

    def content(self) -> View:
        """The view of the content stream."""
        visible = self.seen.visible
        if visible is not None:
            visible = visible | torch.eye(visible.shape[-1], dtype=torch.bool, device=visible.device)
        allowed, same = self._masks(self.cells, visible, strict=False)
        return View(self.group.tokens, self.group.longest, self.group.grid, _added(allowed), same=same)

    def queries(self, targets: Tensor) -> View:
        """The view of the query stream, at the rows of `targets` [n] (bool, on the CPU)."""
        group = self.group
        chosen = targets.nonzero().squeeze(1)
        cells = chosen if group.grid is None else host.on_host(group.grid.cells)[chosen]
        sequence, place = cells // group.longest, cells % group.longest
        counts = torch.bincount(sequence, minlength=group.sequences)
        order = torch.arange(len(chosen)) - (counts.cumsum(0) - counts)[sequence]
        most = int(counts.max()) if len(chosen) else 0
        if group.grid is not None:
            most = -(-most // 8) * 8
        full = len(chosen) == most * group.sequences
        grid = None if full else moved(make_grid(sequence * most + order, most * group.sequences), self.device)
        chosen, place = (host.to_device(rows, self.device) for rows in (chosen, place))

        def on_grid(x: Tensor, fill: int) -> Tensor:
            x = x if grid is None else grid.place(x).index_fill_(0, grid.blank, fill)
            return x.unflatten(0, (group.sequences, most))

        places = on_grid(place, 0)
        fields = {name: on_grid(x[chosen], _LAST if name == "ranks" else 0) for name, x in self.fields.items()}
        visible = self.seen.visible
        if visible is not None:
            visible = visible.gather(1, places[..., None].expand(-1, -1, visible.shape[-1]))
        allowed, same = self._masks(fields, visible, strict=True)
        seen = None
        if allowed is not None:  # to ask whether all see one would cost more than to say it of each
            seen = allowed.any(-1, keepdim=True)
            allowed = allowed | ~seen
        return View(len(chosen), most, grid, _added(allowed), seen, same, group.longest - places)

    def _masks(
        self, queries: dict[str, Tensor], visible: Tensor | None, *, strict: bool
    ) -> tuple[Tensor | None, Tensor | None]:
        """Which keys are allowed and which are of the same segment, for queries whose ranks, documents and types are [S, P]."""
        masks = [] if self.group.allowed is None else [self.group.allowed]
        if visible is not None:
            masks.append(visible[:, None])
        if "documents" in queries:
            masks.append(queries["documents"][:, None, :, None] == self.cells["documents"][:, None, None])
        if "ranks" in queries:
            ranks, own = self.cells["ranks"][:, None, None], queries["ranks"][:, None, :, None]
            masks.append(ranks < own if strict else ranks <= own)
        allowed = None
        for mask in masks:
            allowed = mask if allowed is None else allowed & mask
        types = self.cells.get("types")
        if (real := self.seen.remembered) is not None:
            assert self.seen.first is not None and allowed is not None
            past = (queries["documents"] == self.seen.first[:, None])[:, None, :, None] & real[:, None, None]
            allowed = torch.cat([past, allowed.expand(*past.shape[:3], -1)], -1)
            types = None if types is None else torch.cat([types.new_zeros(real.shape), types], 1)
        same = None if types is None else queries["types"][:, None, :, None] == types[:, None, None]
        return allowed, same


def _added(allowed: Tensor | None) -> Tensor | None:
    """A boolean mask as one that is added to scores."""
    return None if allowed is None else torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, -math.inf)


def attend_streams(
    query: Tensor,
    key_value: Tensor,
    position: Tensor,
    biases: Biases,
    streams: Streams,
    *,
    memory: Tensor | None = None,
    dropout: float = 0.0,
    attentions: list[Tensor] | None = None,
) -> Tensor:
    """Attention of both streams: query [N + Q, H, K], or of the query stream alone [Q, H, K]; key_value [N, 2, H, K] -> [N + Q,
    H*K], or [Q, H*K].

    `position`: W R for all distances, [H, K, R], or [B, H, K, R] where rows of the batch differ in it. `memory` [B, M, 2, H,
    K]: keys and values of what stood before. `dropout` is of the weights; `attentions`: a list to which the weights of the
    content stream [B, H, T, M + T] are appended, by the naive implementation.
    """
    content = [*(view.rows for _, view, _ in streams.views), streams.layout.spare]
    queries = [*(asked.rows if asked else 0 for *_, asked in streams.views), streams.targets.spare if streams.targets else 0]
    alone = len(query) != sum(content) + sum(queries)
    own = [None] * len(content) if alone else query[: sum(content)].split(content)
    asked_rows = query[0 if alone else sum(content) :].split(queries)
    mixed: list[Tensor] = []
    answers: list[Tensor] = []
    for (group, view, asked), rows, own_rows, query_rows in zip(streams.views, key_value.split(content), own, asked_rows):
        cells = (rows if group.grid is None else group.grid.place(rows)).unflatten(0, (group.sequences, group.longest))
        if memory is not None:
            cells = torch.cat([memory.to(cells.dtype), cells], 1)
        keys = cells.permute(2, 0, 3, 1, 4)  # [2, S, H, M + L, K]
        less = streams.longest - group.longest
        by_distance = position[..., less : position.shape[-1] - less]
        if own_rows is not None:
            mixed.append(_attend(own_rows, view, keys, by_distance, biases, dropout, attentions))
        if asked is not None:
            answers.append(_attend(query_rows, asked, keys, by_distance, biases, dropout, None))
    blank = [] if own[-1] is None else [own[-1].flatten(1) * 0]  # spare rows have nothing to attend to
    return torch.cat([*mixed, *blank, *answers, asked_rows[-1].flatten(1) * 0])


def _attend(
    rows: Tensor,
    view: View,
    keys: Tensor,
    position: Tensor,
    biases: Biases,
    dropout: float,
    attentions: list[Tensor] | None,
) -> Tensor:
    """One stream of a group: queries [n, H, K] -> [n, H*K]."""
    key, value = keys.unbind()
    sequences, _, count, width = key.shape
    if not view.rows:
        return rows.flatten(1)
    query = (rows if view.grid is None else view.grid.place(rows)).unflatten(0, (sequences, view.most))  # [S, T, H, K]
    bias = _by_distance((query + biases.position) * width**-0.5, position)  # [H, S, T, R]
    bias = relative_shift(bias, view.most, count) if view.starts is None else slide(bias, view.starts, count)
    bias = bias.transpose(0, 1)
    # The mask is added instead of filled in, which would cost as much again in the backward pass.
    mask = None if view.mask is None else view.mask.to(bias.dtype)
    if view.same is not None:
        difference = biases.segments[0] - biases.segments[1]
        gain = ((query + biases.segment) * (width**-0.5 * difference)).sum(-1)  # [S, T, H]
        gain, same = gain.transpose(1, 2)[..., None].to(bias.dtype), view.same.to(bias.dtype)
        mask = gain * same if mask is None else torch.addcmul(mask, gain, same)
    bias = bias if mask is None else bias + mask
    given: dict[str, Any] = {"bias": bias, "dropout": dropout}
    by_head = (query + biases.content).to(key.dtype).transpose(1, 2)
    if attentions is None:
        heads = attend(by_head, key, value, **given)
    else:
        heads, weights = weigh(by_head, key, value, **given)
        attentions.append(weights)
    if view.seen is not None:
        heads = heads * view.seen
    cells = join_heads(heads).flatten(0, 1)
    return cells if view.grid is None else view.grid.collect(cells)


def _by_distance(query: Tensor, position: Tensor) -> Tensor:
    """Scores by distance [H, S, T, R] of queries [S, T, H, K]."""
    by_head = query.permute(2, 0, 1, 3).to(position.dtype)
    if position.ndim == 4:
        return by_head @ position.transpose(0, 1)
    return (by_head.flatten(1, 2) @ position).unflatten(1, query.shape[:2])  # one product per head, for all sequences


def attend_past(
    query: Tensor, key: Tensor, value: Tensor, position: Tensor, biases: Biases, allowed: Tensor | None = None
) -> Tensor:
    """Attention of the last token of each text and of the query for the next one, [B, 2, H, K], to all tokens so far: key and
    value [B, H, S, K], position [H, K, S + 1] of the distances S to 0, `allowed` as in `attend`. Returns [B, 2, H*K]."""
    bias = relative_shift(_by_distance((query + biases.position) * query.shape[-1] ** -0.5, position), 1, key.shape[2])
    heads = attend(
        (query + biases.content).to(query.dtype).transpose(1, 2), key, value, allowed=allowed, bias=bias.transpose(0, 1)
    )
    return join_heads(heads)


def _order(layout: Ragged) -> Tensor | None:
    """The place in its row of each row of a layout `in_order`, [B, T]; None where it is the same."""
    return None if layout.grid is None else layout.index.view(layout.shape) % layout.shape[1]


def permuted(x: Tensor, layout: Ragged, order: Tensor | None = None) -> Tensor:
    """[..., T, T] of the places of a batch [B, ...] -> of the rows of its layout."""
    order = _order(layout) if order is None else order
    if order is None:
        return x
    order = order.view(len(order), *(1,) * (x.ndim - 3), -1)
    return x.gather(-2, order[..., None].expand(x.shape)).gather(-1, order[..., None, :].expand(x.shape))


def restored(x: Tensor, layout: Ragged) -> Tensor:
    """The inverse of `permuted`; columns before the last T are of the memory, and stay where they are."""
    order = _order(layout)
    if order is None:
        return x
    length = order.shape[1]
    past, own = x.split([x.shape[-1] - length, length], -1)
    inverse = order.argsort(1)
    rows = inverse.view(len(order), 1, -1, 1)
    return torch.cat([past.gather(-2, rows.expand(past.shape)), permuted(own, layout, inverse)], -1)
