"""Texts as a model with a memory reads them (Dai et al. 2019, section 3.2): each document segment by segment from its
beginning, whatever shares a row with it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from gyebo.nn.state import each


def read_segments(model: Any, ids: Tensor, documents: Tensor, memory: int | None = None) -> Tensor:
    """ids and document ids [B, T] -> hidden [B, T, D], zero at padding. Segments have `config.window` tokens; `memory`: its
    length in tokens (default: the model's)."""
    window, flat = model.config.window, ids.flatten()
    rows = torch.arange(len(ids), device=ids.device)[:, None] * (1 + documents.max()) + documents
    real = (documents != 0).flatten().nonzero()[:, 0]
    _, number, sizes = rows.flatten()[real].unique(return_inverse=True, return_counts=True)
    brief = torch.zeros_like(flat, dtype=torch.bool)
    brief[real] = sizes[number] <= window  # tokens of documents of one segment, which are read packed as they are
    hidden = model.encode(ids, document_ids=documents * brief.view_as(documents)).hidden.flatten(0, 1)
    places = real[number.argsort(stable=True)].split(sizes.tolist())
    longest_first = sorted((part for part in places if len(part) > window), key=len, reverse=True)
    if longest_first:
        table = pad_sequence(longest_first, batch_first=True, padding_value=-1)  # [documents, longest]
        state = model.fresh_state(len(table), memory)
        for columns in table.split(window, 1):
            left = int((columns[:, 0] >= 0).sum())  # documents that have not ended
            part, state = columns[:left], each(lambda leaf, left=left: leaf[:left], state)  # type: ignore[misc]
            encoded = model.encode(flat[part.clamp(min=0)], part >= 0, state=state)
            state, hidden[part[part >= 0]] = encoded.state, encoded.hidden[part >= 0].to(hidden.dtype)
    return hidden.view(*ids.shape, -1)
