"""Stories of the world and one sentence that sums each up: where its main character went, whom they met, what they have now.

The sentence follows from the state of the grammar at the end of the story, which is a function of the text, so there is one
right summary of a text. Its parts stand in different sentences of the story, beside what happens to others: the first and the
last place, all people met, and the thing that was got last and is not given away, or the one that was lost and not found.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from gyebo.world.corpus import grammar
from gyebo.world.facts import Item, World
from gyebo.world.grammar import LANGUAGES, ROWS, Branch, Grammar
from gyebo.world.sampler import draw
from gyebo.world.scene import NOWHERE, Scene
from gyebo.world.task_rows import SUMMARY
from gyebo.world.tasks import render, seeded
from gyebo.world.writing import write

LONGEST = 12  # sentences of a story

Choose = Callable[[Grammar, Scene], tuple[Branch, Any, str]]  # one choice at a state, and its string


@dataclass(frozen=True)
class Summary:
    """A story and the sentence that sums it up."""

    text: str
    summary: str
    language: str


@dataclass(frozen=True)
class Outcome:
    """What became of the main character: the places they went to, in order; the people they met; the thing that they have now,
    or have lost."""

    hero: int
    places: tuple[int, ...]
    met: tuple[int, ...]
    got: Item | None
    lost: Item | None

    @property
    def worth_telling(self) -> bool:
        """Whether they went from one place to another, and something else came of it."""
        return len(self.places) > 1 and self.places[0] != self.places[-1] and bool(self.met or self.got or self.lost)


def summaries(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Summary]:
    """Stories of up to 12 sentences with their summary; those in which little happens are drawn again."""
    machine = stories(world_seed)
    for rng, language in seeded("summary", count, seed, start, languages):
        while True:
            text, outcome = follow(machine, language, partial(_drawn, rng=rng))
            if outcome.worth_telling:
                break
        yield Summary(text, told(machine.world, outcome, language), language)


@lru_cache(maxsize=4)
def stories(world_seed: int = 0) -> Grammar:
    """The part of the grammar that tells short stories."""
    rows = dict(ROWS) | {"open": tuple(row for row in ROWS["open"] if row[0] == "open_story")}
    return Grammar(grammar(world_seed).world, rows, longest=LONGEST)


def _drawn(machine: Grammar, scene: Scene, rng: random.Random) -> tuple[Branch, Any, str]:
    branch, value, string, _ = draw(machine, scene, rng)
    return branch, value, string


def follow(machine: Grammar, language: str, choose: Choose) -> tuple[str, Outcome]:
    """The text of one story, and what became of its main character, the first person in it."""
    scene, pieces, met = machine.start(language), [], []
    while True:
        branch, value, string = choose(machine, scene)
        machine.take(scene, branch, value)
        pieces.append(string)
        if machine.ends(branch):
            break
        hero, others = (scene.cast[0], scene.cast[1:]) if scene.cast else (NOWHERE, ())
        here = scene.where.get(hero, NOWHERE)
        met += [person for person in others if here != NOWHERE and scene.where.get(person) == here and person not in met]
    held = [item for owner, item, _, _ in scene.held if owner == hero]
    lost = scene.lost.get(hero)
    got = held[-1] if held and lost is None else None
    return "".join(pieces), Outcome(hero, scene.visits.get(hero, ()), tuple(met), got, lost)


def told(world: World, outcome: Outcome, language: str) -> str:
    """The summary."""
    values: dict[str, Any] = {"hero": (outcome.hero, "name"), "held": outcome.got, "lost": outcome.lost}
    values |= {"first_place": outcome.places[0], "last": outcome.places[-1]}
    things = {"met": outcome.met, "got": outcome.got, "lost": outcome.lost}
    clauses = ["went", *(name for name, thing in things.items() if thing)]
    written = []
    for name in clauses:
        going_on, last, english = SUMMARY[name]
        template = english if language == "en" else last if name == clauses[-1] else going_on
        clause = render(world, template, values.__getitem__, language)
        if name == "met":
            people = _people(world, outcome.met, language)
            clause = f"{clause} {people}" if language == "en" else f"{people} {clause}"
        written.append(clause)
    if language == "ko":
        return " ".join(written) + "."
    return f"{', '.join(written[:-1])} and {written[-1]}."


def _people(world: World, people: tuple[int, ...], language: str) -> str:
    """Their full names as an object, all in one."""
    *others, last = people
    if language == "ko":
        names = [write(world, "ko", "person", (person, "name"), "full,과") for person in others]
        return " ".join([*names, write(world, "ko", "person", (last, "name"), "full,을")])
    *names, end = [write(world, "en", "person", (person, "name"), "full") for person in people]
    return f"{', '.join(names)} and {end}" if names else end
