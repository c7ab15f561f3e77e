"""What a model shows of itself: lines that it writes, or that it restores."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import torch

from gyebo.data.batches import IGNORE, Rows
from gyebo.generation import generate
from gyebo.objectives.masked import encode
from gyebo.text.tokenizer import Tokenizer


def written(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """A few lines that the model writes from nothing, always with the same seeds; control characters show as spaces."""
    model.eval()
    length = min(48, model.config.context - 1)
    texts = [generate(model, tokenizer, "", max_new_tokens=length, temperature=0.8, top_p=0.95, seed=s) for s in range(count)]
    return [_printable(str(text)) for text in texts]


@torch.no_grad()
def restored(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The first held-out texts with what the model puts where tokens were masked, in brackets: [guess], or [guess|original]."""
    model.eval()
    count = min(count, len(rows.plan))
    batch = rows.batch(np.arange(count), [[0]] * count)
    tensors = {name: torch.from_numpy(values).to(next(model.parameters()).device) for name, values in batch.items()}
    hidden = encode(model, tensors)
    lines = []
    for row in range(count):
        first = tensors["document_ids"][row] == 1
        guesses = model.project(hidden[row, first], "mlm").argmax(-1).tolist()
        labels, ids = tensors["labels"][row, first].tolist(), tensors["input_ids"][row, first].tolist()
        lines.append(_printable(_bracketed(tokenizer, ids, labels, guesses)))
    return lines


def _bracketed(tokenizer: Tokenizer, ids: list[int], labels: list[int], guesses: list[int]) -> str:
    parts = []
    for masked, group in groupby(zip(ids, labels, guesses), key=lambda place: place[1] != IGNORE):
        shown, original, guess = zip(*group)
        if not masked:
            parts.append(tokenizer.decode(shown))
            continue
        new, old = tokenizer.decode(guess, skip_roles=False), tokenizer.decode(original)
        parts.append(f"[{new}]" if guess == original else f"[{new}|{old}]")
    return "".join(parts)


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
