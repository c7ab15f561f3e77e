"""What the forward passes of a training compute on, counted on its own batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.data.batches import IGNORE
from gyebo.data.streams import Arrays, Stream, document_lengths
from gyebo.nn.cost import Workload
from gyebo.training import distributed

STEPS, TOKENS = 32, 2**18  # of a sample, whichever is reached first

Projected = Callable[[Any], dict[str, int]]  # of an objective: batch -> head -> number of rows of its output layer


def sampled(
    rows: Any, model: Any, projected: Projected, *, batch_rows: int, micro_rows: int, seed: int, steps: int = STEPS
) -> tuple[Workload, int]:
    """The workload of the first steps of a training, of all processes together, and their number: at most `steps`, fewer where
    they are long.

    `rows`: `gyebo.data.batches.Rows`, or what offers the same `step` and `streams`; `seed`: of their order; `micro_rows`: most
    rows of a forward pass.
    """
    found: list[Workload] = []
    read = 0
    for step in range(steps):
        for first, count in forward_passes(batch_rows, micro_rows):
            found.append(workload_of(rows.step(step, batch_rows, seed, first, count), rows.streams, model, projected))
            read += tokens_of(found[-1], rows.streams)
        if read >= TOKENS:
            break
    return joined(found), step + 1


def forward_passes(batch_rows: int, micro_rows: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each forward pass of a step, over all processes."""
    world = distributed.world_size()
    bounds = [batch_rows * rank // world for rank in range(world + 1)]
    for begin, end in pairwise(bounds):
        for first in range(begin, end, micro_rows):
            yield first, min(micro_rows, end - first)


def workload_of(batch: Arrays, streams: Sequence[Stream], model: Any, projected: Projected) -> Workload:
    """The workload of one forward pass over a batch of arrays."""
    lengths: dict[str, Any] = document_lengths(batch, streams)
    projections = projected(batch)
    if model.has_memory:
        lengths["memory"] = _behind_memory(batch, model.config.memory)
    if model.has_clusters and model.config.cutoffs:
        projections = projections | _by_cluster(batch, model.config, labelled="lm" in projections)
    if model.reads_characters:
        distinct = np.unique(batch["input_ids"][batch["document_ids"] > 0])
        lengths["characters"] = np.full(len(distinct), model.symbols_read(torch.from_numpy(distinct)))
    return Workload(lengths, projections)


def _by_cluster(batch: Arrays, config: Any, *, labelled: bool) -> dict[str, int]:
    """How many ids, and how many labels, are in each cluster of the vocabulary, by the names of `gyebo/nn/adaptive.py`."""
    found: dict[str, int] = {}
    if config.division > 1:
        counts = _counted(batch["input_ids"][batch["document_ids"] > 0], config.cutoffs)
        found |= {f"embedding.{number}": count for number, count in enumerate(counts)}
    if labelled:
        counts = _counted(batch["labels"][batch["labels"] != IGNORE], config.cutoffs)
        found |= {f"lm.{number}": count for number, count in enumerate(counts) if number}
    return found


def _counted(ids: Any, cutoffs: Sequence[int]) -> list[int]:
    counts: list[int] = np.bincount(np.searchsorted(cutoffs, ids, side="right"), minlength=1 + len(cutoffs)).tolist()
    return counts


def _behind_memory(batch: Arrays, memory: int) -> NDArray[np.int64]:
    """How many tokens of memory each document of a batch reads: where its row goes on all of it, which is charged in full."""
    ids = batch["document_ids"].reshape(-1, batch["document_ids"].shape[-1])
    most = 1 + int(ids.max(initial=0))
    row, document = np.divmod(np.unique((np.arange(len(ids))[:, None] * most + ids)[ids > 0]), most)  # as `document_lengths`
    goes_on = batch.get("continues", np.zeros(len(ids), bool))
    first = ids[np.arange(len(ids)), (ids > 0).argmax(1)]
    return memory * (goes_on[row] & (document == first[row]))


def joined(parts: Sequence[Workload]) -> Workload:
    """The workload of all parts together."""
    names, heads = parts[0].lengths, dict.fromkeys(head for part in parts for head in part.projected)
    return Workload(
        {name: np.concatenate([part.lengths[name] for part in parts]) for name in names},
        {head: sum(part.projected[head] for part in parts) for head in heads},
    )


def tokens_of(work: Workload, streams: Sequence[Stream]) -> int:
    """Number of tokens, over all streams that are `counted`."""
    return sum(work.places(stream.name) for stream in streams if stream.counted)
