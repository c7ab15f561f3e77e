"""What this machine can do."""

from pathlib import Path

import pytest
import torch

from gyebo.training import device
from gyebo.training.device import peak_memory, pick_device


@pytest.mark.parametrize("name", ["gpu", "cuda:0", "cuda"])
def test_a_device_that_is_not_here_is_named(name, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device={name}: not available on this machine; available: cpu"):
        pick_device(name)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read in Linux only")
def test_peak_memory_is_in_bytes():
    import resource

    assert peak_memory(torch.device("cpu")) == pytest.approx(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, rel=0.5)


def test_the_rate_of_matrix_products_is_their_operations_by_the_best_time(monkeypatch):
    """A product of n x n is n^3 multiplications and as many additions."""
    clock = iter([0.0, 0.1, 1.0, 1.5, 1.6, 2.0, 2.25, 9.0])  # two products, of 0.5 and 0.25 s
    monkeypatch.setattr(device.time, "perf_counter", lambda: next(clock))
    assert device.matmul_rate.__wrapped__("cpu", "float32", 10, seconds=2.0) == pytest.approx(2 * 10**3 / 0.25)


@pytest.mark.parametrize(("here", "chosen"), [(("cuda", "mps"), "cuda"), (("mps",), "mps"), ((), "cpu")])
def test_auto_takes_the_fastest_device_that_is_here(here, chosen, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: "cuda" in here)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: "mps" in here)
    assert pick_device("auto") == torch.device(chosen)
