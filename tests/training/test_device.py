"""What this machine can do."""

import pytest

from gyebo.training.device import pick_device


@pytest.mark.parametrize("name", ["gpu", "cuda:0", "cuda"])
def test_a_device_that_is_not_here_is_named(name, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device={name}: not available on this machine; available: cpu"):
        pick_device(name)
