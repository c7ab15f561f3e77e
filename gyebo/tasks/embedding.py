"""Text embeddings: the hidden vectors of a text, pooled to their mean, or to that of the first or last token.

Padding may be anywhere: first and last are those of real tokens. Letters: B batch, T length, D width, N texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.nn.pooling import first_token, last_token, mean_token
from gyebo.tasks.heads.task_model import body_of
from gyebo.text.tokenizer import Tokenizer

POOLINGS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {"mean": mean_token, "cls": first_token, "last": last_token}


def check_pooling(model: Any, pooling: str) -> None:
    """ValueError for an unknown pooling, or one whose vector does not represent the text with this model."""
    if pooling not in POOLINGS:
        raise OptionError(f"‹pooling› must be one of {', '.join(POOLINGS)}, but is {pooling!r} instead")
    body = body_of(model)
    if body.encodes_source and not body.embeds_source:
        raise OptionError(f"{model.family} learns to write, and has no text embeddings: use an encoder such as bert")
    if pooling == "cls" and body.causal:
        raise OptionError(
            f"‹pooling›=cls: {model.family} reads from left to right, so its first token does not attend to the text after "
            "it: use mean or last"
        )


@torch.inference_mode()
def embed(
    model: Any,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    pooling: str = "mean",
    *,
    normalize: bool = False,
    batch_tokens: int = 8192,
) -> tuple[NDArray[np.float32], int]:
    """The vectors of texts, [N, D] in their order, and the number of texts truncated to the model's context.

    Special tokens are added as the tokenizer does for a single text, and as `transformers.AutoTokenizer` does with the same
    directory. Texts are read in batches of similar length, of at most `batch_tokens` positions, padding included. `pooling`:
    "mean", "cls" (first token) or "last". `normalize`: to length 1. A text without tokens (an empty one, in a family without
    special tokens) has the vector zero. Raises ValueError as `check_pooling` does.
    """
    if isinstance(texts, str):
        raise OptionError(f"‹texts› must be a list of strings, but is one string: give [{texts[:40]!r}]")
    check_pooling(model, pooling)
    body, most = body_of(model), model.config.context
    body = body.without_decoder() if body.embeds_source else body
    place = next(body.parameters()).device
    fields = [name for name in tokenizer.model_inputs if name != "attention_mask"]
    encoded = tokenizer(list(texts)) if texts else {name: [] for name in fields}
    lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
    long = np.flatnonzero(lengths > most).tolist()
    if long:
        shorter = tokenizer([texts[number] for number in long], truncation=True, max_length=most)
        for name in fields:
            for number, values in zip(long, shorter[name]):
                encoded[name][number] = values
        lengths[long] = most
    vectors = np.zeros((len(lengths), model.config.width), dtype=np.float32)
    for rows in _batches(lengths, batch_tokens):
        inputs = {name: _padded([encoded[name][row] for row in rows], lengths[rows]).to(place) for name in fields}
        mask = (torch.arange(int(lengths[rows[-1]]))[None] < torch.from_numpy(lengths[rows])[:, None]).to(place)
        hidden = body.encode(attention_mask=mask.long(), **inputs).hidden
        found = POOLINGS[pooling](hidden, mask).float()
        vectors[rows] = (torch.nn.functional.normalize(found, dim=1) if normalize else found).cpu().numpy()
    return vectors, len(long)


def _batches(lengths: NDArray[np.int64], batch_tokens: int) -> list[NDArray[np.int64]]:
    """Row numbers in batches of ascending length; a padded batch has at most `batch_tokens` positions, or a single row.

    Rows without tokens are skipped.
    """
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    batches, start = [], 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end + 1 - start) * lengths[order[end]] > batch_tokens:
            batches.append(order[start:end])
            start = end
    return batches


def _padded(rows: list[list[int]], lengths: NDArray[np.int64]) -> Tensor:
    """[B, T] of rows sorted by length; padding is masked, so its id does not matter."""
    table = np.zeros((len(rows), int(lengths[-1])), dtype=np.int64)
    for number, row in enumerate(rows):
        table[number, : len(row)] = row
    return torch.from_numpy(table)
