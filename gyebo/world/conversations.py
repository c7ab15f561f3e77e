"""Conversations of two people about a third: greetings, questions and answers about facts, opinions, and questions that go back
to what was said several turns ago.

A conversation tells facts of one person only, so that a split by people is one by facts. What is asked once more was answered
before, in the same conversation; what is asked first is answered from the facts of the world.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gyebo.world import conversation_rows as rows
from gyebo.world.corpus import grammar
from gyebo.world.facts import RELATIONS, World
from gyebo.world.grammar import LANGUAGES
from gyebo.world.tasks import facts_of, render, seeded

FEWEST, MOST = 2, 4  # facts of a conversation
GREETS, RECALLS, LEAVES = 0.5, 0.6, 0.5  # how often

Pair = tuple[str, str]  # a sentence in both languages


@dataclass(frozen=True)
class Conversation:
    """The turns of a conversation, of two speakers in turn; `about`: the person whose facts it tells, an index of the world."""

    turns: tuple[str, ...]
    about: int
    language: str


def conversations(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Conversation]:
    """Conversations of 6 to 20 turns, each about one person."""
    world = grammar(world_seed).world
    for rng, language in seeded("conversation", count, seed, start, languages):
        about = rng.randrange(len(world.people))
        yield Conversation(tuple(_turns(world, rng, about, language)), about, language)


def _turns(world: World, rng: random.Random, about: int, language: str) -> Iterator[str]:
    partner, listener = rng.sample([person for person in range(len(world.people)) if person != about], 2)
    values = facts_of(world, about) | {
        "trait": world.people[about].trait,
        "partner": (partner, "name"),
        "listener": (listener, "name"),
    }

    def said(sentence: Pair) -> str:
        values["reaction"] = rng.randrange(len(world.words["reaction"]))
        return render(world, sentence[LANGUAGES.index(language)], values.__getitem__, language)

    if rng.random() < GREETS:
        yield from map(said, rng.choice(rows.HELLO))
    yield from map(said, rng.choice(rows.OPENING))
    yield from _facts(rng, said)
    if rng.random() < LEAVES:
        yield from map(said, rng.choice(rows.GOODBYE))


def _facts(rng: random.Random, said: Callable[[Pair], str]) -> Iterator[str]:
    """Questions and answers about some facts; before a question, what the other one says to the last answer."""
    remarks: tuple[Pair, ...] = ()
    told: list[str] = []  # and not asked once more
    for relation in rng.sample(RELATIONS, rng.randint(FEWEST, MOST)):
        again = rng.choice(told) if told and rng.random() < RECALLS else None
        for asked, at in [(relation, 0), *([(again, 1)] if again else [])]:
            question, answer = rows.FACTS[asked][at]
            yield " ".join([*([said(rng.choice(remarks))] if remarks else []), said(question)])
            yield said(answer)
            remarks = rows.AGAIN if at else (rows.REACTION, *rows.FACTS[asked][2])
        told = [*(name for name in told if name != again), relation]
