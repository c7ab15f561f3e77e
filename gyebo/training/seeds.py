"""Seeds: each random choice is seeded by its purpose and place, so no generator's state has to be stored."""

from __future__ import annotations

import hashlib

import torch


def derive(seed: int, *parts: int | str) -> int:
    """A 63-bit seed for one purpose: derive(seed, "dropout", step, micro_batch, rank)."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def seed_torch(seed: int, *parts: int | str) -> None:
    """Seed torch's generators (all devices) for one purpose."""
    torch.manual_seed(derive(seed, *parts))
