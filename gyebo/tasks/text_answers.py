"""Kinds of task whose answer is text: examples as a source and a target, and predictions from generated text.

How a model reads a source and where its answer goes is in `gyebo/tasks/reading.py`. The target and its end are predicted. A
batch holds examples of similar length with a limited number of tokens on each side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.data.batches import IGNORE
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate
from gyebo.nn.cross_entropy import cross_entropy_each
from gyebo.objectives.source_target import (
    DECODER,
    ENCODER_DECODER,
    FIELDS_OF,
    PREFIX_DECODER,
    before_output,
    in_one_stream,
)
from gyebo.tasks.dialogue import Source, sources_of, turns_of
from gyebo.tasks.features import Features, Ragged, ragged, token_groups
from gyebo.tasks.kinds.kind import TaskTexts
from gyebo.tasks.reading import Reader
from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer

TOKENS = 8192  # tokens of a batch on each side, where targets are scored


def encode(
    form: TaskTexts,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    reader: Reader,
    max_length: int,
    targets: bool = True,
    skip_long: bool = False,
    fallback: Tokenizer | None = None,
) -> Features:
    """Examples as rows: "input_ids", with `targets` also "labels", and of an encoder-decoder "decoder_input_ids". `notes` hold
    the sources alone, and `Dropped` turns.

    `reader`: how the model reads. `max_length`: most tokens of a source and of a target, special tokens included; those of a
    decoder alone share its context. Examples with a longer text are encoded by the `fallback` tokenizer, if there is one, and
    then truncated: sources as `TaskTexts.cut` says, a dialogue by its oldest turns. With `skip_long` those are skipped whose
    target is longer, or whose source is and has no place to be cut. `Features.too_long` counts both. Raises ValueError for an
    example whose target is needed and not known.
    """
    begin, end = [] if reader.first is None else [reader.first], [tokenizer.role_ids["eos"]]
    template = reader.template(tokenizer)
    room = template.room(reader.longest(max_length), 1)
    read = _read(form, examples, tokenizer, room)
    texts = [target_of(form, example) for example in examples] if targets else []
    answers = tokenizer.target.encode_batch(texts) if targets else [[]] * len(examples)

    def target_room(number: int) -> int:
        most = max_length - 1 - len(begin)
        source = min(len(read[number].ids), room) + template.added
        return min(most, reader.context - source) if reader.alone else most

    long = [len(read[n].ids) > room or len(answers[n]) > target_room(n) for n in range(len(examples))]
    if fallback:
        for number in (n for n, is_long in enumerate(long) if is_long):
            (read[number],) = _read(form, [examples[number]], fallback, room)
            answers[number] = fallback.target.encode(texts[number])
    if form.cut:
        for number in (n for n, source in enumerate(read) if len(source.ids) > room):
            read[number] = Source(_cut(form, examples[number], fallback or tokenizer, read[number].ids, room))
    fits = [len(read[n].ids) <= room and len(answers[n]) <= target_room(n) for n in range(len(examples))]
    numbers = [number for number in range(len(examples)) if fits[number] or not skip_long]
    sources = [template.apply(read[n].ids[:room]).ids for n in numbers]
    wanted = [[*begin, *answers[n][: target_room(n)]] for n in numbers] if targets else None
    columns = _columns(sources, wanted, end, reader)
    ids = tuple(example.id for example in examples)
    pad = tokenizer.role_ids.get("pad", 0)
    notes = {"tokenizer": tokenizer, "sources": ragged(sources), "dropped": Dropped.of(read)}
    alone = PREFIX_DECODER if reader.prefix else DECODER
    fields = FIELDS_OF[alone if reader.alone else ENCODER_DECODER]
    return Features(columns, {}, np.asarray(numbers, np.int64), ids, pad, too_long=sum(long), notes=notes, fields=fields)


def _columns(
    sources: Sequence[list[int]], targets: Sequence[list[int]] | None, end: list[int], reader: Reader
) -> dict[str, Ragged]:
    """The columns of rows, of sources alone where there are no targets; `end` stands behind a target, and in an encoder-decoder
    its start before it."""
    if targets is None:
        return {"input_ids": ragged(sources)}
    if reader.start is None:
        rows = [
            in_one_stream(np.array(ids), np.array([*target, *end]), prefix=reader.prefix)
            for ids, target in zip(sources, targets, strict=True)
        ]
        return {name: ragged(row[name] for row in rows) for name in (rows[0] if rows else ("input_ids", "labels"))}
    inputs, labels = ([reader.start, *ids] for ids in targets), ([*ids, *end] for ids in targets)
    return {"input_ids": ragged(sources), "decoder_input_ids": ragged(inputs), "labels": ragged(labels)}


def _read(form: TaskTexts, examples: Sequence[Example], tokenizer: Tokenizer, room: int) -> list[Source]:
    """The sources of examples without special tokens around them; of dialogues the newest turns that have room."""
    if form.task.turns is not None:
        return sources_of([turns_of(example) for example in examples], tokenizer, form.task, room)
    return [Source(ids) for ids in tokenizer.encode_batch([form.source(example) for example in examples])]


@dataclass(frozen=True)
class Dropped:
    """What was left out of dialogues: the number of `examples`, of their oldest `turns` together, and of those in which the
    last turn alone was too long (`cut`)."""

    examples: int
    turns: int
    cut: int

    @classmethod
    def of(cls, sources: Sequence[Source]) -> Dropped:
        """The sums over sources."""
        return cls(
            examples=sum(source.dropped > 0 for source in sources),
            turns=sum(source.dropped for source in sources),
            cut=sum(source.cut > 0 for source in sources),
        )

    def said(self, longest: int) -> str:
        """In a line; "" where nothing was left out."""
        parts = []
        if self.turns:
            parts.append(f"of {self.examples:,} dialogues the oldest turns ({self.turns:,} in all) were left out")
        if self.cut:
            parts.append(f"of {self.cut:,} the start of the last turn, which alone is too long, was cut")
        return f"{'; '.join(parts)}: at most {longest} tokens are read" if parts else ""


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

    The first rows of `features` are those of `examples`. The model is put into evaluation mode.
    """
    model.eval()
    tokenizer: Tokenizer = features.notes["tokenizer"]
    sources = [features.notes["sources"][number].tolist() for number in range(len(examples))]
    found = translate(model, sources, options, forbidden=forbidden_ids(tokenizer, model.config.eos_id), autocast=autocast)
    return [
        empty() if empty and not example.text else form.answer(tokenizer.target.decode(best[0].ids), example)
        for best, example in zip(found, examples, strict=True)
    ]


