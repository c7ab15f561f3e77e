"""What this machine can do."""

from pathlib import Path

import pytest
import torch

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
