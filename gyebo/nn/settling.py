"""Parts of a model that learn by counting, not by a gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor, nn


class Settling(nn.Module, ABC):
    """A part whose forward passes in training count something, from which it learns once a step, whatever the number of
    micro-batches and processes. What it keeps from step to step are buffers, which checkpoints store."""

    @abstractmethod
    def settle(self, total: Callable[[Tensor], Tensor], *, first: bool) -> None:
        """Learn from what was counted since the last step, after the optimiser's step. `total`: sums a tensor over all
        processes, which call it alike; `first`: this is the first of them."""
