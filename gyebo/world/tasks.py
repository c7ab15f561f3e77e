"""Labelled data of every kind from the facts of the world: translation pairs, sentiment, sentence pairs, entities,
questions with answer spans, dialogues.

Example i of each function depends on (world_seed, languages, seed, i) only. The texts of `questions` and `entailments` tell
reserved facts, which plain documents never do, so that answers can't be memorised in pretraining.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gyebo.world import task_rows
from gyebo.world.corpus import checked, grammar, indices
from gyebo.world.facts import RELATIONS, World
from gyebo.world.grammar import LANGUAGES, ROWS, Branch, Grammar, Row, texts, tokens
from gyebo.world.sampler import draw
from gyebo.world.scene import ME, Scene
from gyebo.world.slots import SLOTS
from gyebo.world.writing import words, write

SENTIMENT_LABELS = ("negative", "positive")
ENTAILMENT_LABELS = ("entailment", "neutral", "contradiction")
ENTITY_TYPES = ("person", "town", "pet")


@dataclass(frozen=True)
class Translation:
    """One sentence in both languages."""

    ko: str
    en: str


@dataclass(frozen=True)
class Sentiment:
    """A short report and its sentiment: a label of `SENTIMENT_LABELS`, each with probability 1/2."""

    text: str
    label: str
    language: str


@dataclass(frozen=True)
class Entailment:
    """Whether `premise` entails `hypothesis`: a label of `ENTAILMENT_LABELS`, each with probability 1/3."""

    premise: str
    hypothesis: str
    label: str
    language: str


@dataclass(frozen=True)
class Similarity:
    """Two sentences and their `score`: the number of details (who, where, when, what, did what) that agree, 0 to 5."""

    first: str
    second: str
    score: float
    language: str


@dataclass(frozen=True)
class NextSentence:
    """Whether `second` follows `first` in a document (probability 1/2), or is a sentence of another one."""

    first: str
    second: str
    is_next: bool
    language: str


@dataclass(frozen=True)
class Entities:
    """A text and its names: (start, end, type) in characters, end exclusive, types of `ENTITY_TYPES`."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    language: str


@dataclass(frozen=True)
class Question:
    """A question whose `answer` is in `context` at character `start`."""

    context: str
    question: str
    answer: str
    start: int
    language: str


@dataclass(frozen=True)
class Dialogue:
    """A conversation: (speaker, text) of each turn."""

    turns: tuple[tuple[str, str], ...]
    language: str


def seeded(kind: str, count: int, seed: int, start: int, languages: tuple[str, ...]) -> Iterator[tuple[random.Random, str]]:
    """A random generator and a language for each index."""
    languages = checked(languages)
    for i in indices(count, start):
        rng = random.Random(f"gyebo {kind} {'+'.join(languages)} {seed} {i}")
        yield rng, languages[int(rng.random() * len(languages))]


def render(world: World, template: str, values: Callable[[str], Any], language: str) -> str:
    """A template with its gaps filled by `values`."""
    pieces, _ = tokens(template, language)
    return "".join(
        t.before + (write(world, language, SLOTS[t.slot].kind, values(t.slot), t.form) if t.slot else "") + t.after
        for t in pieces
    )


def _pick(world: World, rng: random.Random, slot: str) -> Any:
    """A random value for a gap of `task_rows`, from the whole vocabulary."""
    if slot in ("person", "friend"):
        return rng.randrange(len(world.people)), "name"
    if slot == "town":
        return rng.randrange(len(world.towns))
    if slot == "treasure":
        thing = rng.randrange(len(world.looks))
        return rng.choice(world.looks[thing]), thing
    return rng.randrange(len(world.words[SLOTS[slot].kind]))


class _Draws(dict[str, Any]):
    """Values of gaps, sampled on first use."""

    def __init__(self, world: World, rng: random.Random, **fixed: Any) -> None:
        super().__init__(fixed)
        self._world, self._rng = world, rng

    def __missing__(self, slot: str) -> Any:
        if slot == "food" and "taste" in self:
            self[slot] = self._rng.choice(self._world.flavours[self["taste"]])
        else:
            self[slot] = _pick(self._world, self._rng, slot)
        return self[slot]


