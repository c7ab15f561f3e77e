"""Scores of a dialogue model: how likely it finds the right responses, and what those that it writes are like.

Perplexity is per token, so it compares models of one vocabulary; bits per character compare any. All three that ask how likely
a response is count its end token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gyebo.tasks.dialogue import turns_of
from gyebo.tasks.metrics.bootstrap import Array, Parts
from gyebo.tasks.metrics.inputs import Labels, Values, classes
from gyebo.tasks.task import Example
from gyebo.text.normalize import nfc, text_key


def _nats(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Array:
    """[m, 2]: -ln p of each right response, and its tokens. ValueError where a response is not known or was not scored."""
    found, _ = classes(predictions, examples)
    if missing := next((example for one, example in zip(found, examples) if one.nats is None), None):
        raise ValueError(f"the right response of {missing.id} was not scored: predict with a model that writes its answers")
    return np.array([[one.nats, one.tokens] for one in found], np.float64)


def response_probability(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Geometric mean of the probabilities of the tokens of the right responses: 1 / perplexity."""
    nats, tokens = _nats(predictions, examples).sum(0)
    return {"response_probability": math.exp(-nats / tokens)}


def response_perplexity(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """exp of the mean -ln p of the tokens of the right responses."""
    nats, tokens = _nats(predictions, examples).sum(0)
    return {"response_perplexity": math.exp(nats / tokens)}


def bits_per_character(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """-log2 p of the right responses per character (NFC)."""
    nats = _nats(predictions, examples)[:, 0].sum()
    characters = sum(len(nfc(str(example.label))) for example in examples)
    return {"bits_per_character": float(nats / math.log(2) / characters)}


PROBABILITY = Parts(rows=_nats, of_sums=lambda sums: np.asarray(np.exp(-sums[:, 0] / sums[:, 1])))
PERPLEXITY = Parts(rows=_nats, of_sums=lambda sums: np.asarray(np.exp(sums[:, 0] / sums[:, 1])))


def _written(predictions: Sequence[Any], examples: Sequence[Example]) -> list[str] | None:
    """The responses that were written; None where not all were, as while a model is trained."""
    found, _ = classes(predictions, examples)
    return None if any(one.text is None for one in found) else [one.text for one in found]


def _distinct(name: str, size: int, predictions: Sequence[Any], examples: Sequence[Example]) -> Values:
    """Number of different n-grams of words over that of all, in all responses together (Li et al. 2016, section 5.3)."""
    if (texts := _written(predictions, examples)) is None:
        return {}
    split = [text.split() for text in texts]
    grams = [tuple(words[i : i + size]) for words in split for i in range(len(words) - size + 1)]
    return {name: len({*grams}) / len(grams) if grams else 0.0}


def distinct_1(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Share of different words among the words of all responses."""
    return _distinct("distinct_1", 1, predictions, examples)


def distinct_2(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Share of different pairs of neighbouring words among those of all responses."""
    return _distinct("distinct_2", 2, predictions, examples)


def words_per_response(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Mean number of words of a response, split at white space."""
    if (texts := _written(predictions, examples)) is None:
        return {}
    return {"words_per_response": sum(len(text.split()) for text in texts) / len(texts)}


def repeated_turns(predictions: Sequence[Any], examples: Sequence[Example], labels: Labels = None) -> Values:
    """Share of responses that are an earlier turn of their dialogue, but for case, spaces and punctuation."""
    if (texts := _written(predictions, examples)) is None:
        return {}
    pairs = zip(map(text_key, texts), examples, strict=True)
    return {"repeated_turns": sum(bool(key) and key in map(text_key, turns_of(each)) for key, each in pairs) / len(texts)}
