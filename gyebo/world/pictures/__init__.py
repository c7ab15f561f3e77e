"""Pictures of the world: scenes of its things, colours, shapes, sizes, places and moods, with what can be said of them.

Standard library and numpy; Pillow draws, when pixels are asked for.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gyebo.world.corpus import checked, indices
from gyebo.world.facts import make_world
from gyebo.world.pictures import drawing, sentences
from gyebo.world.pictures.scenes import ATTRIBUTES, STYLES, VALUES, Looks, Scene, Thing, looks_of, sample
from gyebo.world.pictures.sentences import Described, Phrase, Text, answers, described

__all__ = [
    "ATTRIBUTES",
    "STYLES",
    "VALUES",
    "Phrase",
    "Picture",
    "Region",
    "Scene",
    "Text",
    "Thing",
    "answers",
    "looks",
    "pictures",
    "saying",
    "showing",
    "showing_each",
]


@dataclass(frozen=True)
class Region:
    """A thing as pictures' annotations name it, in English: its `label`, the values of its attributes by name, and its box (x0,
    y0, x1, y1) as shares of the picture."""

    label: str
    attributes: dict[str, str]
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Picture:
    """A scene and what is said of it. It is drawn when it is asked to be.

    `texts`: of each language a caption that tells all, one that tells a part, a false statement and a question.
    """

    scene: Scene
    style: str
    texts: tuple[Text, ...]
    seed: str

    def draw(self, size: int) -> NDArray[np.uint8]:
        """The pixels, [size, size, 3]."""
        place = VALUES["place"][self.scene.place][1]
        return drawing.draw(self.scene, size, self.style, random.Random(f"{self.seed} colours"), place)

    @property
    def regions(self) -> tuple[Region, ...]:
        """The things, in the order of the scene."""
        found = []
        for thing in self.scene.things:
            values = {name: thing.value(name) for name in ATTRIBUTES}
            attributes = {name: VALUES[name][value][1] for name, value in values.items() if value is not None}
            found.append(Region(VALUES["thing"][thing.thing][1], attributes, drawing.tight_box(thing)))
        return tuple(found)


@lru_cache(maxsize=4)
def looks(world_seed: int = 0) -> Looks:
    """How frequent things, colours and combinations are in the pictures of a world, and which combinations are held out."""
    return looks_of(make_world(world_seed))


def pictures(
    count: int,
    *,
    seed: int = 0,
    start: int = 0,
    languages: tuple[str, ...] = sentences.LANGUAGES,
    style: str = "scene",
    unseen: bool = False,
    world_seed: int = 0,
) -> Iterator[Picture]:
    """Pictures `start` to `start + count` of a stream. Scene i depends on (world_seed, unseen, seed, i) only, and its texts on
    these, the language and the style.

    `style`: one of `STYLES`. `unseen`: each scene has a thing in a colour or shape that no other scene shows it in. ValueError
    for a style or language that is not known.
    """
    languages = checked(languages)
    if style not in STYLES:
        raise ValueError(f"style: found {style!r}; give one of {', '.join(STYLES)}")
    facts = looks(world_seed)
    for i in indices(count, start):
        name = f"gyebo picture {world_seed} {'unseen' if unseen else 'seen'} {seed} {i}"
        scene = sample(facts, random.Random(name), unseen=unseen)
        texts = [
            text
            for language in languages
            for text in _texts(scene, language, facts, random.Random(f"{name} {language}"), style == "scene", unseen)
        ]
        yield Picture(scene, style, tuple(texts), name)


def showing(
    name: str,
    word: str,
    count: int,
    *,
    seed: int = 0,
    languages: tuple[str, ...] = sentences.LANGUAGES,
    style: str = "scene",
    world_seed: int = 0,
) -> Iterator[Picture]:
    """Pictures of one thing that has a value: `name` is a key of `VALUES` ("thing", "colour", "place", ...), `word` the value
    in English or Korean. In both styles they are the same scenes, none of which is unseen. ValueError for what is not known.
    """
    if name not in VALUES:
        raise ValueError(f"found {name!r}; give one of {', '.join(VALUES)}")
    if (value := next((n for n, words in enumerate(VALUES[name]) if word in words), None)) is None:
        raise ValueError(f"no {name} is called {word!r}; there are {', '.join(english for _, english in VALUES[name])}")
    found = indices(count, 0)
    start = 0
    while found:
        for picture in pictures(100, seed=seed, start=start, languages=languages, style=style, world_seed=world_seed):
            things = picture.scene.things
            shown = picture.scene.place if name == "place" else things[0].value(name)
            if len(things) == 1 and shown == value and found:
                found = found[1:]
                yield picture
        start += 100


def showing_each(
    name: str, count: int, *, seed: int = 0, style: str = "scene", world_seed: int = 0
) -> dict[str, tuple[Picture, ...]]:
    """`count` pictures of one thing for every value of `name`, by the value in English; without texts. The scenes are those of
    `showing`, at the cost of one pass for all values. ValueError for what is not known."""
    if name not in VALUES:
        raise ValueError(f"found {name!r}; give one of {', '.join(VALUES)}")
    if style not in STYLES:
        raise ValueError(f"style: found {style!r}; give one of {', '.join(STYLES)}")
    facts, number = looks(world_seed), 0
    found: list[list[Picture]] = [[] for _ in VALUES[name]]
    while any(len(some) < count for some in found):
        named = f"gyebo picture {world_seed} seen {seed} {number}"
        scene = sample(facts, random.Random(named), unseen=False)
        shown = scene.place if name == "place" else scene.things[0].value(name)
        if len(scene.things) == 1 and shown is not None and len(found[shown]) < count:
            found[shown].append(Picture(scene, style, (), named))
        number += 1
    return {english: tuple(some) for (_, english), some in zip(VALUES[name], found)}


def saying(name: str, count: int, *, seed: int = 0, world_seed: int = 0) -> dict[str, tuple[Phrase, ...]]:
    """`count` phrases for every value of `name` ("thing" or an attribute), by the value in English: Korean and English in turn,
    first the word alone, then what is said of the things of `showing_each`, all of it or a part. ValueError for what is not
    known, or has no word beside a thing."""
    if name not in ("thing", *ATTRIBUTES):
        raise ValueError(f"found {name!r}; give one of thing, {', '.join(ATTRIBUTES)}")
    found = {}
    for number, (value, pictures_of) in enumerate(showing_each(name, count, seed=seed, world_seed=world_seed).items()):
        phrases = []
        for at, picture in enumerate(pictures_of):
            rng = random.Random(f"{picture.seed} {name} phrase")
            language, values = sentences.LANGUAGES[at % len(sentences.LANGUAGES)], {name: number}
            if at >= len(sentences.LANGUAGES):
                values = {**dict(described(picture.scene.things[0], rng).values), **values}
            phrases.append(sentences.naming(Described(tuple(values.items())), name, language))
        found[value] = tuple(phrases)
    return found


def _texts(scene: Scene, language: str, facts: Looks, rng: random.Random, place: bool, unseen: bool) -> tuple[Text, ...]:
    """What is said of a scene in a language: two captions, a false statement, a question. The false one has the form of either
    caption, so that its form does not give it away."""

    def told(whole: bool) -> sentences.Description:
        return sentences.describe(scene, rng, whole=whole, place=place)

    def written(kind: str, description: sentences.Description, whole: bool) -> Text:
        phrase = rng.random() < (0.5 if whole else 0.3)
        return Text(kind, language, sentences.in_words(description, language, rng, phrase=phrase))

    found = [written("caption", told(whole), whole) for whole in (True, False)]
    whole = rng.random() < 0.5
    wrong = sentences.falsified(told(whole), scene, facts, rng, unseen=unseen)
    if wrong is not None:
        found.append(written("false", wrong, whole))
    return (*found, sentences.question(scene, language, rng, facts, place=place, unseen=unseen))
