"""A copy of a model that is fast at one token a step on a CPU.

A step multiplies each weight matrix with one vector a row, so its time is the time in which the weights come out of
memory. `F.linear` reads a matrix as it lies there, at a fraction of what the memory gives; in the blocked layout of oneDNN
it is read in order. Packing a model costs what it saves in about eight steps.
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Model = TypeVar("Model")

WORTHWHILE = 8  # tokens
LARGE = 1 << 17  # elements from which a float32 matrix gains: packed, each product costs some 10 microseconds more to start


class PackedLinear(nn.Module):
    """A linear layer whose weight lies in oneDNN's layout; [..., in] -> [..., out]. It has no parameters."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype
        self.weight = packed_weight(linear, dtype)
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, "none", [], "")


CHUNK = 127  # words; a prime, so that chunks lie differently in each row, and whatever moves along a row leaves some of them

# What each layer's weight was when it was packed, the sums of its chunks, and the packed weight.
_kept: WeakKeyDictionary[nn.Linear, tuple[tuple[object, ...], Tensor, Tensor]] = WeakKeyDictionary()


def packed_weight(linear: nn.Linear, dtype: torch.dtype) -> Tensor:
    """The weight in oneDNN's layout: the one of the call before if the weight is still the same, else packed anew.

    What writes into a weight raises torch's count of its versions; what goes past it (through `.data`) changes the sums of
    its chunks, unless it moves numbers about inside single ones.
    """
    weight = linear.weight.detach().contiguous()
    mark = (linear.weight.data_ptr(), None if weight.is_inference() else linear.weight._version, dtype)
    words = weight.flatten().view(torch.uint8)
    if len(words) % 8 == 0 and words.storage_offset() % 8 == 0:
        words = words.view(torch.int64)  # sums of bits are exact, and fast in every type
    whole = len(words) // CHUNK * CHUNK
    sums = torch.cat([words[:whole].view(-1, CHUNK).sum(1), words[whole:]])
    kept = _kept.get(linear)
    if kept is None or kept[0] != mark or not torch.equal(kept[1], sums):
        kept = mark, sums, torch.ops.mkldnn._reorder_linear_weight(weight.to(dtype), None)
        _kept[linear] = kept
    return kept[2]


def release(model: nn.Module) -> None:
    """Give back the memory of a model's packed weights, which are otherwise kept as long as the model itself."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _kept.pop(module, None)


def decoding_copy(model: Model, tokens: int = WORTHWHILE) -> Model:
    """The model in evaluation mode, with its linear layers packed where this machine can; the model itself is untouched.

    For fewer than `WORTHWHILE` tokens nothing is packed, and small matrices never are. The copy shares every other
    parameter and lives for one call: its packed weights are those of this moment. They take the memory of the weights a
    second time and are kept for the next call (see `packed_weight` and `release`). Under autocast they are packed in
    autocast's type. No gradients. What is no `nn.Module` comes back as it is.
    """
    return cast(Model, _copy(model, {}, tokens >= WORTHWHILE)) if isinstance(model, nn.Module) else model


def _copy(module: nn.Module, copies: dict[nn.Module, nn.Module], packed: bool) -> nn.Module:
    if module not in copies:
        dtype = packed_type(module) if packed else None
        if dtype is not None:
            copies[module] = PackedLinear(module, dtype).eval()  # type: ignore[arg-type]
        else:
            twin = copies[module] = copy.copy(module)
            parts = {name: part and _copy(part, copies, packed) for name, part in module._modules.items()}
            twin.__dict__.update(_modules=parts, training=False)
    return copies[module]


def packed_type(module: nn.Module) -> torch.dtype | None:
    """The type in which to pack a module's weight; None where it can't be, gains nothing, or is no plain linear layer."""
    if type(module) is not nn.Linear or type(module.weight) is not nn.Parameter or module.weight.device.type != "cpu":
        return None
    if module._forward_hooks or module._forward_pre_hooks or not torch.backends.mkldnn.is_available():
        return None
    if not torch.backends.mkldnn.enabled or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else module.weight.dtype
    if dtype == torch.bfloat16:
        return dtype if torch.ops.mkldnn._is_mkldnn_bf16_supported() else None
    return dtype if dtype == torch.float32 and module.weight.numel() >= LARGE else None
