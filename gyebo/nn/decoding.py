"""A copy of a model that is fast at one token a step on a CPU.

A step multiplies each weight matrix with one vector a row, so its time is the time in which the weights come out of
memory. `F.linear` reads a matrix as it lies there, at a fraction of what the memory gives; in the blocked layout of oneDNN
it is read in order. Packing costs what it saves in about eight steps.
"""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

Model = TypeVar("Model")

WORTHWHILE = 8  # tokens
LARGE = 1 << 17  # elements from which a float32 matrix gains: packed, each product costs some 10 microseconds more to start


class PackedLinear(nn.Module):
    """A linear layer whose weight was copied into oneDNN's layout; [..., in] -> [..., out]. It has no parameters."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype):
        super().__init__()
        weight, bias = linear.weight.detach().to(dtype), linear.bias
        self.dtype = dtype
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self.bias = None if bias is None else bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        return torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.weight, self.bias, "none", [], "")


def decoding_copy(model: Model, tokens: int = WORTHWHILE) -> Model:
    """The model in evaluation mode, with its linear layers packed where this machine can; the model itself is untouched.

    For fewer than `WORTHWHILE` tokens nothing is packed, and small matrices never are. The copy shares every other
    parameter, but the packed weights are those of this moment and take their memory a second time: who generates once lets
    the generator make and drop it; who answers many requests makes it once and gives it in place of the model. Under
    autocast they are packed in autocast's type. No gradients. A copy comes back as it is, and so does what is no
    `nn.Module`.
    """
    if not isinstance(model, nn.Module) or model.__dict__.get("_decodes"):
        return model
    twin = _copy(model, {}, tokens >= WORTHWHILE)
    twin.__dict__["_decodes"] = True
    return cast(Model, twin)


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
