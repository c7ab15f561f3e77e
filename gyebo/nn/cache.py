"""Caches for decoding one token at a time: preallocated keys and values, and those of the source in translation.

Letters: B batch, H heads, S slots, K width of a head, T length of the source, R rows of the decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor

from gyebo.nn.attention import attend, join_heads, weigh


@dataclass
class KeyValueCache:
    """Keys and values of all layers, written in place slot by slot.

    `keys[i]`, `values[i]` [B, H, S, K] for layer i; `real` [B, S] marks slots with a real token (False at padding of a prompt);
    `positions` [B] is the next position of each row (not the slot); `used` is the number of filled slots.
    """

    keys: list[Tensor]
    values: list[Tensor]
    real: Tensor
    positions: Tensor
    used: int = 0
    padded: bool = False

    @classmethod
    def empty(
        cls,
        layers: int,
        batch: int,
        heads: int,
        slots: int,
        head_width: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Self:
        """A cache with room for `slots` tokens per row.

        On a CPU it is at least in float32: attention of one bfloat16 query is many times slower there.
        """
        shape = (batch, heads, slots, head_width)
        dtype = torch.promote_types(dtype, torch.float32) if device.type == "cpu" else dtype
        return cls(
            keys=[torch.empty(shape, dtype=dtype, device=device) for _ in range(layers)],
            values=[torch.empty(shape, dtype=dtype, device=device) for _ in range(layers)],
            real=torch.zeros(batch, slots, dtype=torch.bool, device=device),
            positions=torch.zeros(batch, dtype=torch.long, device=device),
        )

    @property
    def slots(self) -> int:
        """Maximum number of tokens of a row."""
        return self.real.shape[1]

    @property
    def first(self) -> int:
        """The first slot that the next token sees."""
        return 0

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store [B, H, T, K] after the used slots; returns all keys and values up to there. Call `advance` after all layers."""
        length = key.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        keys.narrow(2, self.used, length).copy_(key)
        values.narrow(2, self.used, length).copy_(value)
        return keys.narrow(2, 0, self.used + length), values.narrow(2, 0, self.used + length)

    def advance(self, real: Tensor) -> None:
        """Mark the tokens that every layer has written as used; real [B, T]."""
        end = self.used + real.shape[1]
        self.real[:, self.used : end] = real
        self.positions = self.positions + real.sum(-1)
        self.used = end

    def reorder(self, rows: Tensor) -> Self:
        """The cache of rows [B'] (repeats allowed, for beams), with the same slots; this one must not be used afterwards.

        If the number of rows is the same, rows that keep their place are not copied.
        """
        if len(rows) != len(self.real):
            return self._moved(self.slots, rows)
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        if len(moved):
            sources = rows[moved]
            for part in self.keys + self.values:
                used = part.narrow(2, 0, self.used)
                used.index_copy_(0, moved, used.index_select(0, sources))
            self.real.index_copy_(0, moved, self.real.index_select(0, sources))
            self.positions = self.positions.index_select(0, rows)
        return self

    def grow(self, slots: int) -> Self:
        """A copy with room for `slots` tokens per row."""
        if slots < self.used:
            raise ValueError(f"slots must be at least the {self.used} in use, but is {slots} instead")
        return self._moved(slots, torch.arange(len(self.real), device=self.real.device))

    def before_last(self) -> Self:
        """A copy without the last slot, which holds a real token in every row; at least in float32, so that small changes of
        keys and values count."""
        copied = self.grow(self.slots)
        wide = torch.promote_types(copied.keys[0].dtype, torch.float32)
        copied.keys, copied.values = ([part.to(wide) for part in parts] for parts in (copied.keys, copied.values))
        copied.used -= 1
        copied.positions = copied.positions - 1
        return copied

    def copied(self, start: int) -> Tensor:
        """Copies of the keys and values of all layers in the used slots from `start` on, [L, 2, B, H, S, K]."""
        used = slice(start, self.used)
        return torch.stack([torch.stack([key[:, :, used], value[:, :, used]]) for key, value in zip(self.keys, self.values)])

    def overwrite(self, start: int, state: Tensor) -> None:
        """Put others in their place, as from `copied`."""
        for key, value, new in zip(self.keys, self.values, state):
            key[:, :, start : self.used], value[:, :, start : self.used] = new

    def joined(self, start: int | None = None, state: Tensor | None = None) -> JoinedCache:
        """The same with `state` in the place of what `copied(start)` holds, to be read on without writing into it."""
        seen = slice(self.first, self.used if start is None else start)
        keys: list[tuple[Tensor, ...]] = [(part[:, :, seen],) for part in self.keys]
        values: list[tuple[Tensor, ...]] = [(part[:, :, seen],) for part in self.values]
        if state is not None:
            parts = state.flatten(0, 1).unbind()  # once: every unbind copies its gradient
            keys = [(*before, key) for before, key in zip(keys, parts[0::2])]
            values = [(*before, value) for before, value in zip(values, parts[1::2])]
        return JoinedCache(keys, values, self.real[:, self.first : self.used], self.positions, self.padded)

    def _moved(self, slots: int, rows: Tensor) -> Self:
        """A copy of these rows; only used slots are copied."""
        used = self.used

        def part(old: Tensor) -> Tensor:
            new = old.new_empty(len(rows), old.shape[1], slots, old.shape[3])
            new[:, :, :used] = old[:, :, :used].index_select(0, rows)
            return new

        real = self.real.new_zeros(len(rows), slots)
        real[:, :used] = self.real[:, :used].index_select(0, rows)
        keys, values = ([part(old) for old in parts] for parts in (self.keys, self.values))
        return replace(self, keys=keys, values=values, real=real, positions=self.positions.index_select(0, rows))


