"""Preallocated keys and values for decoding one token at a time, and those of a source that is translated.

Letters: B batch, H heads, S slots, K width of a head, T length of the source, R rows that are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gyebo.nn.attention import attend, join_heads, weigh


@dataclass
class KeyValueCache:
    """Keys and values of all layers, written in place slot by slot.

    `keys[i]`, `values[i]` [B, H, S, K] for layer i; `real` [B, S] marks slots that hold a real token (padding of a prompt is
    False); `positions` [B] is each row's next position (never the slot); `used` is the number of slots filled.
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
    ) -> KeyValueCache:
        """A cache with room for `slots` tokens a row.

        On a CPU it is in float32 whatever the model's type: attention of one bfloat16 query takes many times as long there.
        """
        shape = (batch, heads, slots, head_width)
        dtype = torch.float32 if device.type == "cpu" else dtype
        return cls(
            keys=[torch.empty(shape, dtype=dtype, device=device) for _ in range(layers)],
            values=[torch.empty(shape, dtype=dtype, device=device) for _ in range(layers)],
            real=torch.zeros(batch, slots, dtype=torch.bool, device=device),
            positions=torch.zeros(batch, dtype=torch.long, device=device),
        )

    @property
    def slots(self) -> int:
        """How many tokens a row can hold."""
        return self.real.shape[1]

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store [B, H, T, K] after the used slots; gives all keys and values up to there. `advance` follows the last layer."""
        length = key.shape[2]
        keys, values = self.keys[layer], self.values[layer]
        keys.narrow(2, self.used, length).copy_(key)
        values.narrow(2, self.used, length).copy_(value)
        return keys.narrow(2, 0, self.used + length), values.narrow(2, 0, self.used + length)

    def advance(self, real: Tensor) -> None:
        """Count the tokens that every layer has written; real [B, T]."""
        end = self.used + real.shape[1]
        self.real[:, self.used : end] = real
        self.positions = self.positions + real.sum(-1)
        self.used = end

    def reorder(self, rows: Tensor) -> KeyValueCache:
        """The cache of rows [B'] (repeats allowed: beams), with as much room; this one must not be used any more.

        Where there are as many as before, those that stay in their place are not copied.
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

    def grow(self, slots: int) -> KeyValueCache:
        """A copy with room for `slots` tokens a row."""
        if slots < self.used:
            raise ValueError(f"slots must be at least the {self.used} in use, but is {slots} instead")
        return self._moved(slots, torch.arange(len(self.real), device=self.real.device))

    def _moved(self, slots: int, rows: Tensor) -> KeyValueCache:
        """Of the slots only those in use are copied."""
        used = self.used

        def part(old: Tensor) -> Tensor:
            new = old.new_empty(len(rows), old.shape[1], slots, old.shape[3])
            new[:, :, :used] = old[:, :, :used].index_select(0, rows)
            return new

        real = self.real.new_zeros(len(rows), slots)
        real[:, :used] = self.real[:, :used].index_select(0, rows)
        keys, values = ([part(old) for old in parts] for parts in (self.keys, self.values))
        return replace(self, keys=keys, values=values, real=real, positions=self.positions.index_select(0, rows))


def shared_sources(rows: Tensor, each: int, count: int) -> tuple[Tensor | None, int]:
    """Which of `count` sources, each shared by so many rows, the rows [R'] of a reordered cache belong to (None: all in their
    order), and how many share one then. Where they are not the same number of each, every row has a copy of its own."""
    sources, counts = (rows // each).unique_consecutive(return_counts=True)
    now = int(counts[0])
    if bool((counts != now).any()):
        sources, now = rows // each, 1
    if len(sources) == count and bool((sources == torch.arange(count, device=rows.device)).all()):
        return None, now
    return sources, now


@dataclass
class SourceCache:
    """What a decoder remembers: what it has `written`, and of each layer `keys` and `values` [B, H, T, K] of the source.

    Several translations of one source (beams) stand side by side and share its keys: row r belongs to source r // `each`.
    `allowed` [B, 1, 1, T]: what of the source may be looked at, None: all. `watched`: where it is a list, the weights of the
    last layer, mean of the heads, [R, T], are added to it at each step.
    """

    keys: list[Tensor]
    values: list[Tensor]
    allowed: Tensor | None
    written: KeyValueCache
    each: int = 1
    watched: list[Tensor] | None = None

    @classmethod
    def of(cls, layers: Sequence[tuple[Tensor, Tensor]], allowed: Tensor | None, written: KeyValueCache) -> SourceCache:
        """From keys and values of each layer; on a CPU in the type of `written`'s keys."""
        dtype = written.keys[0].dtype
        keys, values = ([part.to(dtype).contiguous() for part in parts] for parts in zip(*layers))
        return cls(keys, values, allowed, written)

    def attend(self, layer: int, query: Tensor) -> Tensor:
        """What a query [R, H, 1, K] finds in the source, [R, 1, H*K]."""
        rows, heads, _, width = query.shape
        by_source = query.reshape(-1, self.each, heads, width).transpose(1, 2)  # [B, H, each, K]
        key, value = self.keys[layer], self.values[layer]
        if self.watched is None or layer + 1 < len(self.keys):
            mixed = attend(by_source, key, value, allowed=self.allowed)
        else:
            mixed, weights = weigh(by_source.to(key.dtype), key, value, allowed=self.allowed)
            self.watched.append(weights.mean(1).flatten(0, 1))
            mixed = mixed.to(query.dtype)
        return join_heads(mixed).reshape(rows, 1, heads * width)

    def reorder(self, rows: Tensor) -> SourceCache:
        """The cache of rows [R'], repeats allowed. Those of one source must stand side by side, of each the same number."""
        sources, each = shared_sources(rows, self.each, len(self.keys[0]))
        if sources is None:
            keys, values, allowed = self.keys, self.values, self.allowed
        else:
            keys, values = ([part.index_select(0, sources) for part in parts] for parts in (self.keys, self.values))
            allowed = None if self.allowed is None else self.allowed.index_select(0, sources)
        return SourceCache(keys, values, allowed, self.written.reorder(rows), each, self.watched)


@dataclass
class Sentences:
    """Sources as one attention sees them: `keys` [B, T, K], `values` [B, T, C], and what may be seen, [B, 1, T] (None: all)."""

    keys: Tensor
    values: Tensor
    allowed: Tensor | None

    def pick(self, sources: Tensor) -> Sentences:
        """Some of them, by their numbers."""
        allowed = None if self.allowed is None else self.allowed.index_select(0, sources)
        return Sentences(self.keys.index_select(0, sources), self.values.index_select(0, sources), allowed)


@dataclass
class StateCache:
    """What a recurrent decoder remembers of R translations: of each layer the `state`, tensors [R, D], and what is `fed` to the
    next step, [R, D] ([R, 0]: nothing).

    Translations of one source (beams) stand side by side and share its keys: row r belongs to source r // `each`; without
    attention `source` is None. `watched`: where it is a list, the weights of each step, [R, T], are added to it.
    """

    state: list[tuple[Tensor, ...]]
    fed: Tensor
    source: Sentences | None = None
    each: int = 1
    watched: list[Tensor] | None = None

    def reorder(self, rows: Tensor) -> StateCache:
        """The cache of rows [R'], repeats allowed, as a new one."""
        state = [tuple(part.index_select(0, rows) for part in layer) for layer in self.state]
        source, each = self.source, 1
        if source is not None:
            sources, each = shared_sources(rows, self.each, len(source.keys))
            source = source if sources is None else source.pick(sources)
        return StateCache(state, self.fed.index_select(0, rows), source, each, self.watched)
