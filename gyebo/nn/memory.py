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

from gyebo.nn import host
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


@torch.no_grad()
def memory_after(state: StateTree, ids: Tensor, inputs: Sequence[Tensor]) -> StateTree:
    """The state after a segment whose rows hold document by document, `ids` [B, T], with padding (0) at the end.

    `inputs`: those of each layer [B, T, D]. Kept are the last M tokens of the last document of each row, and where it is also
    the first one, of what stood before it; a row without tokens keeps what it had.
    """
    before, slots = state["memory"], state["memory"].shape[2]
    count = (ids != 0).sum(1)
    last = ids.gather(1, (count - 1).clamp(min=0)[:, None])
    own = ((ids == last) & (ids != 0)).sum(1)  # tokens of the last document
    length = (own + state["length"] * (own == count)).clamp(max=slots)
    slot = torch.arange(slots, device=ids.device)
    places = (count[:, None] + slot)[..., None]  # in memory and segment, one after the other
    blank = (slot < slots - length[:, None])[..., None]
    kept = []
    for old, rows in zip(before.unbind(1), inputs):
        both = torch.cat([old, rows.to(old.dtype)], 1)
        kept.append(both.gather(1, places.expand_as(old)).masked_fill(blank, 0.0))
    return {"memory": torch.stack(kept, 1), "length": length}


@dataclass(frozen=True)
class Segment:
    """A batch [B, T] behind its memory. In it, the tokens of each row stand left-aligned, document by document in the order of
    their first tokens; `order` [B, T]: where they came from, None where nothing moves.

    `ids` [B, T]: the document of each, 0 at padding; `real`: where they are not, None: everywhere; `allowed` [B, 1, T, S]: the
    causal mask within documents, over memory and segment.
    """

    order: Tensor | None
    ids: Tensor
    real: Tensor | None
    allowed: Tensor

    @classmethod
    def of(cls, shape: torch.Size, mask: Tensor | None, documents: Tensor | None, state: StateTree) -> Segment:
        """`mask` and `documents` [B, T] as `attention_mask` and `document_ids` of a model, for a batch of that shape."""
        length, slots, device = state["length"], state["memory"].shape[2], state["memory"].device
        made = torch.ones(shape, dtype=torch.long) if documents is None else host.on_host(documents)
        made = made if mask is None else made * (host.on_host(mask) != 0)
        ids, order, real = host.to_device(made, device), None, None
        if mask is not None or documents is not None:
            real = ids != 0
            if not _in_order(made):
                place = (ids[:, :, None] == ids[:, None, :]).int().argmax(2).masked_fill(~real, shape[1])
                order = place.argsort(dim=1, stable=True)
                ids, real = ids.gather(1, order), real.gather(1, order)
        same = (ids[:, :, None] == ids[:, None, :]).tril()  # padding attends to padding: no row of the mask is empty
        goes_on = (ids == ids[:, :1]) & (ids != 0)
        filled = torch.arange(slots, device=device) >= slots - length[:, None]
        allowed = torch.cat([goes_on[:, :, None] & filled[:, None], same], 2)[:, None]
        return cls(order, ids, real, allowed)

    def gather(self, x: Tensor) -> Tensor:
        """Ids [B, T] in the order of the segment."""
        return x if self.order is None else x.gather(1, self.order)

    def scatter(self, x: Tensor) -> Tensor:
        """[B, T, D] in the order of the batch, zeros at padding."""
        if self.real is not None:
            x = x * self.real[..., None]
        return x if self.order is None else torch.zeros_like(x).scatter(1, self.order[..., None].expand_as(x), x)


def _in_order(ids: Tensor) -> bool:
    """Whether in each row [B, T] every document is in one piece, and padding at the end."""
    ends, ordered = ids[:, 1:] != ids[:, :-1], ids.sort(1).values
    pieces, names = ends.sum(1), (ordered[:, 1:] != ordered[:, :-1]).sum(1)  # one less than there are of each
    return bool((pieces == names).all()) and not bool((ends & (ids[:, :-1] == 0)).any())
