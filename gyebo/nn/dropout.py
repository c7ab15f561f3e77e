"""Dropout (Srivastava et al. 2014) with a fast random generator on a CPU.

torch generates one Mersenne Twister number per element on one thread; here 16 random bits per element come from SFC64. The seed
of each call comes from torch's generator, so `torch.manual_seed` still determines all results.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_LEVELS = 1 << 16


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero each element with probability p (rounded to 1/65536 on a CPU), scale the rest by 1/(1-p). p = 0: x itself.

    The caller passes 0 outside training.
    """
    if p == 0.0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p, training=True)
    return x * keep_mask(x.shape, p, x.dtype)


def keep_mask(shape: torch.Size, p: float, dtype: torch.dtype) -> Tensor:
    """0 with probability p, otherwise 1/(1-p); same distribution as dropout of ones, on the CPU."""
    threshold = round(p * _LEVELS)
    if threshold >= _LEVELS:
        return torch.zeros(shape, dtype=dtype)
    count = shape.numel()
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw((count + 3) // 4)
    bits = torch.from_numpy(words.view(np.int16))[:count].view(shape)  # uniform over -32768..32767
    return (bits >= threshold - _LEVELS // 2).to(dtype).mul_(_LEVELS / (_LEVELS - threshold))


def locked_dropout(x: Tensor, p: float, sequence: Tensor, sequences: int) -> Tensor:
    """Dropout of rows [N, D] with one mask per sequence, for all of its steps (Gal & Ghahramani 2016).

    `sequence` [N]: index of the sequence of each row, below `sequences`. p = 0: x itself; the caller passes 0 outside training.
    """
    if p == 0.0:
        return x
    return x * dropout(x.new_ones(sequences, x.shape[1]), p)[sequence]
