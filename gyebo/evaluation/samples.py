"""Samples of a model: generated text, predicted masked tokens, or restored texts."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import torch

from gyebo.data.batches import IGNORE, Rows
from gyebo.generation import generate
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.objectives.masked import encode
from gyebo.text.tokenizer import Tokenizer


def generated(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """Texts generated without a prompt, always with the same seeds; control characters become spaces."""
    model.eval()
    length = min(48, model.config.context - 1)
    texts = [generate(model, tokenizer, "", max_new_tokens=length, temperature=0.8, top_p=0.95, seed=s) for s in range(count)]
    return [_printable(str(text)) for text in texts]


@torch.no_grad()
def predicted(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The first held-out texts with the predicted tokens in brackets: [prediction], or [prediction|original]."""
    model.eval()
    count = min(count, len(rows.plan))
    batch = rows.batch(np.arange(count), [[0]] * count)
    tensors = {name: torch.from_numpy(values).to(next(model.parameters()).device) for name, values in batch.items()}
    hidden = encode(model, tensors)
    lines = []
    for row in range(count):
        first = tensors["document_ids"][row] == 1
        predictions = model.project(hidden[row, first], "mlm").argmax(-1).tolist()
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


def _bracketed(tokenizer: Tokenizer, ids: list[int], labels: list[int], predictions: list[int]) -> str:
    parts = []
    for masked, group in groupby(zip(ids, labels, predictions), key=lambda place: place[1] != IGNORE):
        shown, original, prediction = zip(*group)
        if not masked:
            parts.append(tokenizer.decode(shown))
            continue
        new, old = tokenizer.decode(prediction, skip_roles=False), tokenizer.decode(original)
        parts.append(f"[{new}]" if prediction == original else f"[{new}|{old}]")
    return "".join(parts)


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
