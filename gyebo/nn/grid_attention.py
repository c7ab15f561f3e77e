"""Sparse causal attention of a text and a picture behind it, as in DALL-E (Ramesh et al. 2021, appendix B.1).

    t t t t t t | g g g g         the text is read from left to right, and seen by all of the grid;
                | g g g g         the grid's places come row by row
                | g g g g

Of the places of the grid that come before it, a place sees itself and

    row          the last `side` ones: the oldest stands right above it
    column       those above it
    convolution  those of a window of `kernel` x `kernel` places around it; where the window goes over the border of the grid,
                 it goes on in the row before or after

In the reversed order the text stands behind the grid: it sees all of it, and the grid sees nothing of the text.

Nothing else is computed but what fills up rows: queries of one row of the grid are compared with the keys of the few rows in
which they see something, queries of one column with that column. The softmax runs over the text and these together. Only of a
small grid all pairs are computed, with a mask, by the fused kernel, which is faster then.

Letters: B batch, H heads, T = P + N places, P of the text, N of the grid, K width of a head; G rows (columns) of the grid with
L places each, W places in which these see something; S texts, C copies of each, R = S*C rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from gyebo.nn.attention import attend
from gyebo.nn.dropout import dropout as drop

ROW, COLUMN, CONVOLUTION = KINDS = ("row", "column", "convolution")
NOTHING = -1  # in the place of an image token: none stands there

# For so many pairs the fused kernel takes as long as one takes whose score is stored (forward and backward, on a CPU).
# Dense attention is up to twice as fast on a grid of 8 x 8, and a quarter as fast on one of 32 x 32.
FUSED = 3.5


@dataclass(frozen=True)
class Pattern:
    """Which places of a grid of `side` x `side` a place sees: one of `KINDS`; `kernel`: the side of a convolution's window."""

    kind: str
    side: int
    kernel: int = 11

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, but is {self.kind!r} instead")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, as a place stands in its middle, but is {self.kernel} instead")

    @property
    def keys(self) -> int:
        """W: the number of places with which each query is compared, beside the text."""
        return self.side if self.kind == COLUMN else (1 + rows_back(self)) * self.side

    @property
    def slots(self) -> int:
        """The number of places that a cache must keep."""
        return self.side + 1 if self.kind == ROW else self.side * self.side

    def slot(self, place: int) -> int:
        """Where a cache keeps a place of the grid: a row that is no longer seen is overwritten; columns are side by side."""
        if self.kind == ROW:
            return place % self.slots
        return place % self.side * self.side + place // self.side if self.kind == COLUMN else place

    def seen(self, place: int) -> slice | list[int]:
        """The slots that the place sees, once its own is filled."""
        if self.kind == ROW:
            return slice(0, min(place + 1, self.slots))
        if self.kind == COLUMN:
            return slice(self.slot(place) - place // self.side, self.slot(place) + 1)
        return [place - distance for distance in distances(self) if distance <= place]


@lru_cache(maxsize=64)
def distances(pattern: Pattern) -> tuple[int, ...]:
    """How far before a place those are that it sees, in the order of the grid's places, ascending from 0."""
    side, half = pattern.side, pattern.kernel // 2
    if pattern.kind == COLUMN:
        return tuple(range(0, side * side, side))
    if pattern.kind == ROW:
        return tuple(range(side + 1))
    window = {up * side - right for up in range(half + 1) for right in range(-half, half + 1)}
    return tuple(sorted(distance for distance in window if 0 <= distance < side * side))


def rows_back(pattern: Pattern) -> int:
    """The number of rows before its own in which a place sees something."""
    return min(pattern.side - 1, -(-distances(pattern)[-1] // pattern.side))


@lru_cache(maxsize=64)
def _allowed(pattern: Pattern, device: torch.device) -> Tensor:
    """What a query sees of the places that it is compared with, [G, L, W]; of columns [1, L, W]."""
    side, back = pattern.side, rows_back(pattern)
    with torch.inference_mode(False):  # it is kept, and may be part of a training later
        if pattern.kind == COLUMN:
            return torch.ones(1, side, side, dtype=torch.bool, device=device).tril()
        query, key = torch.arange(side)[:, None] + back * side, torch.arange((1 + back) * side)
        there = key >= (back - torch.arange(side)[:, None, None]) * side  # no row is before the first
        seen = torch.isin(query - key, torch.tensor(distances(pattern)))
        return (seen & there).to(device)


@lru_cache(maxsize=64)
def _whole_mask(pattern: Pattern, text: int, count: int, device: torch.device) -> Tensor:
    """What each place sees of a text and the first places of the grid, [T, T]."""
    with torch.inference_mode(False):  # it is kept, and may be part of a training later
        mask = torch.ones(text + count, text + count, dtype=torch.bool).tril()
        places = torch.arange(count)
        mask[text:, text:] = torch.isin(places[:, None] - places, torch.tensor(distances(pattern)))
        return mask.to(device)


def _all_pairs_are_faster(query: Tensor, text: int, pattern: Pattern, dropout: float) -> bool:
    """Whether all pairs in the fused kernel take less time than those that are seen, of which scores and weights are stored.
    With dropout, and in bfloat16 on a CPU, `attend` stores them, too."""
    places = query.shape[2]
    seen = text * text + (places - text) * (text + pattern.keys)
    return not dropout and query.dtype != torch.bfloat16 and places * places < FUSED * seen


def attend_grid(query: Tensor, key: Tensor, value: Tensor, text: int, pattern: Pattern, *, dropout: float = 0.0) -> Tensor:
    """Attention [B, H, T, K] of `text` places and those of the grid behind them, which may end before the grid does.

    `dropout` is applied to the weights."""
    count = query.shape[2] - text
    if count and _all_pairs_are_faster(query, text, pattern, dropout):
        return attend(query, key, value, allowed=_whole_mask(pattern, text, count, query.device))
    # Split instead of sliced: the gradient of each slice would be a tensor of its own, as large as the whole.
    start, behind = zip(*(part.split([text, count], 2) for part in (query, key, value)))
    mixed = attend(*start, causal=True, dropout=dropout) if text else start[2]
    if not count:
        return mixed
    rows = -(-count // pattern.side)
    missing = rows * pattern.side - count
    grid = [(F.pad(part, (0, 0, 0, missing)) if missing else part).unflatten(2, (rows, pattern.side)) for part in behind]
    allowed = _allowed(pattern, query.device)
    if pattern.kind == COLUMN:
        queries, keys, values = (part.transpose(2, 3) for part in grid)
        found = _attend_blocks(queries, keys, values, start, allowed[:, :rows, :rows], dropout)
        found = found.transpose(2, 3)
    else:
        keys, values = (_Windows.apply(part, rows_back(pattern)) for part in grid[1:])
        found = _attend_blocks(grid[0], keys, values, start, allowed[:rows], dropout)
    return torch.cat([mixed, found.flatten(2, 3)[:, :, :count]], 2)


def attend_behind_grid(
    query: Tensor, key: Tensor, value: Tensor, before: int, pattern: Pattern, *, dropout: float = 0.0
) -> Tensor:
    """Attention [B, H, T, K] of `before` places, those of the grid, and behind it those of a text, each of which sees all up to
    itself. The grid may end before it is full where no text follows."""
    end, places = before + pattern.side**2, query.shape[2]
    mixed = attend_grid(query[:, :, :end], key[:, :, :end], value[:, :, :end], before, pattern, dropout=dropout)
    if places <= end:
        return mixed
    allowed = torch.ones(places - end, places, dtype=torch.bool, device=query.device).tril(end)
    words = attend(query[:, :, end:], key, value, allowed=allowed, dropout=dropout)
    return torch.cat([mixed, words], 2)


class _Windows(torch.autograd.Function):
    """Each row with those before it: [B, H, G, L, K] -> [B, H, G, (back + 1) * L, K], zeros where there is none."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, back: int) -> Tensor:
        windows = rows.new_zeros(*rows.shape[:3], back + 1, *rows.shape[3:])
        for ago in range(min(back + 1, rows.shape[2])):
            windows[:, :, ago:, back - ago] = rows[:, :, : rows.shape[2] - ago]
        ctx.back = back
        return windows.flatten(3, 4)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        slopes = grads[0].unflatten(3, (ctx.back + 1, -1))
        total = slopes[:, :, :, ctx.back].clone()
        for ago in range(1, min(ctx.back + 1, total.shape[2])):
            total[:, :, : total.shape[2] - ago] += slopes[:, :, ago:, ctx.back - ago]
        return total, None


def _attend_blocks(
    query: Tensor, key: Tensor, value: Tensor, text: Sequence[Tensor], allowed: Tensor, dropout: float
) -> Tensor:
    """Queries [B, H, G, L, K] over the text's keys and their own block's [B, H, G, W, K], of which they see `allowed`."""
    _, text_key, text_value = text
    places, blocks = text_key.shape[2], query.shape[2:4]
    query = query * query.shape[-1] ** -0.5
    of_text = (query.flatten(2, 3) @ text_key.transpose(-2, -1)).unflatten(2, blocks)  # [B, H, G, L, P]
    of_grid = (query @ key.transpose(-2, -1)).masked_fill(~allowed, -torch.inf)  # [B, H, G, L, W]
    weights = drop(_softmax(torch.cat([of_text, of_grid], -1)).to(value.dtype), dropout)
    from_text = (weights[..., :places].flatten(2, 3) @ text_value).unflatten(2, blocks)
    return from_text + weights[..., places:] @ value


def _softmax(scores: Tensor) -> Tensor:
    return scores.to(torch.promote_types(scores.dtype, torch.float32)).softmax(-1)


@dataclass
class GridCache:
    """Keys and values of all layers while a picture is drawn place by place; R rows, of which C adjacent ones share a text.

    `texts`: keys and values of each layer for S texts, [S, H, P, K] each; `keys`, `values`: of each layer [R, H, slots, K],
    where its pattern says; `filled`: how many places of the grid are there.
    """

    patterns: Sequence[Pattern]
    texts: list[tuple[Tensor, Tensor]]
    keys: list[Tensor]
    values: list[Tensor]
    copies: int = 1
    filled: int = 0

    @classmethod
    def of(cls, layers: Sequence[tuple[Tensor, Tensor]], patterns: Sequence[Pattern], text: int, copies: int) -> Self:
        """From keys and values of each layer, [S, H, P + n, K]: of a text and the first n places of the grid. Each is then
        drawn `copies` times. On a CPU the cache is at least in float32."""
        key = layers[0][0]
        dtype = torch.promote_types(key.dtype, torch.float32) if key.device.type == "cpu" else key.dtype
        filled = key.shape[2] - text
        parts: tuple[list[Tensor], list[Tensor]] = ([], [])
        for layer, pattern in zip(layers, patterns):
            places = list(range(max(0, filled - pattern.slots), filled))
            slots = [pattern.slot(place) for place in places]
            for kept, part in zip(parts, layer):
                room = part.new_zeros(len(part) * copies, part.shape[1], pattern.slots, part.shape[3], dtype=dtype)
                given = part[:, :, [text + place for place in places]]
                room[:, :, slots] = given.to(dtype).repeat_interleave(copies, 0)
                kept.append(room)
        texts = [(k[:, :, :text].to(dtype).contiguous(), v[:, :, :text].to(dtype).contiguous()) for k, v in layers]
        return cls(patterns, texts, *parts, copies, filled)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of the next place, [R, H, 1, K] each, which is stored; call `advance` after all layers."""
        keys, values = self.keys[layer], self.values[layer]
        pattern = self.patterns[layer]
        slot, seen = pattern.slot(self.filled), pattern.seen(self.filled)
        keys[:, :, slot], values[:, :, slot] = key[:, :, 0], value[:, :, 0]
        with torch.autocast(query.device.type, enabled=False):  # a cache may have higher precision than the model
            found = self._mix(layer, query.to(keys.dtype), keys[:, :, seen], values[:, :, seen])
        return found.to(query.dtype)

    def _mix(self, layer: int, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Over the text of each query and keys [R, H, W, K] of its own."""
        text_key, text_value = self.texts[layer]
        places = text_key.shape[2]
        query = query * query.shape[-1] ** -0.5
        of_text = self._apart(self._together(query) @ text_key.transpose(-2, -1))
        weights = _softmax(torch.cat([of_text, query @ keys.transpose(-2, -1)], -1))
        from_text = self._apart(self._together(weights[..., :places]) @ text_value)
        return from_text + weights[..., places:] @ values

    def _together(self, rows: Tensor) -> Tensor:
        """[R, H, 1, X] -> [S, H, C, X]: what belongs to one text."""
        return rows.squeeze(2).unflatten(0, (-1, self.copies)).transpose(1, 2)

    def _apart(self, groups: Tensor) -> Tensor:
        """[S, H, C, X] -> [R, H, 1, X]."""
        return groups.transpose(1, 2).flatten(0, 1).unsqueeze(2)

    def advance(self) -> None:
        """Count the place that every layer has stored."""
        self.filled += 1
