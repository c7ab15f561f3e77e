"""What this machine can do: device, precision, and the rate of its matrix products."""

from __future__ import annotations

import time
from functools import lru_cache

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """The device for auto, cpu, cuda or mps; ValueError where it isn't here."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available[name]:
        raise ValueError(f"--device {name}: not available here; there is: {', '.join(k for k, here in available.items() if here)}")
    return torch.device(name)


@lru_cache
def matmul_rate(device: str, precision: str, size: int = 1024, seconds: float = 0.3) -> float:
    """FLOP/s of a square matrix product, the best of several: the limit against which training is measured."""
    a = torch.randn(size, size, device=device).to(DTYPES[precision])
    b = torch.randn(size, size, device=device).to(DTYPES[precision])
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop or best == float("inf"):
        start = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def peak_memory(device: torch.device) -> int:
    """The most memory that this process has held, bytes: on CUDA the device's, elsewhere resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