@torch.no_grad()
def scored(
    form: TaskTexts,
    model: Any,
    features: Features,
    examples: Sequence[Example],
    predictions: Sequence[Any],
    *,
    autocast: Callable[[], Any] = nullcontext,
) -> list[Any]:
    """The predictions with how likely each example's target is (`TextForm.scored`), for examples that have one.

    The rows of `features` are those of `examples`; `predictions`: of the first of them. A piece of a target that is unknown to
    the tokenizer costs its bytes at 8 bits each, beside the unknown piece itself, so that what is spelled out is paid for.
    """
    assert form.scored is not None
    tokenizer: Tokenizer = features.notes["tokenizer"]
    nats, counts = target_nats(model, features, autocast=autocast)
    lost = [unknown for _, unknown in tokenizer.target.encode_with_unknown([target_of(form, example) for example in examples])]
    nats += 8 * math.log(2) * np.array(lost, np.float64)
    found = [*predictions, *[None] * (len(examples) - len(predictions))]
    return [form.scored(*each) for each in zip(found, nats.tolist(), counts.tolist(), strict=True)]


@torch.no_grad()
def target_nats(
    model: Any, features: Features, *, autocast: Callable[[], Any] = nullcontext
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """-ln p of the target of each row, its end included, and how many tokens that is, [rows] each; a first token that is
    forced, as BART's, is never chosen and counts in neither. The model is put into evaluation mode."""
    model.eval()
    device = next(model.parameters()).device
    forced = model.encodes_source and model.forced_ids[0] is not None
    nats, counts = np.zeros(len(features)), np.zeros(len(features), np.int64)
    for rows in token_groups(features, TOKENS):
        batch = {name: torch.from_numpy(values).to(device) for name, values in features.batch(rows).items()}
        with autocast():
            losses = cross_entropy_each(*before_output(model, batch))
        row = (batch["labels"] != IGNORE).nonzero()[:, 0].cpu().numpy()
        chosen = np.diff(row, prepend=-1) == 0 if forced else np.ones(len(row), bool)
        nats[rows] = np.bincount(row, losses.double().cpu().numpy() * chosen, len(rows))
        counts[rows] = np.bincount(row, chosen, len(rows))
    return nats, counts


def forbidden_ids(tokenizer: Tokenizer, end: int | None) -> list[int]:
    """The ids that cannot occur in an answer: all special tokens but the end, and ids that are no tokens of the target."""
    unknown = set(range(tokenizer.vocab_size)) - tokenizer.target.known_ids
    return sorted((tokenizer.all_role_ids | unknown) - {end})


def search_options(beams: int, length_penalty: float = 1.0, coverage_penalty: float = 0.0) -> GenerationOptions:
    """Options of beam search; `beams` 1: greedy decoding. ValueError for a penalty without effect."""
    if beams == 1 and (length_penalty, coverage_penalty) == (1.0, 0.0):
        return GenerationOptions()
    return GenerationOptions(beams=beams, length_penalty=length_penalty, coverage_penalty=coverage_penalty)
