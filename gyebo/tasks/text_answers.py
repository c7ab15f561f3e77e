"""Kinds of task whose answer is text: examples as a source and a target, and predictions from generated text.

The source gets the special tokens of the family's template; the decoder reads its start id and the target, and predicts the
target and the end. A batch holds examples of similar length with a limited number of tokens on each side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.objectives.source_target import FIELDS
from gyebo.tasks.features import Features, ragged
from gyebo.tasks.kinds.kind import TaskTexts
from gyebo.tasks.task import Example
from gyebo.text.template import template_of
from gyebo.text.tokenizer import Tokenizer


def encode(
    form: TaskTexts,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    start: int,
    first: int | None = None,
    targets: bool = True,
    skip_long: bool = False,
    fallback: Tokenizer | None = None,
) -> Features:
    """Examples as rows: "input_ids", and with `targets` "decoder_input_ids" and "labels".

    `start`: the decoder's start id; `first`: the id that every target begins with, None: with its text. `max_length`: most
    tokens of a row on either side, special tokens included. Examples with a longer text are encoded by the `fallback`
    tokenizer, if there is one, and then truncated: sources as `TaskTexts.cut` says. With `skip_long` those are skipped whose
    target is longer, or whose source is and has no place to be cut. `Features.too_long` counts both. Raises ValueError for an
    example whose target is needed and not known.
    """
    template, begin, end = template_of(tokenizer), [] if first is None else [first], [tokenizer.role_ids["eos"]]
    room = template.room(max_length, 1)
    sources = tokenizer.encode_batch([form.source(example) for example in examples])
    texts = [target_of(form, example) for example in examples] if targets else []
    answers = tokenizer.target.encode_batch(texts) if targets else [[]] * len(examples)
    target_room = max_length - 1 - len(begin)
    long = [len(source) > room or len(answer) > target_room for source, answer in zip(sources, answers)]
    if fallback:
        for number in (n for n, is_long in enumerate(long) if is_long):
            sources[number] = fallback.encode(form.source(examples[number]))
            answers[number] = fallback.target.encode(texts[number])
    if form.cut:
        for number in (n for n, source in enumerate(sources) if len(source) > room):
            sources[number] = _cut(form, examples[number], fallback or tokenizer, sources[number], room)
    fits = [len(source) <= room and len(answer) <= target_room for source, answer in zip(sources, answers)]
    numbers = [number for number in range(len(examples)) if fits[number] or not skip_long]
    columns = {"input_ids": ragged(template.apply(sources[n][:room]).ids for n in numbers)}
    if targets:
        shortened = [[*begin, *answers[n][:target_room]] for n in numbers]
        columns["decoder_input_ids"] = ragged([start, *ids] for ids in shortened)
        columns["labels"] = ragged([*ids, *end] for ids in shortened)
    ids = tuple(example.id for example in examples)
    pad = tokenizer.role_ids.get("pad", 0)
    notes = {"tokenizer": tokenizer}
    return Features(columns, {}, np.asarray(numbers, np.int64), ids, pad, too_long=sum(long), notes=notes, fields=FIELDS)


def _cut(form: TaskTexts, example: Example, tokenizer: Tokenizer, ids: list[int], room: int) -> list[int]:
    """The source of an example, whose ids are too many, without as much of its text as exceeds the room; what stands around the
    text stays."""
    text = example.text
    if form.cut == "end" and form.source(example).endswith(text):  # nothing stands behind it, so no text is encoded again
        return ids[:room]
    while True:
        source = tokenizer.encode(form.source(replace(example, text=text)))
        excess = len(source) - room
        if excess <= 0 or not text:
            return source[:room]
        places = tokenizer.offsets(text)
        if excess >= len(places):
            text = ""
        elif form.cut == "end":
            text = text[: places[-excess][0]].rstrip()
        else:
            rest = text[places[excess - 1][1] :]
            text = rest.partition("\n")[2] or rest.lstrip()


def target_of(form: TaskTexts, example: Example) -> str:
    """The target text of an example; ValueError where it is not known."""
    if (text := form.target(example)) is None:
        raise ValueError(f"example {example.id} has no answer to learn from: add it, or leave the example out")
    return text


@torch.no_grad()
def predict(
    form: TaskTexts,
    model: Any,
    features: Features,
    examples: Sequence[Example],
    *,
    options: GenerationOptions,
    empty: Callable[[], Any] | None = None,
    autocast: Callable[[], Any] = nullcontext,
) -> list[Any]:
    """The answer to every example: of the model, or where there is no text `empty` (`Kind.empty`), if it is given.

    The rows of `features` are those of `examples`. The model is put into evaluation mode.
    """
    model.eval()
    tokenizer: Tokenizer = features.notes["tokenizer"]
    column = features.columns["input_ids"]
    sources = [column[number].tolist() for number in range(len(column))]
    found = translate(model, sources, options, forbidden=forbidden_ids(tokenizer, model.config.eos_id), autocast=autocast)
    return [
        empty() if empty and not example.text else form.answer(tokenizer.target.decode(best[0].ids), example)
        for best, example in zip(found, examples, strict=True)
    ]


def forbidden_ids(tokenizer: Tokenizer, end: int | None) -> list[int]:
    """The ids that cannot occur in an answer: all special tokens but the end, and ids that are no tokens of the target."""
    unknown = set(range(tokenizer.vocab_size)) - tokenizer.target.known_ids
    return sorted((tokenizer.all_role_ids | unknown) - {end})


def search_options(beams: int, length_penalty: float = 1.0, coverage_penalty: float = 0.0) -> GenerationOptions:
    """Options of beam search; `beams` 1: greedy decoding. ValueError for a penalty without effect."""
    if beams == 1 and (length_penalty, coverage_penalty) == (1.0, 0.0):
        return GenerationOptions()
    return GenerationOptions(beams=beams, length_penalty=length_penalty, coverage_penalty=coverage_penalty)
