"""FLOPs as torch counts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gyebo.nn import attention, ragged


def counted(run: Callable[[], Any]) -> int:
    """The FLOPs of a call, as plain matrix products of real tokens: the counter does not see torch's fused kernels for
    attention and LSTMs on CPUs, and rows that only round up a batch are left out."""
    with pytest.MonkeyPatch.context() as patch, FlopCounterMode(display=False) as counter:
        patch.setattr(attention, "_naive_is_faster", lambda *_: True)
        patch.setattr(ragged, "rounded", lambda count, parts: count)
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        run()
    return counter.get_total_flops()
