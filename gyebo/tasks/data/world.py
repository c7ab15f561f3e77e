"""Tasks of the built-in world: no download, the same examples on every machine.

Each split samples from its own indices with its own seed, and keeps only texts whose hash belongs to it, so that no text of one
split occurs in another, although short sentences of the world repeat. Repeated texts within a split are kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from gyebo import world
from gyebo.data.splitting import split_key
from gyebo.tasks.dialogue import responses
from gyebo.tasks.task import Example, Task

SIZES = {"train": 4000, "dev": 500, "test": 1000}
SIZES_OF_DOCUMENTS = {"train": 2000, "dev": 250, "test": 500}  # these need whole documents, which take longer
SIZES_OF_CONVERSATIONS = {"train": 1000, "dev": 100, "test": 200}  # each has several responses
# Seed of a split, its first index, and the remainders of the hash modulo 4 that belong to it.
_DRAWS = {"train": (0, 0, (0, 2)), "dev": (1, 1_000_000, (1,)), "test": (2, 2_000_000, (3,))}
_MOST_DRAWS = 40  # samples per requested example


def sentiment(found: world.Sentiment) -> Example:
    """A report and its label."""
    return Example("", found.text, label=found.label)


def entailment(found: world.Entailment) -> Example:
    """Premise, hypothesis, label."""
    return Example("", found.premise, found.hypothesis, found.label)


def similarity(found: world.Similarity) -> Example:
    """Two reports and the number of details, of five, that agree."""
    return Example("", found.first, found.second, found.score)


def next_sentence(found: world.NextSentence) -> Example:
    """Two sentences: "next" or "other"."""
    return Example("", found.first, found.second, "next" if found.is_next else "other")


def named_entities(found: world.Entities) -> Example:
    """A document with a tag for each character."""
    return Example("", found.text, tags=span_tags(len(found.text), found.spans))


def question(found: world.Question) -> Example:
    """Context, question, and the position of the answer."""
    return Example("", found.context, found.question, answers=((found.start, found.answer),))


def to_english(found: world.Translation) -> Example:
    """A Korean sentence and its English translation."""
    return Example("", found.ko, label=found.en)


def to_korean(found: world.Translation) -> Example:
    """An English sentence and its Korean translation."""
    return Example("", found.en, label=found.ko)


def summary(found: world.Summary) -> Example:
    """A story and the sentence that sums it up."""
    return Example("", found.text, label=found.summary)


def span_tags(length: int, spans: tuple[tuple[int, int, str], ...]) -> tuple[str, ...]:
    """(start, end, type) in characters, end exclusive, as BIO tags; ValueError where spans overlap or are outside the text."""
    tags = ["O"] * length
    for start, end, kind in spans:
        if not 0 <= start < end <= length:
            raise ValueError(f"the span [{start}, {end}] is outside the text of {length} characters")
        if any(tag != "O" for tag in tags[start:end]):
            raise ValueError(f"the span [{start}, {end}] overlaps another; a character has one tag")
        tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tuple(tags)


def examples(
    draw: Callable[..., Iterator[Any]], convert: Callable[[Any], Example], sizes: dict[str, int], split: str
) -> Iterator[Example]:
    """The examples of a split; ValueError for an unknown split, or where the world has too few texts."""
    if split not in sizes:
        raise ValueError(f"unknown split {split!r}; available: {', '.join(sizes)}")
    seed, start, remainders = _DRAWS[split]
    seen: set[int] = set()
    for index, found in enumerate(draw(sizes[split] * _MOST_DRAWS, seed=seed, start=start), start):
        example = convert(found)
        key = split_key(f"{example.text}\n{example.pair or ''}")
        if key % 4 in remainders and key not in seen:
            seen.add(key)
            yield replace(example, id=f"{split}-{index}")
            if len(seen) == sizes[split]:
                return
    raise ValueError(f"the world has {len(seen)} different texts for {split}, not {sizes[split]}")


def dialogues(sizes: dict[str, int], split: str) -> Iterator[Example]:
    """The responses in conversations about the people of a split, so that no fact is told in two splits; errors as in
    `examples`."""
    if split not in sizes:
        raise ValueError(f"unknown split {split!r}; available: {', '.join(sizes)}")
    seed, start, remainders = _DRAWS[split]
    seen: set[tuple[str, ...]] = set()
    for index, found in enumerate(world.conversations(sizes[split] * _MOST_DRAWS, seed=seed, start=start), start):
        if split_key(f"person {found.about}") % 4 in remainders and found.turns not in seen:
            seen.add(found.turns)
            yield from responses(found.turns, f"{split}-{index}")
            if len(seen) == sizes[split]:
                return
    raise ValueError(f"the world has {len(seen)} different conversations for {split}, not {sizes[split]}")


SENTIMENT = partial(examples, world.sentiments, sentiment, SIZES)
ENTAILMENT = partial(examples, world.entailments, entailment, SIZES)
SIMILARITY = partial(examples, world.similarities, similarity, SIZES)
NEXT_SENTENCE = partial(examples, world.next_sentences, next_sentence, SIZES_OF_DOCUMENTS)
ENTITIES = partial(examples, world.entities, named_entities, SIZES_OF_DOCUMENTS)
TO_ENGLISH = partial(examples, world.translations, to_english, SIZES_OF_DOCUMENTS)
TO_KOREAN = partial(examples, world.translations, to_korean, SIZES_OF_DOCUMENTS)
SUMMARIES = partial(examples, world.summaries, summary, SIZES_OF_DOCUMENTS)
QUESTIONS = partial(examples, world.questions, question, SIZES)
DIALOGUES = partial(dialogues, SIZES_OF_CONVERSATIONS)

_world = partial(Task, lr=2e-4, batch=32, epochs=5)
TAGS = ("O", *(f"{begin}-{kind}" for kind in world.ENTITY_TYPES for begin in "BI"))
TASKS = (
    _world(
        name="world-ko-en",
        title="The world: Korean to English",
        kind="translation",
        labels=None,
        metrics=("bleu", "chrf"),
        score="bleu",
        world=TO_ENGLISH,
        languages=("ko", "en"),
        prefix="",
    ),
    _world(
        name="world-en-ko",
        title="The world: English to Korean",
        kind="translation",
        labels=None,
        metrics=("bleu", "chrf"),
        score="bleu",
        world=TO_KOREAN,
        languages=("en", "ko"),
        prefix="",
    ),
    _world(
        name="world-sentiment",
        title="The world: sentiment of reports",
        kind="classification",
        columns=(("text", "sentence"),),
        labels=world.SENTIMENT_LABELS,
        metrics=("accuracy",),
        score="accuracy",
        world=SENTIMENT,
    ),
    _world(
        name="world-entailment",
        title="The world: natural language inference",
        kind="classification",
        columns=(("text", "premise"), ("pair", "hypothesis")),
        labels=world.ENTAILMENT_LABELS,
        metrics=("accuracy",),
        score="accuracy",
        world=ENTAILMENT,
    ),
    _world(
        name="world-similarity",
        title="The world: how many of five details agree",
        kind="regression",
        columns=(("text", "sentence1"), ("pair", "sentence2")),
        labels=None,
        metrics=("pearson", "spearman"),
        score="pearson",
        world=SIMILARITY,
    ),
    _world(
        name="world-entities",
        title="The world: names of people, towns and pets",
        kind="tagging",
        labels=TAGS,
        metrics=("entity_f1", "entity_macro_f1"),
        score="entity_f1",
        world=ENTITIES,
        max_length=256,
    ),
    _world(
        name="world-questions",
        title="The world: questions with an answer in the text",
        kind="spans",
        labels=None,
        metrics=("exact_match", "answer_f1"),
        score="answer_f1",
        world=QUESTIONS,
    ),
    _world(
        name="world-summary",
        title="The world: a story in one sentence",
        kind="summary",
        labels=None,
        metrics=("rouge_l", "rouge_1", "rouge_2"),
        score="rouge_l",
        world=SUMMARIES,
        max_length=256,
        prefix="summarize:",
    ),
    _world(
        name="world-next-sentence",
        title="The world: does the second sentence follow?",
        kind="classification",
        columns=(("text", "sentence1"), ("pair", "sentence2")),
        labels=("other", "next"),
        metrics=("accuracy",),
        score="accuracy",
        world=NEXT_SENTENCE,
    ),
)
