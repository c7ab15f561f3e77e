"""Bits per byte: how well a model predicts text, comparable between tokenizers.

-log2 p(document, end | start) / UTF-8 bytes of the document after NFC, summed over documents. Every byte is charged: the first
token is predicted from the start token, the end is predicted, and the bytes of unknown tokens cost 8 bits
each on top of the unknown token itself, as a code that writes them out would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gyebo.data.batches import IGNORE, Rows
from gyebo.data.lanes import Lanes
from gyebo.data.plan import Plan
from gyebo.data.shards import Split
from gyebo.evaluation.measures import Evaluation
from gyebo.evaluation.segments import read_segments
from gyebo.nn.cross_entropy import cross_entropy_each
from gyebo.objectives import causal

LONG_READ = 16_384  # tokens of a batch that is read in segments, of which one pass has a part only


def held_out_rows(split: Split, context: int, start: int | None, end: int | None, *, pad: int = 0) -> Rows:
    """All positions of a split once, for a model of that context; longer documents in windows with half overlap.

    `start`, `end`: the ids of the start and the end token. A published model may lack either: then the first token is charged
    log2 of the vocabulary by `figures`, and the end is not charged.
    """
    objective = causal.Causal(start, end)
    return Rows(split, objective.held_out(split, context), objective, pad)


def some_rows(rows: Rows, tokens: int) -> list[int]:
    """Rows with about this number of positions, evenly spread over the plan: the same at every call."""
    count = min(len(rows.plan), max(1, round(tokens / rows.plan.mean_tokens)))
    return [int(i) for i in np.linspace(0, len(rows.plan) - 1, count).astype(int)]


@torch.no_grad()
def nats_by_document(
    model: Any,
    rows: Rows,
    numbers: list[int] | None = None,
    *,
    batch_rows: int = 16,
    autocast: Any = None,
    memory: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """-ln p summed by document, and how many positions were scored: two arrays over the split's documents.

    `numbers`: only these rows of the plan. `memory`: its length in tokens, of a model with a memory (default: its own). Needs
    a model with a causal head. Touches no global generator.
    """
    numbers = list(range(len(rows.plan))) if numbers is None else numbers
    nats = np.zeros(len(rows.split))
    scored = np.zeros(len(rows.split), np.int64)
    device = next(model.parameters()).device
    for start in range(0, len(numbers), batch_rows):
        part = np.array(numbers[start : start + batch_rows])
        arrays = rows.batch(part, [[0]] * len(part))
        batch = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
        losses = _losses(model, batch, autocast, memory).cpu().double().numpy()
        documents = _documents(rows.plan, part, arrays["document_ids"])[arrays["labels"] != IGNORE]
        np.add.at(nats, documents, losses)
        np.add.at(scored, documents, 1)
    return nats, scored


def _losses(model: Any, batch: dict[str, Tensor], autocast: Any, memory: int | None) -> Tensor:
    with autocast() if autocast else torch.autocast("cpu", enabled=False):
        ids, documents = batch["input_ids"], batch["document_ids"]
        if model.any_memory:
            hidden = read_segments(model, ids, documents, memory)
        else:
            hidden = model.encode(ids, document_ids=documents).hidden
        return cross_entropy_each(*causal.labelled(model, hidden, batch["labels"], "lm"))


def _documents(plan: Plan | Lanes, rows: np.ndarray, document_ids: np.ndarray) -> np.ndarray:
    """The number of the document at every position of a batch [rows, context]."""
    found = np.full(document_ids.shape, -1, np.int64)
    for r, row in enumerate(rows):
        numbers = plan.row(int(row))[:, 0]
        real = document_ids[r] > 0
        found[r, real] = numbers[document_ids[r, real] - 1]
    return found


def figures(rows: Rows, nats: np.ndarray, scored: np.ndarray, vocab_size: int) -> Evaluation:
    """bits_per_byte, bits_per_character (a syllable of Hangul is one), perplexity (per token, the end included), and what they
    were measured on: tokens charged, bytes, documents; as parts the bits and bytes of each document. A document that was scored
    in part counts in part."""
    table = rows.split.documents
    places = np.maximum(table["tokens"].astype(np.int64) + rows.objective.extra, 0)
    # A document of one token has no place to score in a model without roles: it counts where everything was scored.
    whole = float(scored.sum() == places.sum())
    share = np.where(places > 0, scored / np.maximum(places, 1), whole)
    charged = scored.astype(np.float64)
    if rows.objective.start is None:
        first = share * (table["tokens"] > 0)
        nats, charged = nats + first * math.log(vocab_size), charged + first
    bits = nats / math.log(2) + 8 * table["unknown"] * share
    sizes = table["bytes"] * share
    metrics = {
        "bits_per_byte": float(bits.sum() / sizes.sum()),
        "bits_per_character": float(bits.sum() / (table["characters"] * share).sum()),
        "perplexity": math.exp(min(700.0, float(nats.sum() / charged.sum()))),
        "tokens": round(float(charged.sum())),
        "bytes": round(float(sizes.sum())),
        "documents": int((share > 0).sum()),
    }
    return Evaluation(metrics=metrics, parts=np.stack([bits, sizes], axis=1)[share > 0])


def evaluate_text(
    model: Any,
    rows: Rows,
    *,
    tokens: int | None = None,
    autocast: Callable[[], Any] | None = None,
    memory: int | None = None,
) -> Evaluation:
    """`figures` of a model on held-out rows; `tokens`: on about this number of positions; `memory`: see `nats_by_document`."""
    numbers = None if tokens is None else some_rows(rows, tokens)
    batch_rows = max(1, (LONG_READ if model.any_memory else 8192) // rows.plan.context)
    nats, scored = nats_by_document(model, rows, numbers, batch_rows=batch_rows, autocast=autocast, memory=memory)
    return figures(rows, nats, scored, model.config.vocab_size)
