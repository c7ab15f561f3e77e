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
        """The cache of rows [B'] (repeats allowed: beams), as a new cache with as much room."""
        return self._moved(self.slots, rows)

    def grow(self, slots: int) -> KeyValueCache:
        """A copy with room for `slots` tokens a row."""
        if slots < self.used:
            raise ValueError(f"slots must be at least the {self.used} in use, but is {slots} instead")
        return self._moved(slots, torch.arange(len(self.real), device=self.real.device))

    def _moved(self, slots: int, rows: Tensor) -> KeyValueCache:
        """Only the slots in use are read."""
        _, heads, _, width = self.keys[0].shape
        moved = KeyValueCache.empty(
            len(self.keys), len(rows), heads, slots, width, dtype=self.keys[0].dtype, device=self.keys[0].device
        )
        for old, new in zip(self.keys + self.values, moved.keys + moved.values):
            new[:, :, : self.used] = old[:, :, : self.used].index_select(0, rows)
        moved.real[:, : self.used] = self.real[:, : self.used].index_select(0, rows)
        moved.positions, moved.used, moved.padded = self.positions.index_select(0, rows), self.used, self.padded
        return moved
