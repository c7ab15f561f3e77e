"""Linear layers in int8 for inference on a CPU: half the bytes of bfloat16, and with VNNI instructions twice its rate.

Weights are quantised once, with a scale for each output; inputs at each call, with one scale and zero point for the batch
(dynamic quantisation; Jacob et al. 2017, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", section 2.1). Products are summed exactly in int32. Norms, attention and embeddings are not quantised.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 254  # one fewer than the number of steps, so that rounding the zero point can't make the largest value overflow


class Int8Linear(nn.Module):
    """A linear layer with weights in int8; [..., in] -> [..., out]. It has no parameters and no gradient."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        self.scale = weight.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.zero = torch.zeros(len(weight), dtype=torch.int32)
        self.weight = torch.ops.onednn.qlinear_prepack((weight / self.scale[:, None]).round().to(torch.int8), None)
        self.bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out], in the dtype of autocast if it is on, otherwise in that of `x`."""
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
        rows = x.flatten(0, -2).float()
        if not len(rows):
            return x.new_zeros(*x.shape[:-1], len(self.scale), dtype=dtype)
        step, zero = _steps(rows)
        near = torch.add(rows.new_tensor(zero + 0.5), rows, alpha=1 / step)  # + 0.5: truncation then rounds to the nearest
        out = torch.ops.onednn.qlinear_pointwise(
            near.to(torch.uint8), step, zero, self.weight, self.scale, self.zero, self.bias, 1.0, 0, dtype, "none", [], ""
        )
        return out.unflatten(0, x.shape[:-1])


def _steps(rows: Tensor) -> tuple[float, int]:
    """The step size, and the zero point (0 to 255)."""
    low, high = (float(end) for end in rows.aminmax())
    low, high = min(low, 0.0), max(high, 0.0)
    step = max((high - low) / LEVELS, torch.finfo(torch.float32).tiny)
    return step, round(-low / step)


def has_int8() -> bool:
    """Whether this processor has fast int8 instructions (VNNI), and torch can use them."""
    return torch.cpu._is_vnni_supported() and hasattr(torch.ops.onednn, "qlinear_pointwise")


def quantize(model: Any) -> int:
    """Replace every linear layer in the blocks of a model, in place, by one in int8; returns the number of int8 layers.

    In translation models also the output layer, which has about half of the weights of a decoding step; not the embedding.
    """
    found = 0
    for blocks in (getattr(model, stack) for stack in model.stacks):
        for name, layer in list(blocks.named_modules()):
            if type(layer) is nn.Linear:
                owner, _, attribute = name.rpartition(".")
                setattr(blocks.get_submodule(owner), attribute, Int8Linear(layer))
        found += sum(isinstance(layer, Int8Linear) for layer in blocks.modules())
    if found and model.encodes_source:
        if type(model.lm_head) is nn.Linear:
            model.lm_head = Int8Linear(model.lm_head)
        found += 1
    return found
