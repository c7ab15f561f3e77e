"""FLOPs as torch counts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from gyebo.nn import attention, ragged


def counted(run: Callable[[], Any]) -> int:
    """The FLOPs of a call, as plain matrix products of real tokens: the counter does not see torch's fused kernels for
    attention and LSTMs on CPUs, and rows that only round up a batch are left out."""
    return _counter(run).get_total_flops()


def counted_of_positions(run: Callable[[], Any]) -> int:
    """The part of a forward pass in layers named `position`, which project relative positions once for all documents."""
    found = _counter(run).flop_counts
    return sum(sum(counts.values()) for name, counts in found.items() if name.endswith(".position"))


def _convolution_backward(grad: Any, x: Any, weight: Any, *rest: Any, out_shape: Any = None) -> int:
    """As much as the forward pass for each gradient that is asked for; torch's own formula takes features that are convolved
    apart from each other (groups) for features that are mixed."""
    *_, transposed, _, _, asked = rest
    return sum(asked[:2]) * conv_flop_count(x, weight, grad, transposed=transposed)


def _counter(run: Callable[[], Any]) -> FlopCounterMode:
    own = {torch.ops.aten.convolution_backward: _convolution_backward}
    with pytest.MonkeyPatch.context() as patch, FlopCounterMode(display=False, custom_mapping=own) as counter:
        patch.setattr(attention, "_naive_is_faster", lambda *_: True)
        patch.setattr(ragged, "rounded", lambda count, parts: count)
        patch.setattr(torch.backends.mkldnn, "enabled", False)
        run()
    return counter
