"""A copy of a model for fast decoding on a CPU, one token per step.

A step multiplies each weight matrix with one vector per row, so its time is that of reading the weights from memory. `F.linear`
reads a row-major matrix at a fraction of the memory bandwidth; the blocked layout of oneDNN is read sequentially. Packing a
model costs as much as it saves in about eight steps.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Model = TypeVar("Model")

WORTHWHILE = 8  # tokens
LARGE = 1 << 17  # elements; smaller float32 matrices gain nothing: each packed product takes 10 microseconds more to start


class PackedLinear(nn.Module):
    """A linear layer with its weight in the layout of oneDNN; [..., in] -> [..., out]. It has no parameters. `gradient`: one
    flows to its input, through the transposed weight in that layout."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, gradient: bool = False):
        super().__init__()
        self.dtype = dtype
        self.weight = packed_weight(linear, dtype)
        self.transposed = packed_weight(linear, dtype, transposed=True) if gradient else None
        self.bias = None if linear.bias is None else linear.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        x = x.to(self.dtype)
        if self.transposed is not None and x.requires_grad and torch.is_grad_enabled():
            return _Product.apply(x, self.weight, self.transposed, self.bias)
        return _product(x, self.weight, self.bias)


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """A product with a packed weight, and the gradient of its input alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, transposed: Tensor, bias: Tensor | None) -> Tensor:
        ctx.transposed = transposed
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return _product(grads[0], ctx.transposed, None), None, None, None


CHUNK = 127  # words; a prime, so that chunks are aligned differently in each row, and a shift within rows changes some sums

# Of each layer, as it is and transposed: the identity of its weight when it was packed, the sums of its chunks, and the packed
# weight.
_kept: WeakKeyDictionary[nn.Linear, dict[bool, tuple[tuple[object, ...], Tensor, Tensor]]] = WeakKeyDictionary()


def packed_weight(linear: nn.Linear, dtype: torch.dtype, transposed: bool = False) -> Tensor:
    """The weight in the layout of oneDNN, from the cache if it has not changed.

    Writing into a weight increases torch's version counter; writing through `.data` does not, but changes the sums of its
    chunks, unless it only moves numbers within chunks.
    """
    weight = linear.weight.detach().contiguous()
    mark = (linear.weight.data_ptr(), None if weight.is_inference() else linear.weight._version, dtype)
    words = weight.flatten().view(torch.uint8)
    if len(words) % 8 == 0 and words.storage_offset() % 8 == 0:
        words = words.view(torch.int64)  # sums of bits are exact, and fast in every type
    whole = len(words) // CHUNK * CHUNK
    sums = torch.cat([words[:whole].view(-1, CHUNK).sum(1), words[whole:]])
    layer = _kept.setdefault(linear, {})
    kept = layer.get(transposed)
    if kept is None or kept[0] != mark or not torch.equal(kept[1], sums):
        weight = (weight.t() if transposed else weight).to(dtype).contiguous()
        kept = layer[transposed] = mark, sums, torch.ops.mkldnn._reorder_linear_weight(weight, None)
    return kept[2]


def release(model: nn.Module) -> None:
    """Free the memory of a model's packed weights, which are otherwise kept as long as the model itself."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            _kept.pop(module, None)


def decoding_copy(model: Model, tokens: int = WORTHWHILE, *, gradient: bool = False) -> Model:
    """A copy in evaluation mode with packed linear layers, if this machine supports it; the model itself is unchanged.

    For fewer than `WORTHWHILE` tokens nothing is packed, and small matrices never are. The copy shares all other parameters and
    is for one call: later changes of the weights do not reach the packed ones. These need the memory of the weights a second
    time and are kept for the next call (see `packed_weight` and `release`). Under autocast they are packed in its dtype.
    No gradients, unless one is to flow through it (`gradient`), for which the weights are stored a third time; none of a packed
    weight. Objects other than an `nn.Module` are returned unchanged.
    """
    return cast(Model, _copy(model, {}, tokens >= WORTHWHILE, gradient)) if isinstance(model, nn.Module) else model


def _copy(module: nn.Module, copies: dict[nn.Module, nn.Module], packed: bool, gradient: bool) -> nn.Module:
    if module not in copies:
        dtype = packed_type(module) if packed else None
        if dtype is not None:
            copies[module] = PackedLinear(module, dtype, gradient).eval()  # type: ignore[arg-type]
        else:
            twin = copies[module] = copy.copy(module)
            parts = {name: part and _copy(part, copies, packed, gradient) for name, part in module._modules.items()}
            twin.__dict__.update(_modules=parts, training=False)
    return copies[module]


def packed_type(module: nn.Module) -> torch.dtype | None:
    """The dtype for packing a module's weight; None if it can't be packed, gains nothing, or is not a plain linear layer."""
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
