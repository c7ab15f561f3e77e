"""The tensors of a batch as they were made, on the CPU, beside their copies on a device.

What follows from the values of a batch, such as which tokens are real and which have a label, is worked out on the CPU: to read
it from an accelerator is to wait for all that was asked of it before. What is worked out is copied to the device in the same
way, so that more can follow from it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

_made = WeakTensorKeyDictionary()


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """The values of a batch on a device, which remember those on the CPU; nothing is waited for."""
    if device.type == "cpu":
        return values
    found = (values.pin_memory() if device.type == "cuda" else values).to(device, non_blocking=True)
    _made[found] = values
    return found


def on_host(tensor: Tensor) -> Tensor:
    """The same values on the CPU; those that were made elsewhere are waited for."""
    made = _made.get(tensor)
    return tensor.cpu() if made is None else made


def is_ours(tensor: Tensor) -> bool:
    """Whether it is of a batch that was made here, so that its values need no check."""
    return tensor in _made


def places_of(wanted: Tensor, device: torch.device) -> Tensor:
    """The numbers of the flat entries of a mask on the CPU that are true, on a device."""
    return to_device(wanted.flatten().nonzero().squeeze(1), device)