@dataclass
class MemoryCache(KeyValueCache):
    """A cache of which a token sees at most the last `memory` slots; those before are overwritten. `by_distance`: of each
    layer, what its scores by distance are computed from, [R, H, K], the same for all rows."""

    memory: int = 0
    by_distance: list[Tensor] = field(default_factory=list)

    @property
    def first(self) -> int:
        """The first slot that the next token sees."""
        return max(0, self.used - self.memory)

    def joined(self, start: int | None = None, state: Tensor | None = None) -> JoinedCache:
        """As in `KeyValueCache`, of the slots that the next token sees."""
        return replace(super().joined(start, state), memory=self.memory, by_distance=self.by_distance)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """As in `KeyValueCache`; of the slots before, those that are still seen are returned."""
        seen = self.used + key.shape[2] - self.first
        return tuple(part.narrow(2, self.first, seen) for part in super().write(layer, key, value))  # type: ignore[return-value]

    def advance(self, real: Tensor) -> None:
        """As in `KeyValueCache`; where no slot is left, what is still seen moves to the front."""
        super().advance(real)
        if self.used == self.slots > self.memory:
            self.forget()

    def forget(self) -> None:
        """Move what the next token sees to the front, and the rest out."""
        first, used = self.first, self.used
        for part in self.keys + self.values:
            part[:, :, : used - first] = part[:, :, first:used].clone()
        self.real[:, : used - first] = self.real[:, first:used].clone()
        self.used = used - first


@dataclass
class JoinedCache:
    """What a cache holds, joined with further tokens instead of written to, so that gradients flow from these into it.

    `keys[i]`, `values[i]`: parts [B, H, S_j, K] of layer i, in order; `real` [B, S], `positions` and `padded` as in
    `KeyValueCache`; `memory`, `by_distance` as in `MemoryCache`, None: a token sees all slots.
    """

    keys: list[tuple[Tensor, ...]]
    values: list[tuple[Tensor, ...]]
    real: Tensor
    positions: Tensor
    padded: bool
    memory: int | None = None
    by_distance: list[Tensor] = field(default_factory=list)

    @property
    def used(self) -> int:
        """The number of slots."""
        return self.real.shape[1]

    @property
    def first(self) -> int:
        """The first slot that the next token sees."""
        return 0 if self.memory is None else max(0, self.used - self.memory)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """As in `KeyValueCache`."""
        self.keys[layer], self.values[layer] = (*self.keys[layer], key), (*self.values[layer], value)
        keys, values = (torch.cat(parts[layer], 2)[:, :, self.first :] for parts in (self.keys, self.values))
        return keys, values

    def advance(self, real: Tensor) -> None:
        """As in `KeyValueCache`."""
        self.real = torch.cat([self.real, real], 1)
        self.positions = self.positions + real.sum(-1)


@dataclass
class WindowCache(KeyValueCache):
    """A cache with `windows` beside keys and values: of each convolution its last inputs, [B, size - 1, C], zeros where there
    were none."""

    windows: list[Tensor] = field(default_factory=list)

    def slide(self, number: int, x: Tensor) -> Tensor:
        """Add the input [B, 1, C] of the next token to a window; returns all that the convolution sees, [B, size, C]."""
        seen = torch.cat([self.windows[number], x.to(self.windows[number].dtype)], 1)
        self.windows[number] = seen[:, 1:]
        return seen

    def reorder(self, rows: Tensor) -> Self:
        """As in `KeyValueCache`."""
        windows = [window.index_select(0, rows) for window in self.windows]
        return replace(super().reorder(rows), windows=windows)

    def grow(self, slots: int) -> Self:
        """As in `KeyValueCache`."""
        return replace(super().grow(slots), windows=list(self.windows))


