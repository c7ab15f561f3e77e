"""Several sides of a benchmark, each in a process of its own, one working at a time, in turn."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import torch

from gyebo.training.device import keep_freed_memory, make_ready

Work = Callable[[], None]
KEPT = "freed memory kept"  # a side that tells the C library so, as gyebo does for its users


def stepper(model: torch.nn.Module, forward: Callable[[], torch.Tensor], precision: str = "bfloat16") -> Work:
    """Forward (under autocast for bfloat16), backward, clip, fused AdamW, on the model's device; a call ends when that is
    done."""
    device = next(model.parameters()).device.type
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = forward()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def _work(name: str, make: Callable[..., Work], arguments: tuple, warm: int, wire: Connection, device: str) -> None:
    """One side's process: a call and its time for every word on the wire. What it makes is made on the device."""
    if name.startswith("gyebo"):
        make_ready(torch.device(device))
    elif name.endswith(KEPT):
        keep_freed_memory()
    with torch.device(device):
        call = make(*arguments)
    for _ in range(warm):
        call()
    while wire.recv():
        start = time.perf_counter()
        call()
        wire.send(time.perf_counter() - start)


def measure(
    sides: Mapping[str, Callable[..., Work]], arguments: tuple, rounds: int, warm: int = 2, device: str = "cpu"
) -> dict[str, list[float]]:
    """Seconds of each call, side by side; each side is first called `warm` times unmeasured."""
    context = multiprocessing.get_context("spawn")
    times: dict[str, list[float]] = {name: [] for name in sides}
    wires, processes = {}, []
    for name, make in sides.items():
        wires[name], end = context.Pipe()
        processes.append(context.Process(target=_work, args=(name, make, arguments, warm, end, device), daemon=True))
        processes[-1].start()
        wires[name].send(True)
        wires[name].recv()  # ready, and nobody else works meanwhile
    for _ in range(rounds):
        for name, wire in wires.items():
            wire.send(True)
            times[name].append(wire.recv())
    for wire, process in zip(wires.values(), processes):
        wire.send(None)
        process.join()
    return times
