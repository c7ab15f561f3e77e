"""Convolutions over the sequences of a flat layout, and one token at a time.

A convolution needs neighbours, so it is computed group by group (`over_sequences` in `gyebo/nn/ragged.py`); outside of its
sequence it sees zeros, whatever is beside it in the batch.

Letters: N rows, S sequences of a group, L the longest of them, R rows of a decoding step, I width of the input, O of the
output.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.nn.ragged import Ragged, over_sequences


class Convolution(nn.Module):
    """A convolution of `size` places, [N, I] -> [N, O]: those around a token, or if it is `causal` the token and those before.

    `groups` divides the features, as in torch."""

    def __init__(self, inputs: int, outputs: int, size: int, *, causal: bool = False, groups: int = 1, bias: bool = True):
        super().__init__()
        if not causal and size % 2 == 0:
            raise ValueError(f"size must be odd, as a token stands in the middle, but is {size} instead")
        self.kernel = nn.Conv1d(inputs, outputs, size, groups=groups, bias=bias)
        self.before = size - 1 if causal else size // 2
        self.after = size - 1 - self.before

    def forward(self, x: Tensor, layout: Ragged) -> Tensor:
        """[N, I] -> [N, O]."""
        return over_sequences(x, layout, self._convolve)

    def _convolve(self, cells: Tensor) -> Tensor:
        """[S, L, I] -> [S, L, O], by torch's convolution of pictures of height 1: features stay last in memory, so
        nothing is transposed, and on a CPU it is several times as fast as that of sequences."""
        last = torch.channels_last
        weight = self.kernel.weight.unsqueeze(2).contiguous(memory_format=last)  # [O, I, 1, size]
        x = F.pad(cells, (0, 0, self.before, self.after)).transpose(1, 2).unsqueeze(2).contiguous(memory_format=last)
        return F.conv2d(x, weight, self.kernel.bias, groups=self.kernel.groups).squeeze(2).transpose(1, 2)


class SeparableConvolution(nn.Module):
    """A convolution of each feature by itself, without a bias, then a linear layer over features: [N, I] -> [N, O] (Chollet
    2017, "Xception: Deep Learning with Depthwise Separable Convolutions")."""

    def __init__(self, inputs: int, outputs: int, size: int, *, causal: bool = False):
        super().__init__()
        self.depthwise = Convolution(inputs, inputs, size, causal=causal, groups=inputs, bias=False)
        self.pointwise = nn.Linear(inputs, outputs)
        self.inputs, self.size = inputs, size

    def forward(self, x: Tensor, layout: Ragged) -> Tensor:
        """[N, I] -> [N, O]. The first step is in float32 also under autocast: it has few operations, and the gradient
        of its kernel takes a CPU three times as long in bfloat16."""
        with torch.autocast(x.device.type, enabled=False):
            features = self.depthwise(x.to(self.depthwise.kernel.weight.dtype), layout)
        return self.pointwise(features)

    def step(self, window: Tensor) -> Tensor:
        """The next token, given itself and those before in a window [R, `size` or more, I] -> [R, 1, O]."""
        weight = self.depthwise.kernel.weight[:, 0]  # [I, size]
        return self.pointwise((window[:, -self.size :] * weight.T).sum(1, keepdim=True))
