"""`gyebo env`: environment information for bug reports."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import torch

from gyebo.data.prepare import cache_folder
from gyebo.jobs.run_directory import versions
from gyebo.training.device import matmul_rate


def describe() -> dict[str, str]:
    """Versions, processor, memory, devices, and matrix-product throughput in both precisions."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    facts = {**versions(), "system": platform.platform(), "processor": _processor()}
    facts["cores"] = f"{os.cpu_count()} ({torch.get_num_threads()} threads used)"
    facts["capability"] = torch.backends.cpu.get_cpu_capability()
    facts["memory"] = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    facts["cuda"] = torch.cuda.get_device_name() if device == "cuda" else "none"
    facts["mps"] = str(torch.backends.mps.is_available())
    for precision in ("float32", "bfloat16"):
        facts[f"{precision} products"] = f"{matmul_rate(device, precision) / 1e9:,.0f} GFLOP/s on {device}"
    cache = cache_folder()
    home = next(path for path in (cache, *cache.parents) if path.exists())
    facts["cache"] = f"{cache} ({shutil.disk_usage(home).free / 2**30:,.0f} GiB free)"
    return facts


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()
