"""A codebook: each vector is replaced by the nearest of K codes (van den Oord et al. 2017, "Neural Discrete Representation
Learning").

Choosing has no gradient; that of the code is copied to the vector that it replaces, as if nothing had been in between. Codes
are learned by a loss, or as running means of the vectors that chose them. Letters: N vectors, D width, K codes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gyebo.nn.settling import Settling

CHOICES = 2**24  # distances of a chunk of vectors that are in memory at a time
LEAST = 1e-12  # keeps a division by a count that has faded away from being one by zero


@dataclass
class Quantised:
    """What became of vectors [N, D]: `ids` [N] of the codes; `codes` [N, D], with a gradient to the codebook where that is
    learned by one; `passed` [N, D]: the same numbers, whose gradient goes to the vectors."""

    ids: Tensor
    codes: Tensor
    passed: Tensor


@dataclass
class Seen:
    """What the forward passes of a step saw: `counts` [K] and `sums` [K, D] of the vectors that chose each code; `drawn` [K, D]
    of all vectors, by falling random `keys` [K], which are -1 where fewer were seen."""

    counts: Tensor
    sums: Tensor
    drawn: Tensor
    keys: Tensor

    @classmethod
    def nothing(cls, codes: Tensor) -> Seen:
        """Before a step."""
        empty = torch.zeros_like(codes)
        return cls(empty[:, 0].clone(), empty.clone(), empty, torch.full_like(empty[:, 0], -1.0))


class Codebook(Settling):
    """K codes of width D.

    `decay` of running means, by which codes are learned (appendix A.1 of the paper); None: they are parameters, and a loss must
    say how they are learned. `patience`: after so many steps in which no vector chose a code, it becomes one of the step's
    vectors, drawn at random; None: never. Before the first step all codes become such vectors, once it has been seen.
    """

    codes: Tensor
    sums: Tensor
    usage: Tensor
    idle: Tensor

    def __init__(self, count: int, width: int, *, decay: float | None, patience: int | None):
        super().__init__()
        self.decay, self.patience = decay, patience
        codes = torch.zeros(count, width)
        if decay is None:
            self.codes = nn.Parameter(codes)
        else:
            self.register_buffer("codes", codes)
            self.register_buffer("sums", torch.zeros(count, width))  # running means of `Seen.sums`
            self.register_buffer("usage", torch.zeros(count))  # and of `Seen.counts`
        unseen = torch.full((count,), -1, dtype=torch.int32)
        self.register_buffer("idle", unseen)  # steps since a vector chose the code; -1 before the first one
        self.seen: Seen | None = None

    @torch.no_grad()
    def initialise(self) -> None:
        """Random codes for the first step, N(0, 1 / width)."""
        self.codes.normal_(0.0, self.codes.shape[1] ** -0.5)

    def forward(self, vectors: Tensor) -> Quantised:
        """Vectors [N, D] -> the nearest codes, in float32 at least."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
            ids = self.nearest(vectors)
            codes = self.codes[ids]
            if self.training and torch.is_grad_enabled():
                self._see(vectors.detach(), ids)
            return Quantised(ids, codes, vectors + (codes - vectors).detach())

    @torch.no_grad()
    def nearest(self, vectors: Tensor) -> Tensor:
        """The ids [N] of the codes at the least Euclidean distance, the first of several."""
        half = 0.5 * self.codes.square().sum(1)  # |z - e|^2 / 2 without |z|^2 / 2, which all codes have
        parts = vectors.split(max(1, CHOICES // len(half)))
        return torch.cat([(half - part @ self.codes.T).argmin(1) for part in parts])

    @torch.no_grad()
    def _see(self, vectors: Tensor, ids: Tensor) -> None:
        """Add the vectors [N, D] of a forward pass to what is seen in this step."""
        seen = self.seen = self.seen or Seen.nothing(self.codes.detach())
        seen.counts.index_add_(0, ids, torch.ones_like(ids, dtype=seen.counts.dtype))
        seen.sums.index_add_(0, ids, vectors)
        keys = torch.cat([seen.keys, torch.rand(len(vectors), device=vectors.device, dtype=vectors.dtype)])
        seen.keys, kept = keys.topk(len(self.codes))
        seen.drawn = torch.cat([seen.drawn, vectors])[kept]

    @torch.no_grad()
    def settle(self, total: Callable[[Tensor], Tensor], *, first: bool) -> None:
        """Learn from the vectors of a step, as `Settling.settle` says; codes become vectors of the first process. Nothing
        happens where no vector was seen."""
        if self.seen is None:
            return
        seen, self.seen = self.seen, None
        counts, sums = total(seen.counts), total(seen.sums)
        drawn, keys = (total(part if first else torch.zeros_like(part)) for part in (seen.drawn, seen.keys))
        which = self.idle < 0
        self.idle.copy_((self.idle + 1) * (counts == 0))
        if self.decay is not None:
            self.usage.lerp_(counts, 1 - self.decay)
            self.sums.lerp_(sums, 1 - self.decay)
            self.codes.copy_(self.sums / self.usage.clamp(min=LEAST)[:, None])
        if self.patience is not None:
            which |= self.idle >= self.patience
        self._become(which, drawn, (keys >= 0).sum(), counts.mean())

    def _become(self, which: Tensor, vectors: Tensor, count: Tensor, usage: Tensor) -> None:
        """Put the first `count` vectors, one after the other, into the place of the codes of `which` [K], as if they had been
        chosen as often as `usage`. All codes are written: how many change is not known without waiting for the device."""
        chosen = vectors[(which.cumsum(0) - 1).clamp(min=0) % count.clamp(min=1)]
        self.codes.copy_(torch.where(which[:, None], chosen, self.codes))
        self.idle.masked_fill_(which, 0)
        if self.decay is not None:
            self.usage.copy_(torch.where(which, usage, self.usage))
            self.sums.copy_(torch.where(which[:, None], chosen * usage, self.sums))


def perplexity(counts: Tensor) -> float:
    """How many codes are in use: e to the entropy of the share of each, from how often each was chosen; 1 where it is always
    the same one, K where all are chosen equally often. NaN where none was chosen."""
    shares = counts.double() / counts.sum()
    return float(torch.special.entr(shares).sum().exp())
