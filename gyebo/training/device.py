"""The device: which one, its precisions, its library settings, its memory, and the rate of its matrix products."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path

import torch

from gyebo.config.errors import OptionError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_device(name: str) -> torch.device:
    """The device for auto, cpu, cuda or mps; ValueError where it is not available."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name, False):
        here = ", ".join(kind for kind, found in available.items() if found)
        raise OptionError(f"‹device›={name}: not available on this machine; available: {here}")
    return torch.device(name)


def make_ready(device: torch.device) -> None:
    """Apply the library settings for the device."""
    if device.type == "cpu":
        keep_freed_memory()
    elif device.type == "cuda":
        # cuDNN's attention prepares itself for each new shape, a tenth of a second each; texts have hundreds of lengths.
        torch.backends.cuda.enable_cudnn_sdp(False)


@lru_cache
def keep_freed_memory() -> bool:
    """Have the C library keep freed memory instead of returning it to the system; True where it can (glibc).

    A training step frees and allocates the same large arrays; new pages cost more than the arithmetic on them (a quarter of a
    GPT-2 step on a CPU). The process holds its peak of memory until it ends. See `mallopt` in glibc's manual.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    trim_threshold, mmap_max = -1, -4
    return bool(libc.mallopt(trim_threshold, -1) and libc.mallopt(mmap_max, 0))


@lru_cache
def matmul_rate(device: str, precision: str, size: int | None = None, seconds: float = 0.3) -> float:
    """FLOP/s of a square matrix product, the best of several: the peak rate with which training is compared. `size`: number of
    rows; by default one that makes full use of the device."""
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
    """Reset the peak of `peak_memory`, where the system can (CUDA, Linux): earlier runs in this process no longer count."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        import ctypes

        getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)(0)  # memory that earlier runs freed
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak_memory(device: torch.device) -> int:
    """Peak memory since the last reset, bytes: on CUDA that of the device, elsewhere resident memory of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
