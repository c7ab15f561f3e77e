"""Recurrence from segment to segment (Dai et al. 2019, section 3.2): the input that each layer had before, as carried state.

A row of a batch goes on with the document that its memory belongs to; documents that begin in the row see no memory. How much
of a memory is real is part of the state: a row without a past attends to nothing, not to zeros.

Letters: B batch, L layers, T tokens of a segment, M slots of a memory, S = M + T, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gyebo.nn.state import StateTree


def fresh_memory(like: Tensor, rows: int, layers: int, slots: int, width: int) -> StateTree:
    """The state of rows without a past, in the dtype and on the device of `like`: "memory" [B, L, M, D], the last tokens that
    each layer had as its input, and "length" [B], how many of the last slots are real."""
    return {
        "memory": like.new_zeros(rows, layers, slots, width),
        "length": torch.zeros(rows, dtype=torch.long, device=like.device),
    }


def without_memory(state: StateTree, which: Tensor) -> StateTree:
    """The state with the rows of `which` [B] as fresh."""
    memory, length = state["memory"], state["length"]
    return {"memory": memory.masked_fill(which[:, None, None, None], 0.0), "length": length.masked_fill(which, 0)}


@dataclass(frozen=True)
class Segment:
    """A batch [B, T] behind its memory. In it, the tokens of each row stand left-aligned, document by document in the order of
    their first tokens; `order` [B, T]: where they came from, None where nothing moves.

    `real` [B, T]; `allowed` [B, 1, T, S]: the causal mask within documents, over memory and segment; `lengths` [B]: how much of
    the memory after the segment is real.
    """

    order: Tensor | None
    real: Tensor | None
    allowed: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, shape: torch.Size, mask: Tensor | None, documents: Tensor | None, state: StateTree) -> Segment:
        """`mask` and `documents` [B, T] as `attention_mask` and `document_ids` of a model, for a batch of that shape."""
        length, slots, device = state["length"], state["memory"].shape[2], state["memory"].device
        ids = torch.ones(shape, dtype=torch.long, device=device) if documents is None else documents
        ids = ids if mask is None else ids * (mask != 0)
        order, real = None, None
        if mask is not None or documents is not None:
            real = ids != 0
            place = (ids[:, :, None] == ids[:, None, :]).int().argmax(2).masked_fill(~real, shape[1])
            if bool((place[:, 1:] < place[:, :-1]).any()):
                order = place.argsort(dim=1, stable=True)
                ids, real = ids.gather(1, order), real.gather(1, order)
        same = (ids[:, :, None] == ids[:, None, :]).tril()  # padding attends to padding: no row of the mask is empty
        goes_on = (ids == ids[:, :1]) & (ids != 0)
        filled = torch.arange(slots, device=device) >= slots - length[:, None]
        allowed = torch.cat([goes_on[:, :, None] & filled[:, None], same], 2)[:, None]
        count = (ids != 0).sum(1)
        last = ids.gather(1, (count - 1).clamp(min=0)[:, None])
        own = ((ids == last) & (ids != 0)).sum(1)  # tokens of the last document
        lengths = torch.where(own == count, length + own, own).clamp(max=slots)
        return cls(order, real, allowed, lengths)

    def gather(self, x: Tensor) -> Tensor:
        """Ids [B, T] in the order of the segment."""
        return x if self.order is None else x.gather(1, self.order)

    def scatter(self, x: Tensor) -> Tensor:
        """[B, T, D] in the order of the batch, zeros at padding."""
        if self.real is not None:
            x = x * self.real[..., None]
        return x if self.order is None else torch.zeros_like(x).scatter(1, self.order[..., None].expand_as(x), x)

    def after(self, memory: Tensor, inputs: Sequence[Tensor]) -> StateTree:
        """The state after the segment, from the memory [B, L, M, D] and the inputs of the layers [B, T, D]: the last M tokens
        of the last document of each row. A row without tokens keeps what it had. No gradient flows into it."""
        slots = memory.shape[2]
        joined = torch.cat([memory, torch.stack(list(inputs), 1).to(memory.dtype)], 2).detach()
        if self.real is None or bool(self.real.all()):
            kept = joined[:, :, joined.shape[2] - slots :]
        else:
            places = self.real.sum(1)[:, None] + torch.arange(slots, device=memory.device)
            kept = joined.gather(2, places[:, None, :, None].expand_as(memory))
        blank = torch.arange(slots, device=memory.device) < slots - self.lengths[:, None]
        return {"memory": kept.masked_fill(blank[:, None, :, None], 0.0), "length": self.lengths}
