"""The classifier head of ULMFiT (Howard & Ruder 2018, 3.3): two layers on the whole text, pooled.

    text, window by window -> [last; maximum; mean] -> norm -> dropout -> dense -> ReLU -> norm -> dropout -> linear

BPT3C (back-propagation through time for text classification): a long text is read in windows, each starting from the state at
the end of the one before; all are pooled, and the gradient flows within each window, so that memory and steps are bounded.

Batch normalization (Ioffe & Szegedy 2015): in training the output for a text depends on the other texts of the batch, in
evaluation on running means only. Gradient accumulation would therefore change the result, and fine-tuning refuses it here.

Letters: B batch, T length, D width of the body, H of the dense layer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gyebo.nn.cost import Workload
from gyebo.nn.dropout import dropout
from gyebo.nn.outputs import Encoded
from gyebo.nn.pooling import last_token, max_token, mean_token
from gyebo.nn.state import each

DENSE = 50  # width between the two layers
BETWEEN = 0.1  # dropout before the last layer


class BatchNorm(nn.Module):
    """Normalise each of D features over the batch [B, D] in training, with running statistics in evaluation."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """[B, D] -> [B, D], in float32 or higher precision; B is at least 2 in training."""
        x = x.to(torch.promote_types(x.dtype, self.weight.dtype))
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class ConcatHead(nn.Module):
    """The two layers on pooled texts [B, 3*D]. `p`: dropout before the first; `windows`: number of windows at the end of a text
    through which the gradient flows, None: all. Matrices are initialised as N(0, init_std)."""

    def __init__(self, width: int, outputs: int, p: float, init_std: float):
        super().__init__()
        self.p = p
        self.windows: int | None = None
        self.norm, self.norm_out = BatchNorm(3 * width), BatchNorm(DENSE)
        self.dense, self.out = nn.Linear(3 * width, DENSE, bias=False), nn.Linear(DENSE, outputs, bias=False)
        for layer in (self.dense, self.out):
            nn.init.normal_(layer.weight, 0.0, init_std)

    def forward(self, rows: Tensor) -> Tensor:
        """[B, 3*D] -> [B, outputs]."""
        on = float(self.training)
        rows = self.dense(dropout(self.norm(rows), on * self.p)).relu()
        return self.out(dropout(self.norm_out(rows), on * min(self.p, BETWEEN)))

    def flops(self, work: Workload) -> float:
        """FLOPs of a forward pass (`gyebo/nn/cost.py`)."""
        return 2 * work.documents() * (self.dense.weight.numel() + self.out.weight.numel())


def concat_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """[last; maximum; mean] over the real tokens of each row: hidden [B, T, D], mask [B, T] (0 = padding) -> [B, 3*D]."""
    return torch.cat([last_token(hidden, mask), max_token(hidden, mask), mean_token(hidden, mask)], 1)


def read_text(
    body: Any,
    input_ids: Tensor,
    attention_mask: Tensor | None = None,
    *,
    windows: int | None = None,
    return_layers: bool = False,
) -> tuple[Encoded, Tensor]:
    """The body's output for one text per row, with its last layer before dropout (`raw` [B, T, D]), and the mask [B, T] of it.

    In training the texts are read in windows of `config.window` tokens, counted from their ends, and are right-aligned in the
    result: the gradient stops at window boundaries, and flows only through the last `windows`. In evaluation they are read at
    once, with the same values. Raises ValueError where all layers are requested in training.
    """
    mask = torch.ones_like(input_ids) if attention_mask is None else (attention_mask != 0).long()
    if not body.training:
        return body.encode(input_ids, attention_mask=mask, return_raw=True, return_layers=return_layers), mask
    if return_layers:
        raise ValueError("output_hidden_states: in training a text is read in windows; call model.eval() first")
    order = mask.argsort(dim=1, stable=True)[
        :, -int(mask.sum(1).max()) :
    ]  # padding on the left, and no columns of padding only
    input_ids, mask = input_ids.gather(1, order), mask.gather(1, order)
    window, length = body.config.window, input_ids.shape[1]
    cuts = sorted({0, *range(length, 0, -window)})
    first_trained = 0 if windows is None else max(0, length - windows * window)
    state, parts = body.fresh_state(len(input_ids)), []
    for start, end in pairwise(cuts):
        with torch.set_grad_enabled(torch.is_grad_enabled() and start >= first_trained):
            encoded = body.encode(input_ids[:, start:end], attention_mask=mask[:, start:end], state=state, return_raw=True)
        state = each(Tensor.detach, encoded.state)
        parts.append(encoded.raw)
    hidden = torch.cat(parts, 1)
    return Encoded(hidden, raw=hidden), mask
