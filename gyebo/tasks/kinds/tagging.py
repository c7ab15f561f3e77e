"""Tagging: tags of characters (BIO) as labels of tokens, and predictions for tokens as tags of characters.

As in KLUE-NER (Park et al. 2021), every token has a label, not only the first of a word: the tag of its first character. In
decoding, the characters of a token inherit its tag, B for the first and I for the others; the tag of an unknown token applies
to all characters that it covers. Rules in addition to KLUE's:

- a token that starts with a space has the tag of its first other character;
- a character whose bytes are in several tokens belongs to the first of them; a token in which no character starts continues
  the character that it covers (I), and its prediction is ignored;
- spaces have no labels and no predictions: a space is inside an entity if its neighbours are, otherwise O. KLUE's tokens
  contain no spaces, and its scores ignore them. Special tokens around the text have no labels (KLUE labels them O).

A text that is longer than a row is cut into overlapping windows. A token is labelled and predicted in the one window where it
has most context, so each counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.data.batches import IGNORE
from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.data.tagged import TaggedText, tagged_rows
from gyebo.tasks.features import Features, all_labelled, features_of, number_of, ragged
from gyebo.tasks.heads.styles import EVERY_TOKEN, STYLES
from gyebo.tasks.kinds import entity_list
from gyebo.tasks.kinds.kind import Encoding, HeadForm, Kind, OwnFile, TextForm, in_columns
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.metrics import by_class
from gyebo.tasks.task import Example
from gyebo.text.template import TemplatedText, template_of, window_of_token, windows
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

OUTSIDE = entity_list.OUTSIDE
Spans = list[tuple[int, int]]


def inside_tag(tag: str) -> str:
    """The tag of the next character of the same entity: "B-PS" -> "I-PS", others are unchanged."""
    return "I" + tag[1:] if tag.startswith("B-") else tag


def own_characters(offsets: Spans) -> Spans:
    """For each token the [start, end) of the characters that start in it; empty (start = end) where none does.

    offsets: those of `Tokenizer.offsets`, where tokens that share a character overlap.
    """
    spans = []
    reached = 0
    for start, end in offsets:
        start = max(start, reached)
        spans.append((start, max(start, end)))
        reached = max(reached, end)
    return spans


def token_tags(text: str, tags: Sequence[str], offsets: Spans) -> list[str | None]:
    """The tag of each token, None for tokens of spaces only and tokens that cover nothing. Rules: see the top of this file."""
    found: list[str | None] = []
    for (start, end), (first, last) in zip(offsets, own_characters(offsets)):
        place = next((place for place in range(first, last) if not text[place].isspace()), None)
        if place is not None:
            found.append(tags[place])
        elif first == last and end > start and not text[start].isspace():
            found.append(inside_tag(tags[start]))
        else:
            found.append(None)
    return found


def character_tags(text: str, spans: Spans, tags: Sequence[str]) -> list[str]:
    """The tag of each character of the text, from the `own_characters` of each token and the tags of the tokens.

    Spaces, and characters without a token (some published tokenizers drop them), follow their neighbours.
    """
    found: list[str | None] = [None] * len(text)
    for (first, last), tag in zip(spans, tags):
        for place in range(first, last):
            if not text[place].isspace():
                found[place] = tag
                tag = inside_tag(tag)
    before: str | None = None
    after: list[str | None] = [None] * len(text)
    for place in range(len(text) - 1, 0, -1):
        after[place - 1] = found[place] if found[place] is not None else after[place]
    result: list[str] = []
    for place, known in enumerate(found):
        if known is None:
            follows = after[place]
            result.append(follows if follows is not None and before is not None and inside_tag(before) == follows else OUTSIDE)
        else:
            result.append(known)
            before = known
    return result


def encode(examples: Sequence[Example], tokenizer: Tokenizer, encoding: Encoding) -> Features:
    """Sentences with one tag per character as rows with one label per token ("labels" [N, T], -100 where there is none).

    `encoding.labels`: the tags, "O" among them. A window of a long text starts every half window. Raises ValueError for tags
    that do not fit the text or the labels, or where `max_length` leaves no room.
    """
    labels, max_length = encoding.labels, encoding.max_length
    if OUTSIDE not in labels:
        raise ValueError(
            f"labels: tagging needs the tag {OUTSIDE!r} for characters outside entities; found {', '.join(labels)}"
        )
    template = template_of(tokenizer, 1)
    room = template.room(max_length, least=1)
    labelled = all_labelled([example for example in examples if example.text], lambda example: bool(example.tags))
    rows: list[TemplatedText] = []
    numbers: list[int] = []
    targets, firsts, lasts = (list[NDArray[np.int64]]() for _ in range(3))
    texts = tokenizer.encode_batch([example.text for example in examples])
    for number, (example, ids) in enumerate(zip(examples, texts)):
        offsets = tokenizer.offsets(example.text)
        target = _targets(example, labels, offsets) if labelled else np.full(len(ids), IGNORE)
        spans = np.array(own_characters(offsets), np.int64).reshape(-1, 2)
        cuts = windows(len(ids), room, max(1, room // 2))
        window_of = window_of_token(cuts)
        for window, (start, end) in enumerate(cuts):
            templated = template.apply(ids[start:end])
            here = np.zeros(max(1, len(templated.ids)), bool)
            here[templated.starts[0] : templated.starts[0] + end - start] = window_of[start:end] == window
            rows.append(templated)
            numbers.append(number)
            for lists, values, fill in ((targets, target, IGNORE), (firsts, spans[:, 0], 0), (lasts, spans[:, 1], 0)):
                row = np.full(len(here), fill)
                row[here] = values[start:end][window_of[start:end] == window]
                lists.append(row)
    features = features_of(examples, tokenizer, rows, example=numbers)
    if labelled:
        features.columns["labels"] = ragged(targets)
    features.notes.update(first=ragged(firsts), last=ragged(lasts))
    return features


def _targets(example: Example, labels: Sequence[str], offsets: Spans) -> NDArray[np.int64]:
    if len(example.tags) != len(example.text):
        raise ValueError(f"example {example.id}: {len(example.tags)} tags for {len(example.text)} characters; each needs one")
    for tag in set(example.tags):
        number_of(example, tag, labels)
    tags = token_tags(example.text, example.tags, offsets)
    # An entity of one character whose bytes are several tokens needs an I tag, which the data may not have.
    return np.array([IGNORE if tag is None or tag not in labels else labels.index(tag) for tag in tags], np.int64)


def count(batch: dict[str, Tensor]) -> int:
    """Number of tokens that have a label."""
    return int((batch["labels"] != IGNORE).sum())


def loss(output: TaskOutput, batch: dict[str, Tensor]) -> Tensor:
    """Cross-entropy, summed over the tokens that have a label."""
    import torch.nn.functional as F

    logits, labels = output.logits.float().flatten(0, 1), batch["labels"].flatten()
    return F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="sum")


def decode(
    features: Features, examples: Sequence[Example], outputs: Sequence[Sequence[NDArray[Any]]], labels: Sequence[str]
) -> list[list[str]]:
    """One tag per character of every example.

    outputs[0]: for each row of the features, in order, the ids of the tags [T] or their logits [T, labels].
    """
    predictions = outputs[0]
    if len(predictions) != len(features):
        raise ValueError(f"predictions: {len(predictions)} given for {len(features)} rows; give one for each")
    spans: list[Spans] = [[] for _ in examples]
    tags: list[list[str]] = [[] for _ in examples]
    for row, prediction in enumerate(predictions):
        best = np.asarray(prediction)
        best = best if best.ndim == 1 else best.argmax(-1)
        first, last = features.notes["first"][row], features.notes["last"][row]
        number = int(features.example[row])
        for place in np.flatnonzero(last > first):
            spans[number].append((int(first[place]), int(last[place])))
            tags[number].append(labels[int(best[place])])
    return [character_tags(example.text, spans[i], tags[i]) for i, example in enumerate(examples)]


def order(found: set[str]) -> tuple[str, ...]:
    """All tags of the types that were found, "O" first: also I tags of types that occur only with B."""
    tags = {f"{begin}-{tag[2:]}" for tag in found if tag != OUTSIDE for begin in "BI"}
    return (OUTSIDE, *sorted(tags, key=lambda tag: (tag[2:], tag[0])))


def nothing_tagged(examples: Sequence[Example]) -> str | None:
    """The reason why examples without any tag but O cannot be used for training."""
    if any(tag != OUTSIDE for example in examples for tag in example.tags):
        return None
    return f"no character of {len(examples):,} examples has a tag other than {OUTSIDE}"


KIND = Kind(
    name="tagging",
    pipeline_tag="token-classification",
    head=HeadForm(
        transformers_class="TokenClassification",
        specs=dict.fromkeys(STYLES, EVERY_TOKEN),
        encoder_alone=True,
        encode=encode,
        output=TaskOutput,
        places="input_ids",
        count=count,
        loss=loss,
        decode=decode,
    ),
    text=TextForm(
        source=in_columns(lambda example: {"text": example.text}),
        target=entity_list.target,
        answer=entity_list.answer,
        cut="end",
    ),
    own_files=(
        OwnFile(
            name="tagging",
            task=column_task(
                "tagging",
                label="spans",
                metrics=("entity_f1", "entity_macro_f1"),
                max_length=256,
                rows=tagged_rows,
                convert=lambda text, pair, label: TaggedText(text, label),
                pairs=False,
            ),
        ),
    ),
    lines=True,
    class_names=lambda example: example.tags,
    order=order,
    answered=lambda example: bool(example.tags),
    empty=list,
    nothing_to_learn=nothing_tagged,
    by_class=by_class.entity_types,
    row=lambda example, prediction, probability_key: {"prediction": prediction, "spans": entity_list.shown(prediction)},
)