def _story(machine: Grammar, language: str, rng: random.Random, on_step: Callable[..., None]) -> None:
    """Generate one document; `on_step(scene, branch, value, string)` is called before each step."""
    scene = machine.start(language)
    while True:
        branch, value, string, _ = draw(machine, scene, rng)
        on_step(scene, branch, value, string)
        machine.take(scene, branch, value)
        if machine.ends(branch):
            return


def _sentences(machine: Grammar, language: str, rng: random.Random) -> list[str]:
    """The sentences of one document."""
    done: list[str] = [""]

    def step(scene: Scene, branch: Branch, value: Any, string: str) -> None:
        if scene.node is None:  # between sentences
            done.append("")
        else:
            done[-1] += string

    _story(machine, language, rng, step)
    return [s for s in done if s]


# translation ----------------------------------------------------------------------------------------------------------


def _translated(scene: Scene, row: Row, language: str, rng: random.Random) -> str:
    """A completed row in the other language; gaps that only this language has follow from the scene."""

    def value(slot: str) -> Any:
        if slot in scene.bound:
            return scene.bound[slot]
        (only,) = SLOTS[slot].values(scene.world, SLOTS[slot].key(scene))
        return only[1]

    return render(scene.world, rng.choice(texts(row, language)), value, language)


def translations(count: int, *, seed: int = 0, start: int = 0, world_seed: int = 0) -> Iterator[Translation]:
    """Parallel sentences of documents: each is generated in one language and translated into the other."""
    machine = grammar(world_seed)
    for rng, language in seeded("translation", count, seed, start, LANGUAGES):
        other = LANGUAGES[1 - LANGUAGES.index(language)]
        pairs: list[tuple[str, str]] = [("", "")]

        def step(scene: Scene, branch: Branch, value: Any, string: str) -> None:
            if scene.node is None:
                pairs.append(("", ""))  # noqa: B023 (used within this turn of the loop only)
                return
            here, there = pairs[-1]  # noqa: B023
            if branch.node.row is not None:
                before = dict(scene.bound)
                if branch.token.slot:
                    scene.bound[branch.token.slot] = value
                there += _translated(scene, branch.node.row, other, rng)  # noqa: B023
                scene.bound = before
            pairs[-1] = (here + string, there)  # noqa: B023

        _story(machine, language, rng, step)
        here, there = rng.choice([p for p in pairs if p[0]])
        yield Translation(here, there) if language == "ko" else Translation(there, here)


# texts and pairs ------------------------------------------------------------------------------------------------------


def sentiments(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Sentiment]:
    """Short reports, positive or negative; some change at "but", some are negated, so single words can mislead."""
    world = grammar(world_seed).world
    for rng, language in seeded("sentiment", count, seed, start, languages):
        label = SENTIMENT_LABELS[rng.randrange(2)]
        rows = (rng.choice(task_rows.NEUTRAL), rng.choice(task_rows.OPINIONS[label]))
        at, values = LANGUAGES.index(language), _Draws(world, rng)
        yield Sentiment(" ".join(render(world, r[at], values.__getitem__, language) for r in rows), label, language)


def facts_of(world: World, person: int) -> dict[str, Any]:
    """The values of the gaps of `task_rows.FACTS` for `person`."""
    p = world.people[person]
    known = {"town": p.home, "job": p.job, "food": p.food, "colour": p.colour, "hobby": p.hobby, "pet": p.pet[0],
             "pet_name": p.pet[1], "friend": (p.friend, "name"), "treasure": p.treasure}  # fmt: skip
    return known | {"person": (person, "name")}


def _state(world: World, values: dict[str, Any], relation: str, language: str, way: int) -> str:
    template = task_rows.FACTS[relation][0][way][LANGUAGES.index(language)]
    return render(world, template, values.__getitem__, language)


