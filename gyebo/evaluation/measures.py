"""How a run is told by its objective's headline figure: who measures it, what it is called, and what a sample is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch

from gyebo.data.batches import IGNORE, Rows
from gyebo.evaluation import evaluate_bidirectional, evaluate_masked, evaluate_text
from gyebo.generation import generate
from gyebo.objectives.masked import encode
from gyebo.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Measure:
    """`words`: the figure with its unit. `term`: the term of the loss whose curve is drawn, where it has several.
    `metrics`: what the card shows. `sample(model, tokenizer, held-out rows, count)`: lines to look at. `auto_class`,
    `pipeline_tag`: of the hub."""

    evaluate: Callable[..., dict[str, float]]
    words: str
    term: str
    metrics: tuple[str, ...]
    sample: Callable[[Any, Tokenizer, Rows, int], list[str]]
    auto_class: str
    pipeline_tag: str


def written(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """A few lines that the model writes from nothing, always with the same seeds; control characters show as spaces."""
    model.eval()
    length = min(48, model.config.context - 1)
    texts = [generate(model, tokenizer, "", max_new_tokens=length, temperature=0.8, top_p=0.95, seed=s) for s in range(count)]
    return [_printable(str(text)) for text in texts]


def nothing(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """Of a model that neither writes nor restores: no line."""
    return []


@torch.no_grad()
def restored(model: Any, tokenizer: Tokenizer, rows: Rows, count: int) -> list[str]:
    """The first held-out texts with what the model puts where pieces were hidden, in brackets: [guess], or [guess|original]."""
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
    for hidden, group in groupby(zip(ids, labels, guesses), key=lambda place: place[1] != IGNORE):
        shown, original, guess = zip(*group)
        if not hidden:
            parts.append(tokenizer.decode(shown))
            continue
        new, old = tokenizer.decode(guess, skip_roles=False), tokenizer.decode(original)
        parts.append(f"[{new}]" if guess == original else f"[{new}|{old}]")
    return "".join(parts)


def _printable(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


MEASURES: dict[str, Measure] = {
    "bits_per_byte": Measure(
        evaluate_text,
        "bits per byte",
        "loss_lm",
        ("bits_per_byte", "bits_per_character", "perplexity"),
        written,
        "AutoModelForCausalLM",
        "text-generation",
    ),
    "bidirectional_loss": Measure(
        evaluate_bidirectional,
        "nats per token, from both sides",
        "loss",
        ("bidirectional_loss", "forward_perplexity", "backward_perplexity", "forward_bits_per_byte"),
        nothing,
        "AutoModel",
        "feature-extraction",
    ),
    "masked_loss": Measure(
        evaluate_masked,
        "nats per hidden piece",
        "loss_mlm",
        ("masked_loss", "masked_accuracy", "next_sentence_accuracy"),
        restored,
        "AutoModelForMaskedLM",
        "fill-mask",
    ),
}