def shared_sources(rows: Tensor, rows_per_source: int, count: int) -> tuple[Tensor | None, int]:
    """The sources (of `count`, each shared by `rows_per_source` rows) of the rows [R'] of a reordered cache, None if all in
    order; and the new number of rows per source. If that number differs between sources, every row gets its own copy."""
    sources, counts = (rows // rows_per_source).unique_consecutive(return_counts=True)
    shared_by = int(counts[0])
    if bool((counts != shared_by).any()):
        sources, shared_by = rows // rows_per_source, 1
    if len(sources) == count and bool((sources == torch.arange(count, device=rows.device)).all()):
        return None, shared_by
    return sources, shared_by


@dataclass
class SourceCache:
    """The cache of a decoder: that of the `target`, and for each layer `keys` and `values` [B, H, T, K] of the source.

    Rows of the same source (beams) are adjacent and share its keys: row r belongs to source r // `rows_per_source`. `allowed`
    [B, 1, 1, T]: the mask of the source, None: all tokens. `attentions`: if it is a list, the attention weights of the last
    layer, averaged over heads, [R, T], are appended to it at each step. `scale`: of the scores, None: K^-0.5.
    `bias` [H, S]: that of attention within the target, by the distance of the key: column S - 1 is the query's own place.
    """

    keys: list[Tensor]
    values: list[Tensor]
    allowed: Tensor | None
    target: KeyValueCache
    rows_per_source: int = 1
    attentions: list[Tensor] | None = None
    scale: float | None = None
    bias: Tensor | None = None

    @classmethod
    def of(cls, layers: Sequence[tuple[Tensor, Tensor]], allowed: Tensor | None, target: KeyValueCache) -> SourceCache:
        """From keys and values of each layer, converted to the dtype of `target`."""
        dtype = target.keys[0].dtype
        keys, values = ([part.to(dtype).contiguous() for part in parts] for parts in zip(*layers))
        return cls(keys, values, allowed, target)

    def attend(self, layer: int, query: Tensor) -> Tensor:
        """Attention of queries [R, H, 1, K] to the source, [R, 1, H*K]."""
        rows, heads, _, width = query.shape
        by_source = query.reshape(-1, self.rows_per_source, heads, width).transpose(1, 2)  # [B, H, rows per source, K]
        key, value = self.keys[layer], self.values[layer]
        if self.attentions is None or layer + 1 < len(self.keys):
            mixed = attend(by_source, key, value, allowed=self.allowed, scale=self.scale)
        else:
            mixed, weights = weigh(by_source.to(key.dtype), key, value, allowed=self.allowed, scale=self.scale)
            self.attentions.append(weights.mean(1).flatten(0, 1))
            mixed = mixed.to(query.dtype)
        return join_heads(mixed).reshape(rows, 1, heads * width)

    def reorder(self, rows: Tensor) -> SourceCache:
        """The cache of rows [R'], repeats allowed."""
        sources, shared_by = shared_sources(rows, self.rows_per_source, len(self.keys[0]))
        if sources is None:
            keys, values, allowed = self.keys, self.values, self.allowed
        else:
            keys, values = ([part.index_select(0, sources) for part in parts] for parts in (self.keys, self.values))
            allowed = None if self.allowed is None else self.allowed.index_select(0, sources)
        target = self.target.reorder(rows)
        return replace(self, keys=keys, values=values, allowed=allowed, target=target, rows_per_source=shared_by)


@dataclass
class Sentences:
    """Sources for one attention layer: `keys` [B, T, K], `values` [B, T, C], and the mask [B, 1, T] (None: all)."""

    keys: Tensor
    values: Tensor
    allowed: Tensor | None

    def pick(self, sources: Tensor) -> Sentences:
        """Some of the sources, by index."""
        allowed = None if self.allowed is None else self.allowed.index_select(0, sources)
        return Sentences(self.keys.index_select(0, sources), self.values.index_select(0, sources), allowed)


@dataclass
class StateCache:
    """The cache of a recurrent decoder for R translations: the `state` of each layer, tensors [R, D], and the `input_feed` of
    the next step, [R, D] ([R, 0] without input feeding).

    Rows of the same source (beams) are adjacent and share its keys: row r belongs to source r // `rows_per_source`; without
    attention `source` is None. `attentions`: if it is a list, the attention weights of each step, [R, T], are appended to it.
    """

    state: list[tuple[Tensor, ...]]
    input_feed: Tensor
    source: Sentences | None = None
    rows_per_source: int = 1
    attentions: list[Tensor] | None = None

    def reorder(self, rows: Tensor) -> StateCache:
        """A new cache of rows [R'], repeats allowed."""
        state = [tuple(part.index_select(0, rows) for part in layer) for layer in self.state]
        source, shared_by = self.source, 1
        if source is not None:
            sources, shared_by = shared_sources(rows, self.rows_per_source, len(source.keys))
            source = source if sources is None else source.pick(sources)
        return StateCache(state, self.input_feed.index_select(0, rows), source, shared_by, self.attentions)