def _reserved(world: World) -> list[tuple[int, str]]:
    return [(i, r) for i, p in enumerate(world.people) for r in RELATIONS if r in p.reserved]


def _false(world: World, rng: random.Random, values: dict[str, Any], gap: str) -> dict[str, Any]:
    """`values` with another value for `gap`."""
    while True:
        other = _pick(world, rng, gap)
        if other != values[gap] and not (gap == "friend" and other == values["person"]):
            return values | {gap: other}


def entailments(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Entailment]:
    """Premises of two reserved facts, or of a gift; the hypothesis paraphrases one, is unrelated, or contradicts it."""
    world = grammar(world_seed).world
    facts = _reserved(world)
    for rng, language in seeded("entailment", count, seed, start, languages):
        label = ENTAILMENT_LABELS[rng.randrange(3)]
        if rng.random() < 0.2:
            yield _gift(world, rng, label, language)
            continue
        (person, relation), (other, second) = rng.sample(facts, 2)
        values, way = facts_of(world, person), rng.randrange(2)
        stated = [_state(world, values, relation, language, way)]
        stated.append(_state(world, facts_of(world, other), second, language, rng.randrange(2)))
        rng.shuffle(stated)
        if label == "neutral":
            unsaid = [r for r in RELATIONS if r != relation and not (other == person and r == second)]
            hypothesis = _state(world, values, rng.choice(unsaid), language, rng.randrange(2))
        else:
            if label == "contradiction":
                values = _false(world, rng, values, task_rows.FACTS[relation][2])
            hypothesis = _state(world, values, relation, language, 1 - way)
        yield Entailment(" ".join(stated), hypothesis, label, language)


def _gift(world: World, rng: random.Random, label: str, language: str) -> Entailment:
    """Giver and receiver: the words are the same, only particles and word order differ."""
    giver, receiver, third = rng.sample(range(len(world.people)), 3)
    values = {"person": (giver, "name"), "friend": (receiver, "name"), "treasure": _pick(world, rng, "treasure")}
    at = LANGUAGES.index(language)
    premise = render(world, task_rows.GIFT[0][at], values.__getitem__, language)
    if label == "contradiction":
        values |= {"person": (receiver, "name"), "friend": (giver, "name")}
    elif label == "neutral":
        values |= {"friend": (third, "name")}
    return Entailment(premise, render(world, task_rows.GIFT[1][at], values.__getitem__, language), label, language)


def similarities(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Similarity]:
    """Two reports of an event that agree in 0 to 5 details, each number equally likely; order and wording vary."""
    world = grammar(world_seed).world
    for rng, language in seeded("similarity", count, seed, start, languages):
        first = {gap: _pick(world, rng, gap) for gap in task_rows.EVENT_GAPS}
        same = rng.sample(task_rows.EVENT_GAPS, rng.randrange(6))
        second = dict(first)
        for gap in task_rows.EVENT_GAPS:
            if gap not in same:
                second = _false(world, rng, second, gap)
        at = LANGUAGES.index(language)
        told = [render(world, rng.choice(task_rows.EVENT)[at], event.__getitem__, language) for event in (first, second)]
        yield Similarity(told[0], told[1], float(len(same)), language)


