"""Communication between the processes that `torchrun` started; with a single process, every function is trivial."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gyebo.data.processes import end_with_parent

TIMEOUT = timedelta(hours=6)  # the others wait while the first process trains a tokenizer, prepares the corpus or evaluates


def rank() -> int:
    """Rank of this process; 0 with a single process."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the process group of `torchrun` (gloo on a CPU, nccl on CUDA); does nothing with a single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    end_with_parent()  # which may be killed by force, while this process waits for the others or goes on alone
    if device.type == "cuda":  # from here on "cuda" means this device
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
        dist.barrier()  # no process closes its connections while another still reads from them
    finally:
        gc.collect()  # DDP, in cycles of references, holds the group: it must be gone before the group's threads
        dist.destroy_process_group()


def sum_over_processes(values: list[float], device: torch.device) -> list[float]:
    """Element-wise sums, the same on every process."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device="cpu" if device.type == "mps" else device)
    dist.all_reduce(tensor)
    return tensor.tolist()


def total(mine: Tensor) -> Tensor:
    """A tensor summed over the processes."""
    if world_size() == 1:
        return mine
    summed = mine.clone()
    dist.all_reduce(summed)
    return summed


def gather_rows(mine: Tensor, total: int) -> Tensor:
    """The rows of all processes, concatenated; process `rank` has those from `total * rank // processes` on."""
    world = world_size()
    if world == 1:
        return mine
    parts = []
    for number in range(world):
        count = total * (number + 1) // world - total * number // world
        part = mine.contiguous() if number == rank() else mine.new_empty(count, *mine.shape[1:])
        dist.broadcast(part, src=number)
        parts.append(part)
    return torch.cat(parts)


def any_process(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any process: all agree on stopping, saving and failing before one acts."""
    return sum_over_processes([float(flag)], device)[0] > 0


def barrier() -> None:
    """Wait for all processes."""
    if world_size() > 1:
        dist.barrier()


def from_first(value: Any) -> Any:
    """The value of the first process, on every process."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
