"""From examples to arrays: one function for every kind of task.

The kinds and what their batches hold beside `input_ids`, `document_ids` and, where the family takes them, `token_type_ids`:

| kind | labels | the way back |
| --- | --- | --- |
| classification (also of pairs, also of relations) | `labels` [N], the number of the class | the name of the best |
| regression | `labels` [N], float32 | the score itself |
| tagging | `labels` [N, T], -100 where a token has none | `tagging.decode` |
| spans | `start_positions`, `end_positions` [N] | `spans.decode` |
| choice | `labels` [N]; inputs [N, C, T] | the number of the best |
| dependency | `word_first`, `word_last`, `word_mask`, `heads`, `relations` [N, W] | `dependency.decode` |

Label fields are there if every example has a label. Role strings in a text are ordinary text (see `gyebo.text`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gyebo.tasks.features import Features, all_labelled, features_of, number_of
from gyebo.tasks.kinds.relation import marking
from gyebo.tasks.task import Example
from gyebo.text.batch import longest_first
from gyebo.text.template import frame_of
from gyebo.text.tokenizer import Tokenizer

Labels = Sequence[str] | None


def encode_classification(
    examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str], max_length: int
) -> Features:
    """Texts or pairs with the number of their class. An example with `answers` is a relation: its entities get markers."""
    features = _encode_texts(examples, tokenizer, max_length)
    if all_labelled(examples, _has_label):
        features.fixed["labels"] = np.array([number_of(example, example.label, labels) for example in examples], np.int64)
    return features


def encode_regression(examples: Sequence[Example], tokenizer: Tokenizer, max_length: int) -> Features:
    """Texts or pairs with their score."""
    features = _encode_texts(examples, tokenizer, max_length)
    if all_labelled(examples, _has_label):
        features.fixed["labels"] = np.array([_score(example) for example in examples], np.float32)
    return features


def _has_label(example: Example) -> bool:
    return example.label is not None


def _score(example: Example) -> float:
    try:
        score = float(example.label)  # type: ignore[arg-type]
    except ValueError:
        score = float("nan")
    if not np.isfinite(score):
        raise ValueError(f"example {example.id}: label {example.label!r} is not a number, which regression needs")
    return score


def _encode_texts(examples: Sequence[Example], tokenizer: Tokenizer, max_length: int) -> Features:
    frames = {1: frame_of(tokenizer, 1), 2: frame_of(tokenizer, 2)}
    mark = marking(tokenizer) if any(example.answers for example in examples) else None
    plain = iter(tokenizer.encode_batch([example.text for example in examples if not example.answers]))
    pairs = iter(tokenizer.encode_batch([example.pair for example in examples if example.pair is not None]))
    rows = []
    cut = 0
    for example in examples:
        texts = [mark(example) if mark and example.answers else next(plain)]
        if example.pair is not None:
            texts.append(next(pairs))
        frame = frames[len(texts)]
        sizes = longest_first(len(texts[0]), sum(map(len, texts[1:])), frame.room(max_length))
        cut += sum(sizes) < sum(map(len, texts))
        rows.append(frame.around(*(text[:size] for text, size in zip(texts, sizes))))
    return features_of(examples, tokenizer, rows, cut=cut)
