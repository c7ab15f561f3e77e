"""What this machine can do: device, precision, and the rate of its matrix products."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import torch

from gyebo.config.errors import OptionError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """The device for auto, cpu, cuda or mps; ValueError where it isn't here."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name, False):
        here = ", ".join(kind for kind, found in available.items() if found)
        raise OptionError(f"‹device›={name}: not available here; there is: {here}")
    return torch.device(name)


def make_ready(device: torch.device) -> None:
    """What this process's libraries are told before work on the device begins."""
    if device.type == "cpu":
        keep_freed_memory()
    elif device.type == "cuda":
        # cuDNN's attention plans each shape anew, a tenth of a second each; texts of all lengths have hundreds of shapes.
        torch.backends.cuda.enable_cudnn_sdp(False)


@lru_cache
def keep_freed_memory() -> bool:
    """Have the C library keep what is freed instead of handing it back; True where that could be arranged (glibc).

    A training step frees and takes the same large arrays again; fresh pages cost more than the arithmetic on them (a quarter
    of a GPT-2 step on a CPU). The process holds its peak of memory until it ends. glibc's manual: `mallopt`.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    trim_threshold, mmap_max = -1, -4
    return bool(libc.mallopt(trim_threshold, -1) and libc.mallopt(mmap_max, 0))


@lru_cache
def matmul_rate(device: str, precision: str, size: int | None = None, seconds: float = 0.3) -> float:
    """FLOP/s of a square matrix product, the best of several: the limit against which training is measured. `size`: by default
    one that fills the device."""
    size = size or (8192 if device == "cuda" else 1024)
    a = torch.randn(size, size, device=device).to(DTYPES[precision])
    b = torch.randn(size, size, device=device).to(DTYPES[precision])
    best, stop = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < stop or best == float("inf"):
        start = time.perf_counter()
        a @ b
        if device != "cpu":
            getattr(torch, device).synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def reset_peak_memory(device: torch.device) -> None:
    """Forget what earlier runs in this process held, where the system can (CUDA, Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        import ctypes

        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)  # what is free now belongs to earlier runs
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """The most memory held since the last reset, bytes: on CUDA the device's, elsewhere this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
