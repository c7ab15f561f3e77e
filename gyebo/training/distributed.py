"""One process or several under `torchrun`: what the loop needs to agree on."""

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

PATIENCE = timedelta(hours=6)  # for which the others wait while the first process learns a tokenizer, makes shards or evaluates


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the others that `torchrun` started (gloo on a CPU, nccl on CUDA); nothing where there are none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":  # from here on "cuda" means this one
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
        dist.barrier()  # nobody takes the connections down while another still reads from them
    finally:
        gc.collect()  # what still holds the group (DDP, in cycles of references) must be gone before its threads are
        dist.destroy_process_group()


def sum_over_processes(values: list[float], device: torch.device) -> list[float]:
    """Element-wise sums, the same on every process."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device="cpu" if device.type == "mps" else device)
    dist.all_reduce(tensor)
    return tensor.tolist()


def gather_rows(mine: Tensor, total: int) -> Tensor:
    """The rows of all processes one after the other, as `rows * rank // processes` divides them; the same on each."""
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
    """Whether the flag is up anywhere: stop, save and skip are agreed before anyone acts."""
    return sum_over_processes([float(flag)], device)[0] > 0


def barrier() -> None:
    """Wait for all."""
    if world_size() > 1:
        dist.barrier()


def from_first(value: Any) -> Any:
    """The first process's value, on every process."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]
