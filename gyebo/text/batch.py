"""A batch of encoded texts as model inputs: frame, truncation, padding, arrays. B texts, T ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Encoding, processors


@dataclass(frozen=True)
class Framing:
    """How encodings become model inputs.

    processor: adds the roles around a text or a pair; None leaves them out. inputs: the fields to give.
    padding: to the longest of the batch. truncation: to `max_length` ids, roles included.
    return_tensors: None (lists), "np" or "pt".
    """

    processor: processors.PostProcessor | None
    inputs: tuple[str, ...]
    pad_id: int | None
    padding: bool
    padding_side: str
    truncation: bool
    max_length: int | None
    return_tensors: str | None

    def __post_init__(self) -> None:
        if self.return_tensors not in (None, "np", "pt"):
            raise ValueError(f"return_tensors: {self.return_tensors!r}; use 'np', 'pt' or None")
        if self.padding not in (True, False) or self.truncation not in (True, False):
            raise ValueError("padding and truncation: use True or False")
        if self.padding_side not in ("left", "right"):
            raise ValueError(f"padding_side: {self.padding_side!r}; use 'right' or 'left'")
        if self.padding and self.pad_id is None:
            raise ValueError("padding: this tokenizer names no pad token; take it through for_family with one")
        if self.truncation and self.max_length is None:
            raise ValueError("truncation: give max_length, as this tokenizer states no model length")
        if self.max_length is not None and not self.truncation:
            raise ValueError("max_length has an effect only with truncation=True")


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """The lengths of a pair cut to `room` ids: the longer one gives way until both are equal, then both in turn.

    The odd id goes to the one that was longer, the second where they were equal.
    """
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = max(short, room - short) if short <= room else short
    if short + long > room:
        short, long = room // 2, room - room // 2
    return (long, short) if first > second else (short, long)


def _framed(framing: Framing, first: Encoding, second: Encoding | None) -> dict[str, list[int]]:
    added = framing.processor.num_special_tokens_to_add(second is not None) if framing.processor else 0
    if framing.truncation:
        assert framing.max_length is not None
        room = framing.max_length - added
        if room < 0:
            raise ValueError(f"max_length: {framing.max_length} has no room for the {added} roles around the text")
        cut = longest_first(len(first.ids), len(second.ids) if second else 0, room)
        first.truncate(cut[0])
        if second is not None:
            second.truncate(cut[1])
    if framing.processor is not None:
        whole = framing.processor.process(first, second, True)
        ids, types = whole.ids, whole.type_ids
    else:
        tail = second.ids if second is not None else []
        ids, types = first.ids + tail, [0] * len(first.ids) + [1] * len(tail)
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)}


def frame_batch(framing: Framing, first: Sequence[Encoding], second: Sequence[Encoding] | None, single: bool) -> dict[str, Any]:
    """{field: values} for a batch; for a single text without tensors its lists alone, as `transformers` does."""
    rows = [_framed(framing, text, second[i] if second is not None else None) for i, text in enumerate(first)]
    if framing.padding:
        length = max((len(row["input_ids"]) for row in rows), default=0)
        for row in rows:
            _pad(row, length - len(row["input_ids"]), framing)
    fields = [field for field in ("input_ids", "token_type_ids", "attention_mask") if field in framing.inputs]
    columns: dict[str, Any] = {field: [row[field] for row in rows] for field in fields}
    if framing.return_tensors is None:
        return {field: rows[0][field] for field in fields} if single else columns
    return as_arrays(columns, framing.return_tensors)


def as_arrays(columns: dict[str, list[list[int]]], kind: str) -> dict[str, Any]:
    """{field: [B, T] int64} as "np" or "pt"; ValueError for another kind, and where rows differ in length."""
    if kind not in ("np", "pt"):
        raise ValueError(f"return_tensors: {kind!r}; use 'np', 'pt' or None")
    if any(len({len(row) for row in rows}) > 1 for rows in columns.values()):
        raise ValueError("return_tensors: the texts differ in length; add padding=True")
    arrays: dict[str, Any] = {field: np.array(rows, dtype=np.int64) for field, rows in columns.items()}
    if kind == "np":
        return arrays
    import torch

    return {field: torch.from_numpy(array) for field, array in arrays.items()}


def _pad(row: dict[str, list[int]], missing: int, framing: Framing) -> None:
    assert framing.pad_id is not None
    for field, value in (("input_ids", framing.pad_id), ("token_type_ids", 0), ("attention_mask", 0)):
        filler = [value] * missing
        row[field] = row[field] + filler if framing.padding_side == "right" else filler + row[field]
