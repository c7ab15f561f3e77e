"""Translation as a task: sentence pairs as arrays, batches of similar length, and the way back to text.

The source is framed as the family's template says; the decoder reads its first id and the target, and predicts the target and
the end. A batch holds sentences of similar length, so many that neither side has more than a number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.data.batches import Arrays
from gyebo.data.order import shuffled
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.tasks.features import Features, ragged
from gyebo.tasks.task import Example
from gyebo.text.template import frame_of
from gyebo.text.tokenizer import Tokenizer

KIND = "translation"


def encode(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    max_length: int,
    start: int,
    *,
    drop: bool = False,
    plain: Tokenizer | None = None,
) -> Features:
    """Sentences as rows: "input_ids", and where there are targets "decoder_input_ids" and "labels".

    `start`: the decoder's first id. `max_length`: the longest row of either side, with its roles; longer sentences are cut, or
    with `drop` left out together with their partner, or with `plain` read by that tokenizer. `Features.cut` counts them.
    """
    frame, end = frame_of(tokenizer), [tokenizer.role_ids["eos"]]
    room = frame.room(max_length, 1)
    known = bool(examples) and examples[0].label is not None
    sources = tokenizer.encode_batch([example.text for example in examples])
    targets = tokenizer.target.encode_batch([str(example.label) for example in examples]) if known else [[]] * len(examples)
    long = [len(source) > room or len(target) >= max_length for source, target in zip(sources, targets)]
    if plain:
        for number in (n for n, is_long in enumerate(long) if is_long):
            sources[number] = plain.encode(examples[number].text)
            targets[number] = plain.target.encode(str(examples[number].label))
    numbers = [number for number in range(len(examples)) if not (drop and long[number])]
    columns = {"input_ids": ragged(frame.around(sources[n][:room]).ids for n in numbers)}
    if known:
        cut = [targets[n][: max_length - 1] for n in numbers]
        columns["decoder_input_ids"] = ragged([start, *ids] for ids in cut)
        columns["labels"] = ragged([*ids, *end] for ids in cut)
    ids = tuple(example.id for example in examples)
    pad = tokenizer.role_ids.get("pad", 0)
    return Features(columns, {}, np.asarray(numbers, np.int64), ids, pad, cut=sum(long), notes={"tokenizer": tokenizer})


@dataclass(frozen=True)
class PairRows:
    """Sentence pairs as planned batches, each of which counts as one row: what `ExampleRows` is to other tasks.

    `batches`: the pairs of each; `again`: the features of training epoch n (from 0), where each epoch reads them differently.
    """

    features: Features
    batches: tuple[NDArray[np.int64], ...]
    again: Callable[[int], Features] | None = None
    carries: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.batches)

    @property
    def mean_tokens(self) -> float:
        """Tokens of a source, on average."""
        return float(self.features.lengths.mean())

    def step(self, step: int, batch: int, seed: int, first: int = 0, count: int | None = None) -> Arrays:
        """The pairs of training step `step` (from 0), which takes `batch` planned batches; an epoch is a permutation of all."""
        rows, _ = shuffled(step, batch, len(self), seed)
        features = self.again(step * batch // len(self)) if self.again else self.features
        chosen = rows[first : None if count is None else first + count]
        return features.batch(np.concatenate([self.batches[row] for row in chosen]))

    def ids(self, step: int, batch: int, seed: int) -> list[str]:
        """The ids of the pairs in training step `step`, for messages."""
        rows, _ = shuffled(step, batch, len(self), seed)
        return sorted(self.features.ids[n] for row in rows for n in self.features.example[self.batches[row]])


def pair_rows(features: Features, tokens: int, again: Callable[[int], Features] | None = None) -> PairRows:
    """Batches of similar lengths, of at most `tokens` tokens on either side; a longer pair stands alone.

    Raises ValueError where there is no pair.
    """
    if not len(features):
        raise ValueError("there is no pair of sentences to learn from: the file is empty, or all of them are too long")
    source, target = features.lengths, features.columns["decoder_input_ids"].lengths
    order = np.lexsort((source, target))
    batches, begin, sums = [], 0, np.zeros(2, np.int64)
    for place, pair in enumerate(order):
        size = np.array([source[pair], target[pair]])
        if place > begin and (sums + size).max() > tokens:
            batches.append(order[begin:place])
            begin, sums = place, np.zeros(2, np.int64)
        sums += size
    return PairRows(features, (*batches, order[begin:]), again)


@torch.no_grad()
def predict(
    model: Any, features: Features, *, options: GenerationOptions, autocast: Callable[[], Any] = nullcontext
) -> list[str]:
    """The translation of every row. The model is put into evaluation mode."""
    model.eval()
    tokenizer: Tokenizer = features.notes["tokenizer"]
    column = features.columns["input_ids"]
    sources = [column[number].tolist() for number in range(len(column))]
    found = translate(model, sources, options, forbidden=never(tokenizer, model.config.eos_id), autocast=autocast)
    return [tokenizer.target.decode(answers[0].ids) for answers in found]


def never(tokenizer: Tokenizer, end: int | None) -> list[int]:
    """The ids that never stand in a translation: all roles but the end, and what the target's language has no piece for."""
    strange = set(range(tokenizer.vocab_size)) - tokenizer.target.known_ids
    return sorted((tokenizer.all_role_ids | strange) - {end})


def search_options(beams: int, length_penalty: float = 1.0, coverage_penalty: float = 0.0) -> GenerationOptions:
    """How translations are searched; `beams` 1: the likeliest token at every step. ValueError for a penalty without effect."""
    if beams == 1 and (length_penalty, coverage_penalty) == (1.0, 0.0):
        return GenerationOptions()
    return GenerationOptions(beams=beams, length_penalty=length_penalty, coverage_penalty=coverage_penalty)
