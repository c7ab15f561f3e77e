"""Attention from a batch in one flat layout to a batch in another: a target to its source, row by row.

Rows with sources of similar length form a group, in which attention is computed at once, with little padding and none outside
(as in `gyebo/nn/ragged.py`); the rows of the layouts are moved once into the places of all groups.

    sources   1 1 1 1 1        group of 1 and 2: keys [2, 5], queries [2, 3]
              2 2 2 2
              3                group of 3: keys [1, 1], queries [1, 2]

Letters: B batch, M target rows, N source rows, S rows of the batch in a group, U the longest target and L the longest source of
them, H heads, K width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.nn.attention import attend, join_heads, weigh
from gyebo.nn.host import on_host
from gyebo.nn.ragged import CLOSE, Grid, Ragged, make_grid, moved, rounded, similar


@dataclass(frozen=True)
class PairGroup:
    """S rows of the batch, with U places for each target and L for each source. `allowed`: the mask, which broadcasts to
    [S, H, U, L]; None where every query attends to every key."""

    rows: int
    queries: int
    keys: int
    allowed: Tensor | None = None


@dataclass(frozen=True)
class Pairs:
    """The rows of two layouts, pair by pair. `queries`, `keys`: the rows of each layout in the places of all groups, one group
    after the other; None where they fill these in order."""

    groups: tuple[PairGroup, ...]
    queries: Grid | None = None
    keys: Grid | None = None


def pairs_of(target: Ragged, source: Ragged, allowed: Tensor | None, documents: tuple[Tensor, Tensor] | None = None) -> Pairs:
    """The pairs of two layouts of one batch, whose rows are one sequence each. `allowed`: the mask of the source [B, 1, 1, L],
    for dense layouts; None: all tokens.

    `documents`: where a row may hold several sequences, the document ids of both sides, [B, U] and [B, L]: a target attends to
    the source in its row that has its id. For dense layouts `allowed` says so, [B, 1, U, L].
    """
    dense = target.padding is not None or source.padding is not None
    documents = None if documents is None else (on_host(documents[0]), on_host(documents[1]))
    if target.grid is None and source.grid is None and (dense or documents is None or _same_document(*documents)):
        return Pairs((PairGroup(target.shape[0], target.shape[1], source.shape[1], allowed),))
    device, batch = target.index.device, target.shape[0]
    rows, positions = zip(*(_places(layout) for layout in (target, source)))
    if documents is not None:
        rows, batch = _numbered(rows, [layout.gather_on_host(ids) for layout, ids in zip((target, source), documents)])
    queries, keys = (own.bincount(minlength=batch) for own in rows)
    order = keys.argsort(descending=True, stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(batch)
    close = CLOSE["cpu" if device.type == "cpu" else "accelerator"]
    groups, starts, sizes = _groups(queries[order], keys[order], close)
    grids = [
        make_grid(start[place[own]] + at, size, layout.spare)
        for start, own, at, size, layout in zip(starts, rows, positions, sizes, (target, source))
    ]
    return moved(Pairs(groups, *grids), device)


def attend_across(
    query: Tensor,
    key_value: Tensor,
    pairs: Pairs,
    *,
    scale: float | None = None,
    dropout: float = 0.0,
    attentions: list[Tensor] | None = None,
) -> Tensor:
    """Attention of every target token to the source of its row: query [M, H, K], key and value [N, 2, H, K] -> [M, H*K].

    `scale`, `dropout`: as in `attend`. `attentions`: a list to which the weights [B, H, U, L] are appended, by the naive
    implementation; for dense layouts.
    """
    if not len(query) or not len(key_value):  # nothing to attend to: the sum of no values
        return query.flatten(1) * 0 + key_value.sum() * 0  # with a gradient, of zeros
    options: dict[str, Any] = {"scale": scale, "dropout": dropout}
    wanted = query if pairs.queries is None else pairs.queries.place(query)
    given = key_value if pairs.keys is None else pairs.keys.place(key_value)
    mixed = []
    queries = wanted.split([group.rows * group.queries for group in pairs.groups])
    sources = given.split([group.rows * group.keys for group in pairs.groups])
    for group, part, source in zip(pairs.groups, queries, sources):
        heads = part.unflatten(0, (group.rows, group.queries)).transpose(1, 2)  # [S, H, U, K]
        key, value = source.unflatten(0, (group.rows, group.keys)).permute(2, 0, 3, 1, 4).unbind()
        if attentions is None:
            found = attend(heads, key, value, allowed=group.allowed, **options)
        else:
            found, weights = weigh(heads, key, value, allowed=group.allowed, **options)
            attentions.append(weights)
        mixed.append(join_heads(found).flatten(0, 1))  # [S*U, H*K]
    joined = mixed[0] if len(mixed) == 1 else torch.cat(mixed)
    return joined if pairs.queries is None else pairs.queries.collect(joined)


def _places(layout: Ragged) -> tuple[Tensor, Tensor]:
    """Of each real row of a layout, its row in the batch and its position there [n]."""
    count = len(layout.index) - layout.spare
    return on_host(layout.index)[:count] // layout.shape[1], on_host(layout.positions)[:count]


def _same_document(target: Tensor, source: Tensor) -> bool:
    """Whether the first places of each row belong to one document."""
    return bool((target[:, :1] == source[:, :1]).all())


def _numbered(rows: Sequence[Tensor], documents: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], int]:
    """The sequence of each real row of two layouts, and how many sequences there are: one for each row of the batch and
    document in it. `documents`: of the rows of each layout, spare ones included."""
    most = 1 + max((int(ids.max()) for ids in documents if len(ids)), default=0)
    keys = [row * most + ids[: len(row)] for row, ids in zip(rows, documents)]
    names, numbers = torch.cat(keys).unique(return_inverse=True)
    return numbers.split([len(key) for key in keys]), len(names)


def _groups(queries: Tensor, keys: Tensor, close: int) -> tuple[tuple[PairGroup, ...], tuple[Tensor, Tensor], tuple[int, int]]:
    """Groups of rows, given the lengths of their targets and sources in the order of these; for each row the first place of
    its target, and of its source; and the number of places of both."""
    groups, starts, filled = [], (torch.zeros_like(queries), torch.zeros_like(keys)), [0, 0]
    for first, last in similar(keys.tolist(), close):
        count, own = last - first, keys[first:last]
        full = bool((own == own[0]).all()) and int(own[0]) > 0
        longest = [max(1, int(side[first:last].max())) for side in (queries, keys)]
        if not full or bool((queries[first:last] != longest[0]).any()):  # few shapes, as in `ragged.py`
            longest = [-(-longest[0] // 8) * 8, longest[1] if full else -(-longest[1] // 8) * 8]
        rows = count if full else rounded(count, 8)
        allowed = None
        if not full:
            known = F.pad(own, (0, rows - count), value=longest[1]).clamp(min=1)  # a row without tokens attends to zeros
            allowed = (torch.arange(longest[1]) < known[:, None])[:, None, None]
        for start, side in zip(starts, (0, 1)):
            start[first:last] = filled[side] + torch.arange(count) * longest[side]
            filled[side] += rows * longest[side]
        groups.append(PairGroup(rows, longest[0], longest[1], allowed))
    return tuple(groups), starts, (filled[0], filled[1])
