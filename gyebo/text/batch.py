"""A batch of encoded texts as model inputs: special tokens, truncation, padding, arrays. B texts, T ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Encoding, processors


@dataclass(frozen=True)
class BatchOptions:
    """How encodings become model inputs.

    processor: adds the special tokens to a text or a pair; None: none are added. inputs: the fields to return.
    padding: to the longest of the batch. truncation: to `max_length` ids, special tokens included.
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
            raise ValueError("padding: this tokenizer has no pad token; use for_family with a family that has one")
        if self.truncation and self.max_length is None:
            raise ValueError("truncation: give max_length, as this tokenizer states no model length")
        if self.max_length is not None and not self.truncation:
            raise ValueError("max_length has an effect only with truncation=True")


def texts_and_pairs(texts: str | Sequence[str], pairs: str | Sequence[str] | None) -> tuple[list[str], list[str] | None]:
    """What a tokenizer was called with, as two lists, None for the second where there are no pairs; as in `transformers`, one
    text with an empty second one is a single text, whereas a list of pairs stays one. ValueError where their numbers differ."""
    first = [texts] if isinstance(texts, str) else list(texts)
    if pairs is None or (isinstance(texts, str) and pairs == ""):
        return first, None
    second = [pairs] if isinstance(pairs, str) else list(pairs)
    if len(second) != len(first):
        raise ValueError(f"pairs: {len(second)} given for {len(first)} texts; give one for each")
    return first, second


def longest_first(first: int, second: int, room: int) -> tuple[int, int]:
    """The lengths of a pair truncated to `room` ids: the longer one first until both are equal, then both alternately.

    An odd id is kept in the one that was longer, or in the second if they were equal.
    """
    if first + second <= room:
        return first, second
    short, long = sorted((first, second))
    long = max(short, room - short) if short <= room else short
    if short + long > room:
        short, long = room // 2, room - room // 2
    return (long, short) if first > second else (short, long)


def _row(options: BatchOptions, first: Encoding, second: Encoding | None) -> dict[str, list[int]]:
    added = options.processor.num_special_tokens_to_add(second is not None) if options.processor else 0
    if options.truncation:
        assert options.max_length is not None
        room = options.max_length - added
        if room < 0:
            raise ValueError(f"max_length: {options.max_length} is too short for the {added} special tokens")
        sizes = longest_first(len(first.ids), len(second.ids) if second else 0, room)
        first.truncate(sizes[0])
        if second is not None:
            second.truncate(sizes[1])
    if options.processor is not None:
        whole = options.processor.process(first, second, True)
        ids, types = whole.ids, whole.type_ids
    else:
        tail = second.ids if second is not None else []
        ids, types = first.ids + tail, [0] * len(first.ids) + [1] * len(tail)
    return {"input_ids": ids, "token_type_ids": types, "attention_mask": [1] * len(ids)}


def make_batch(
    options: BatchOptions, first: Sequence[Encoding], second: Sequence[Encoding] | None, single: bool
) -> dict[str, Any]:
    """{field: values} for a batch; for a single text without tensors only its lists, as in `transformers`."""
    rows = [_row(options, text, second[i] if second is not None else None) for i, text in enumerate(first)]
    if options.padding:
        length = max((len(row["input_ids"]) for row in rows), default=0)
        for row in rows:
            _pad(row, length - len(row["input_ids"]), options)
    fields = [field for field in ("input_ids", "token_type_ids", "attention_mask") if field in options.inputs]
    columns: dict[str, Any] = {field: [row[field] for row in rows] for field in fields}
    if options.return_tensors is None:
        return {field: rows[0][field] for field in fields} if single else columns
    return as_arrays(columns, options.return_tensors)


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


def _pad(row: dict[str, list[int]], missing: int, options: BatchOptions) -> None:
    assert options.pad_id is not None
    for field, value in (("input_ids", options.pad_id), ("token_type_ids", 0), ("attention_mask", 0)):
        padding = [value] * missing
        row[field] = row[field] + padding if options.padding_side == "right" else padding + row[field]