def next_sentences(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[NextSentence]:
    """Neighbouring sentences of a document, or a sentence and one from another document of the same language."""
    machine = grammar(world_seed)
    for rng, language in seeded("next sentence", count, seed, start, languages):
        here = _sentences(machine, language, rng)
        at = rng.randrange(len(here) - 1)
        is_next = rng.random() < 0.5
        second = here[at + 1] if is_next else rng.choice(_sentences(machine, language, rng)[1:])
        yield NextSentence(here[at], second, is_next, language)


# spans ----------------------------------------------------------------------------------------------------------------

_TYPES = {"person": "person", "town": "town", "pet_name": "pet"}


def _name(world: World, language: str, kind: str, value: Any, form: str) -> str:
    """The name itself in a gap, without its particle; "" where there is none (a pronoun, the writer of a diary)."""
    if kind != "person":
        return words(world, kind, value)[LANGUAGES.index(language)]
    who, style = value
    if who == ME or style != "name" or form.lower() in ("he", "his"):
        return ""
    person, full = world.people[who], form.startswith("full")
    if language == "ko":
        return (person.family[0] if full else "") + person.given[0]
    return person.given[1] + (f" {person.family[1]}" if full else "")


def entities(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Entities]:
    """Documents of the world with the names in them: people (not pronouns), towns, pets."""
    machine = grammar(world_seed)
    for rng, language in seeded("entities", count, seed, start, languages):
        pieces: list[str] = []
        spans: list[tuple[int, int, str]] = []

        def step(scene: Scene, branch: Branch, value: Any, string: str) -> None:
            token = branch.token
            kind = SLOTS[token.slot].kind if token.slot else ""
            if kind in _TYPES:
                name = _name(machine.world, scene.language, kind, value, token.form)
                at = sum(map(len, pieces)) + len(token.before)  # noqa: B023 (used within this turn of the loop only)
                if name:
                    spans.append((at, at + len(name), _TYPES[kind]))  # noqa: B023
            pieces.append(string)  # noqa: B023

        _story(machine, language, rng, step)
        yield Entities("".join(pieces), tuple(spans), language)


def questions(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Question]:
    """Texts of four facts about two people, and a question about one of them that plain documents never tell."""
    world = grammar(world_seed).world
    facts = _reserved(world)
    for rng, language in seeded("question", count, seed, start, languages):
        person, relation = rng.choice(facts)
        other = rng.choice([i for i in range(len(world.people)) if i != person])
        others = rng.sample([r for r in RELATIONS if r != relation], 2)
        told = [(person, relation), (person, others[0]), (other, relation), (other, others[1])]
        rng.shuffle(told)
        gap, at, context, start_char, answer = task_rows.FACTS[relation][2], LANGUAGES.index(language), "", 0, ""
        for who, what in told:
            values, way = facts_of(world, who), rng.randrange(2)
            context += " " if context else ""
            if (who, what) == (person, relation):
                offset, answer = _answer(world, task_rows.FACTS[what][0][way][at], values, gap, language)
                start_char = len(context) + offset
            context += _state(world, values, what, language, way)
        asked = render(world, task_rows.FACTS[relation][1][at], facts_of(world, person).__getitem__, language)
        yield Question(context, asked, answer, start_char, language)


def _answer(world: World, template: str, values: dict[str, Any], gap: str, language: str) -> tuple[int, str]:
    """The position of the value of `gap` in a statement, and its text without particle or article."""
    at = 0
    for token in tokens(template, language)[0]:
        at += len(token.before)
        if not token.slot:
            continue
        kind = SLOTS[token.slot].kind
        text = write(world, language, kind, values[token.slot], token.form)
        if token.slot == gap:
            if kind == "hobby":
                return at, text
            name = _name(world, language, kind, values[gap], token.form)
            return at + text.index(name), name
        at += len(text) + len(token.after)
    raise AssertionError(f"{template!r} has no gap {gap!r}")


@lru_cache(maxsize=4)
def _chats(world_seed: int) -> Grammar:
    rows = dict(ROWS) | {"open": tuple(row for row in ROWS["open"] if row[0] == "open_chat")}
    return Grammar(grammar(world_seed).world, rows)


def dialogues(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Dialogue]:
    """Conversations of two people who take turns: the chats of the grammar, one (speaker, text) for each turn."""
    machine = _chats(world_seed)
    for rng, language in seeded("dialogue", count, seed, start, languages):
        turns = [sentence.split(": ", 1) for sentence in _sentences(machine, language, rng)]
        yield Dialogue(tuple((speaker, text) for speaker, text in turns), language)
