"""Gradient clipping: an RNN that diverges at some learning rate can be trained at the same rate with clipping.

The network predicts the next byte of the built-in world and is trained by plain gradient descent, without momentum, so that
only the gradient determines the size of a step; its recurrent matrix is initialised with a gain above 1, so that gradients
explode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gyebo.figures.lab import lines
from gyebo.models.rnn import Rnn, RnnConfig
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.world import documents

CLAIM = "without gradient clipping an RNN diverges at a learning rate at which it can be trained with clipping"
SOURCE = "Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks"

STEPS, ROWS, WINDOW, WIDTH, RATE, GAIN, LIMIT = 200, 8, 32, 64, 2.0, 2.0, 1.0


def text(count: int = 300) -> Tensor:
    """The bytes of the first `count` documents of the world, as ids [N]."""
    joined = "\n".join(document.text for document in islice(documents(count), count)).encode()
    return torch.from_numpy(np.frombuffer(joined, np.uint8).astype(np.int64))


def losses(ids: Tensor, seed: int, limit: float) -> list[float]:
    """Nats per byte at every step, until the last one or a loss that is not finite; `limit`: maximum gradient norm."""
    torch.manual_seed(seed)
    model = Rnn(RnnConfig(256, WINDOW, WIDTH, layers=1, dropout=0.0, init_std=0.3))
    block: Any = model.blocks[0]
    with torch.no_grad():
        block.weight_hh_l0.mul_(GAIN)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    found: list[float] = []
    for _ in range(STEPS):
        starts = torch.randint(len(ids) - WINDOW - 1, (ROWS, 1))
        rows = ids[starts + torch.arange(WINDOW + 1)]
        hidden = model.encode(rows[:, :-1]).hidden.flatten(0, 1)
        loss = cross_entropy_sum(*model.output_layer(hidden), rows[:, 1:].flatten()) / (ROWS * WINDOW)
        found.append(float(loss.detach()))
        if not math.isfinite(found[-1]):
            return found
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), limit)
        optimizer.step()
    return found


def run(out: Path, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Train with and without clipping for each seed and plot `clipping.png`."""
    ids, uniform = text(), math.log(256)
    curves: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    ends: dict[str, list[float]] = {}
    for name, limit in (("without clipping", math.inf), (f"norm at most {LIMIT:g}", LIMIT)):
        for seed in seeds:
            found = losses(ids, seed, limit)
            smooth = [sum(found[max(0, n - 9) : n + 1]) / len(found[max(0, n - 9) : n + 1]) for n in range(len(found))]
            curves[f"{name}, seed {seed}"] = (range(1, len(found) + 1), smooth)
            ends.setdefault(name, []).append(smooth[-1])
            say(f"{name}, seed {seed}: {smooth[-1]:.3f} nats per byte after {len(found)} steps (uniform: {uniform:.3f})")
    lines(out / "clipping.png", curves, "step", "nats per byte, mean of ten steps", log="y")
    without, clipped = ends.values()
    diverged = sum(not end < uniform for end in without)
    return {
        "holds": diverged == len(without) and all(end < uniform for end in clipped),
        "finding": (
            f"{diverged} of {len(without)} runs without clipping end above the loss of a uniform distribution ({uniform:.2f} "
            f"nats per byte); with clipping they end at {', '.join(f'{end:.2f}' for end in clipped)}"
        ),
        "without": without,
        "clipped": clipped,
    }
