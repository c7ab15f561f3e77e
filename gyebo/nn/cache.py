"""Preallocated keys and values for decoding one token at a time.

Letters: B batch, H heads, S slots, K width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
        """A cache with room for `slots` tokens a row."""
        shape = (batch, heads, slots, head_width)
        return cls(
            keys=[torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)],
            values=[torch.zeros(shape, dtype=dtype, device=device) for _ in range(layers)],
            real=torch.zeros(batch, slots, dtype=torch.bool, device=device),
            positions=torch.zeros(batch, dtype=torch.long, device=device),
        )

    @property
    def slots(self) -> int:
        """How many tokens a row can hold."""
        return self.real.shape[1]

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store [B, H, T, K] after the used slots; gives all keys and values up to there. `advance` follows the last layer."""
        end = self.used + key.shape[2]
        self.keys[layer][:, :, self.used : end] = key
        self.values[layer][:, :, self.used : end] = value
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, real: Tensor) -> None:
        """Count the tokens that every layer has written; real [B, T]."""
        end = self.used + real.shape[1]
        self.real[:, self.used : end] = real
        self.positions = self.positions + real.sum(-1)
        self.used = end

    def reorder(self, rows: Tensor) -> KeyValueCache:
        """The cache of rows [B'] (repeats allowed: beams), as a new cache."""
        return KeyValueCache(
            keys=[k.index_select(0, rows) for k in self.keys],
            values=[v.index_select(0, rows) for v in self.values],
            real=self.real.index_select(0, rows),
            positions=self.positions.index_select(0, rows),
            used=self.used,
            padded=self.padded,
        )

    def grow(self, slots: int) -> KeyValueCache:
        """A copy with room for `slots` tokens a row."""
        if slots < self.used:
            raise ValueError(f"slots must be at least the {self.used} in use, but is {slots} instead")
        batch, heads, _, head_width = self.keys[0].shape
        bigger = KeyValueCache.empty(
            len(self.keys), batch, heads, slots, head_width, dtype=self.keys[0].dtype, device=self.keys[0].device
        )
        for old, new in zip(self.keys + self.values, bigger.keys + bigger.values):
            new[:, :, : self.used] = old[:, :, : self.used]
        bigger.real[:, : self.used] = self.real[:, : self.used]
        bigger.positions, bigger.used, bigger.padded = self.positions, self.used, self.padded
        return bigger
