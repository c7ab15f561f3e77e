"""Samples of a model: generated text, predicted masked tokens, restored texts, or spans filled in."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gyebo.data.batches import IGNORE, Rows
from gyebo.generation import generate
from gyebo.generation.captioning import caption
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.objectives import masked, permutation, text_with_regions
from gyebo.text.tokenizer import Tokenizer


def generated(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """Texts generated without a prompt, always with the same seeds; control characters become spaces."""
    model.eval()
    length = min(48, model.config.context - 1)
    texts = [generate(model, tokenizer, "", max_new_tokens=length, temperature=0.8, top_p=0.95, seed=s) for s in range(count)]
    return [_printable(str(text)) for text in texts]


def predicted(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The first held-out texts with the predicted tokens in brackets: [prediction], or [prediction|original]."""
    return _predictions(model, tokenizer, rows, count, masked.encode, "mlm")


def in_any_order(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The same of tokens that are predicted in a random order."""
    return _predictions(model, tokenizer, rows, count, lambda model, batch: permutation.encode(model, batch)[0], "lm")


def with_pictures(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The same of texts that are read with their pictures."""
    read = lambda model, batch: text_with_regions.encode(model, batch).hidden  # noqa: E731
    return _predictions(model, tokenizer, rows, count, read, "mlm")


@torch.no_grad()
def _predictions(
    model: Any, tokenizer: Tokenizer, rows: Rows, count: int, encode: Callable[[Any, dict[str, Tensor]], Tensor], head: str
) -> list[str]:
    model.eval()
    count = min(count, len(rows.plan))
    batch = rows.batch(np.arange(count), [[0]] * count)
    tensors = {name: torch.from_numpy(values).to(next(model.parameters()).device) for name, values in batch.items()}
    hidden = encode(model, tensors)
    lines = []
    for row in range(count):
        first = tensors["document_ids"][row] == 1
        predictions = model.project(hidden[row, first], head).argmax(-1).tolist()
        labels, ids = tensors["labels"][row, first].tolist(), tensors["input_ids"][row, first].tolist()
        lines.append(_printable(_bracketed(tokenizer, ids, labels, predictions)))
    return lines


def restored(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The first held-out texts as the model was shown them, with their masks, and what it wrote, by greedy decoding."""
    model.eval()
    count = min(count, len(rows.plan))
    batch = rows.batch(np.arange(count), [[0]] * count)
    sources = [ids[documents == 1].tolist() for ids, documents in zip(batch["input_ids"], batch["document_ids"])]
    found = translate(model, sources, GenerationOptions())
    shown = [tokenizer.decode(source[1:-1], skip_roles=False) for source in sources]
    written = [tokenizer.decode(best[0].ids) for best in found]
    return [f"{_printable(before)} -> {_printable(after)}" for before, after in zip(shown, written)]


def filled(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The first held-out texts whose spans were taken out, with what the model wrote for them, by greedy decoding, in brackets:
    [prediction], or [prediction|original]; none of a model that doesn't read a source."""
    model.eval()
    count = min(count, len(rows.plan)) if model.encodes_source else 0
    batch = rows.batch(np.arange(count), [[0]] * count) if count else {}
    if not batch:
        return []
    first, target = batch["document_ids"] == 1, batch["decoder_document_ids"] == 1
    sources = [ids[real].tolist() for ids, real in zip(batch["input_ids"], first)]
    found = translate(model, sources, GenerationOptions(greedy=True))
    lines = []
    for source, best, labels, real in zip(sources, found, batch["labels"], target):
        written, taken = (_spans(tokenizer, ids) for ids in (best[0].ids, labels[real].tolist()))
        parts = []
        for sentinel, text in _spans(tokenizer, source).items():
            if sentinel is not None:
                new, old = written.get(sentinel, ""), taken.get(sentinel, "")
                parts.append(f"[{new}]" if new == old else f"[{new}|{old}]")
            parts.append(text)
        lines.append(_printable("".join(parts)))
    return lines


def captioned(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """What the model writes about the pictures of the first held-out texts, by greedy decoding, with these: text (original)."""
    model.eval()
    count = min(count, len(rows.plan))
    batch = rows.batch(np.arange(count), [[0]] * count)
    codes = torch.from_numpy(batch["image_ids"]).to(next(model.parameters()).device)
    found = caption(model, tokenizer, codes, GenerationOptions(greedy=True))
    real = batch["document_ids"] == 1
    originals = [tokenizer.decode(ids[here].tolist()) for ids, here in zip(batch["input_ids"], real)]
    return [f"{_printable(answer.text)} ({_printable(original)})" for answer, original in zip(found, originals)]


def _spans(tokenizer: Tokenizer, ids: list[int]) -> dict[int | None, str]:
    """The text after each sentinel up to the next one, by the sentinel's id; before the first one, that of None."""
    found: dict[int | None, str] = {}
    begin, name = 0, None
    for place, id in enumerate([*ids, None]):
        if id is None or id in tokenizer.sentinel_ids:
            found.setdefault(name, tokenizer.decode(ids[begin:place]))
            begin, name = place + 1, id
    return found


def _bracketed(tokenizer: Tokenizer, ids: list[int], labels: list[int], predictions: list[int]) -> str:
    parts = []
    for hidden, group in groupby(zip(ids, labels, predictions), key=lambda place: place[1] != IGNORE):
        shown, original, prediction = zip(*group)
        if not hidden:
            parts.append(tokenizer.decode(shown))
            continue
        new, old = tokenizer.decode(prediction, skip_roles=False), tokenizer.decode(original)
        parts.append(f"[{new}]" if prediction == original else f"[{new}|{old}]")
    return "".join(parts)


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
