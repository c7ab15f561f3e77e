"""What is said of a scene: descriptions, and whether they hold; captions, false statements, and questions with their answers.

A description is a list of facts, in no language; a caption is one that holds, in words. A false statement differs from a true
one in one fact, and has the same form, so that nothing but the picture tells them apart.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from itertools import permutations

from gyebo.world import english, korean, lexicon
from gyebo.world.pictures.scenes import ATTRIBUTES, VALUES, Looks, Scene, Thing, is_faced, is_shaped

LANGUAGES = ("ko", "en")
RELATIONS = ("left", "right", "above", "below")
OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}
RELATION_WORDS = {
    "left": ("왼쪽", "to the left of"), "right": ("오른쪽", "to the right of"),
    "above": ("위", "above"), "below": ("아래", "below"),
}  # fmt: skip
_SIZES = (("작아", "small"), ("커", "big"))  # in answers
_SAID_OF = {"colour": 0.85, "shape": 0.9, "size": 0.5, "mood": 0.8}  # how often a part of the captions tells it


@dataclass(frozen=True)
class Described:
    """A thing as it is described: the values of what is told of it, (attribute or "thing", number), in a fixed order."""

    values: tuple[tuple[str, int], ...]

    def get(self, name: str) -> int | None:
        """The value that is told, None where none is."""
        return dict(self.values).get(name)

    def fits(self, thing: Thing) -> bool:
        """Whether a thing is as described."""
        return all(thing.value(name) == value for name, value in self.values)


@dataclass(frozen=True)
class Description:
    """Facts about a scene: that these things are in it, that the first stands in a relation to the second, where that is, and
    how many things there are in all."""

    things: tuple[Described, ...] = ()
    relation: str | None = None
    place: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class Text:
    """A text about a picture. `kind`: "caption" holds, "false" does not, "question" has an `answer`."""

    kind: str
    language: str
    text: str
    answer: str | None = None


@dataclass(frozen=True)
class Phrase:
    """A few words, and the characters [start, end) of them that name what they are about."""

    text: str
    span: tuple[int, int]


def stands(a: Thing, relation: str, b: Thing, column: bool) -> bool:
    """Whether `a` stands to the left of `b`, or right, above, below: beside each other in a row, one above the other in a
    column."""
    if column != (relation in ("above", "below")):
        return False
    axis = 1 if column else 0
    before = a.centre[axis] < b.centre[axis]
    return before == (relation in ("left", "above"))


def holds(description: Description, scene: Scene) -> bool:
    """Whether all facts of a description are those of a scene; two things that are described are two things of it."""
    if description.place is not None and description.place != scene.place:
        return False
    if description.count is not None and description.count != len(scene.things):
        return False
    return any(
        all(told.fits(thing) for told, thing in zip(description.things, chosen))
        and (description.relation is None or stands(chosen[0], description.relation, chosen[1], scene.column))
        for chosen in permutations(scene.things, len(description.things))
    )


# ---- which facts are told


def described(thing: Thing, rng: random.Random | None) -> Described:
    """All of a thing that can be told, or with `rng` a part of it."""
    values = [("thing", thing.thing)]
    for name in ATTRIBUTES:
        value = thing.value(name)
        if value is not None and (rng is None or rng.random() < _SAID_OF[name]):
            values.append((name, value))
    return Described(tuple(values))


def describe(scene: Scene, rng: random.Random, *, whole: bool, place: bool) -> Description:
    """A description that holds. `whole`: of every thing, with all that can be told; otherwise of a part. `place`: whether the
    picture shows where it is."""
    told_place = scene.place if place and (whole or rng.random() < 0.5) else None
    if not whole and rng.random() < 0.12:
        return Description(count=len(scene.things), place=told_place)
    order = list(scene.things)
    rng.shuffle(order)
    if not whole and len(order) > 1:
        order = order[: 1 + (rng.random() < 0.65)]
    relation = None
    if len(order) == 2 and rng.random() < 0.7:
        relation = next(name for name in RELATIONS if stands(order[0], name, order[1], scene.column))
    things = tuple(described(thing, None if whole else rng) for thing in order)
    return Description(things, relation, None if relation and not whole else told_place)


def falsified(description: Description, scene: Scene, looks: Looks, rng: random.Random, *, unseen: bool) -> Description | None:
    """The description with one fact changed, so that it does not hold; None where no change makes it false.

    Unless `unseen`, no combination that is held out is told.
    """
    changes = [(number, name) for number, told in enumerate(description.things) for name, _ in told.values]
    changes += [(-1, name) for name in ("relation", "place", "count") if getattr(description, name) is not None]
    rng.shuffle(changes)
    for number, name in changes:
        for changed in _changed(description, number, name, looks, rng):
            if not holds(changed, scene) and (unseen or not any(_held_out(told, looks) for told in changed.things)):
                return changed
    return None


def _changed(description: Description, number: int, name: str, looks: Looks, rng: random.Random) -> list[Description]:
    """The description with another value of one fact: all of them, in a random order."""
    if number < 0:
        if name == "relation":
            assert description.relation is not None
            return [replace(description, relation=OPPOSITE[description.relation])]
        numbers = range(1, len(lexicon.COUNTS) + 1) if name == "count" else range(len(VALUES["place"]))
        others = [number for number in numbers if number != getattr(description, name)]
        rng.shuffle(others)
        if name == "count":
            return [replace(description, count=number) for number in others]
        return [replace(description, place=number) for number in others]
    told = description.things[number]
    others = [value for value in range(len(VALUES[name])) if value != told.get(name)]
    if name == "thing":  # one of which the same can be told
        others = [
            v for v in others if is_shaped(v) == is_shaped(told.values[0][1]) and is_faced(v) == is_faced(told.values[0][1])
        ]
    if name == "colour":
        thing = told.values[0][1]
        keys = {value: rng.random() ** (1 / looks.colours[thing][value]) for value in others}  # by weight (Efraimidis 2006)
        others.sort(key=lambda value: -keys[value])
    else:
        rng.shuffle(others)
    found = []
    for value in others:
        values = tuple((n, value if n == name else v) for n, v in told.values)
        things = tuple(Described(values) if n == number else other for n, other in enumerate(description.things))
        found.append(replace(description, things=things))
    return found


def _held_out(told: Described, looks: Looks) -> bool:
    thing = told.get("thing")
    return any((name, thing, value) in looks.held_out for name, value in told.values)


# ---- in words


def noun_parts(told: Described, language: str) -> list[tuple[str, str]]:
    """What is told of a thing, in the order in which a language says it: (attribute or "thing", words)."""
    words = {name: VALUES[name][value] for name, value in told.values}
    if language == "ko":
        spoken = {name: ko for name, (ko, _) in words.items()}
        if "mood" in spoken:
            spoken["mood"] = korean.conjugate(spoken["mood"], "adnominal")
        return [(name, spoken[name]) for name in ("size", "shape", "mood", "colour", "thing") if name in spoken]
    return [(name, words[name][1]) for name in ("size", "mood", "colour", "shape", "thing") if name in words]


def noun_phrase(told: Described, language: str, *, article: bool = True) -> str:
    """A thing in words: "커다란 별 모양의 빨간 의자", "a big red star-shaped chair"."""
    phrase = " ".join(words for _, words in noun_parts(told, language))
    return english.article(phrase) if article and language == "en" else phrase


def naming(told: Described, name: str, language: str) -> Phrase:
    """A thing in words, and where in them the value of `name` stands. ValueError where it is not told."""
    parts = noun_parts(told, language)
    text = noun_phrase(told, language, article=told.get("thing") is not None)
    at = len(text) - len(" ".join(words for _, words in parts))  # behind the article
    for part, words in parts:
        if part == name:
            return Phrase(text, (at, at + len(words)))
        at += len(words) + 1
    raise ValueError(f"{text!r} tells no {name}")


def in_words(description: Description, language: str, rng: random.Random, *, phrase: bool = False) -> str:
    """A description as a sentence, or as a phrase without a verb."""
    place = None if description.place is None else VALUES["place"][description.place][0 if language == "ko" else 1]
    write = _korean if language == "ko" else _english
    text = write(description, place, rng, phrase)
    return text[0].upper() + text[1:] if language == "en" and not phrase else text


def _korean(description: Description, place: str | None, rng: random.Random, phrase: bool) -> str:
    there = "" if place is None else f"{place}에 "
    if description.count is not None:
        number = lexicon.COUNTS[description.count - 1][0]
        return f"{there}물건 {number}" if phrase else f"{there}물건이 {number} 있다."
    names = [noun_phrase(told, "ko") for told in description.things]
    if description.relation:
        side = RELATION_WORDS[description.relation][0]
        other = f"{place}의 {names[1]}" if place else names[1]
        if phrase:
            return f"{other} {side}에 있는 {names[0]}"
        first = korean.particle(names[0], "이")
        return f"{first} {other} {side}에 있다." if rng.random() < 0.5 else f"{other} {side}에 {first} 있다."
    joined = " ".join([*(korean.particle(name, "과") for name in names[:-1]), names[-1]])
    if phrase:
        return f"{place}에 있는 {joined}" if place else joined
    verb = rng.choice(("있다", "보인다"))
    return f"{there}{korean.particle(joined, '이')} {verb}."


def _english(description: Description, place: str | None, rng: random.Random, phrase: bool) -> str:
    there = "" if place is None else f" {'on' if place == 'beach' else 'in'} the {place}"
    if description.count is not None:
        number = lexicon.COUNTS[description.count - 1][1]
        things = f"{number} thing{'' if description.count == 1 else 's'}"
        return f"{things}{there}" if phrase else f"there {'is' if description.count == 1 else 'are'} {things}{there}."
    names = [noun_phrase(told, "en") for told in description.things]
    if description.relation:
        words = RELATION_WORDS[description.relation][1]
        return f"{names[0]} {words} {names[1]}{there}" if phrase else f"{names[0]} is {words} {names[1]}{there}."
    joined = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    if phrase:
        return f"{joined}{there}"
    return f"there {'is' if rng.random() < 0.5 or len(names) == 1 else 'are'} {joined}{there}."


# ---- questions


def question(scene: Scene, language: str, rng: random.Random, looks: Looks, *, place: bool, unseen: bool) -> Text:
    """A question that the picture answers, with its only answer."""
    ko = language == "ko"
    asked: list[tuple[str, str]] = [_count_question(scene, ko)]
    if place:
        name = VALUES["place"][scene.place]
        asked += [("여기는 어디야?", name[0]) if ko else ("Where is this?", name[1])] * 2
    for thing in scene.things:
        if sum(other.thing == thing.thing for other in scene.things) == 1:
            asked += _attribute_questions(thing, ko)
    if len(scene.things) == 2 and scene.things[0].thing != scene.things[1].thing:
        asked += _side_questions(scene, ko) * 2
    if rng.random() < 0.4:
        asked = [_yes_no_question(scene, language, rng, looks, unseen)]
    text, answer = rng.choice(asked)
    return Text("question", language, text, answer)


def answers() -> tuple[str, ...]:
    """Every answer that a question may have, in Korean and in English."""
    found: list[str] = []
    moods = [(_feels(mood[0]), mood[1]) for mood in lexicon.DRAWN_MOODS]
    for words in (
        lexicon.YES_NO, lexicon.COUNTS, _SIZES, VALUES["place"], lexicon.SHAPE_NAMES, moods,
        lexicon.COLOURS[: len(VALUES["colour"])], VALUES["thing"],
    ):  # fmt: skip
        found += [word for pair in words for word in pair]
    return tuple(dict.fromkeys(found))


def _feels(mood: str) -> str:
    return f"{korean.conjugate(mood, 'casual')} 보여"


def _count_question(scene: Scene, ko: bool) -> tuple[str, str]:
    number = lexicon.COUNTS[len(scene.things) - 1]
    return ("물건이 몇 개 있어?", number[0]) if ko else ("How many things are there?", number[1])


def _attribute_questions(thing: Thing, ko: bool) -> list[tuple[str, str]]:
    name = VALUES["thing"][thing.thing]
    topic, subject = korean.particle(name[0], "은"), name[1]
    colour, size = lexicon.COLOURS[thing.colour], _SIZES[thing.size]
    found = [(f"{topic} 무슨 색이야?", colour[0]) if ko else (f"What color is the {subject}?", colour[1])] * 3
    found += [(f"{topic} 커, 작아?", size[0]) if ko else (f"Is the {subject} big or small?", size[1])]
    if thing.shape is not None:
        shape = lexicon.SHAPE_NAMES[thing.shape]
        found += [(f"{topic} 무슨 모양이야?", shape[0]) if ko else (f"What shape is the {subject}?", shape[1])] * 2
    if thing.mood is not None:
        mood = lexicon.DRAWN_MOODS[thing.mood]
        found += [(f"{topic} 기분이 어때 보여?", _feels(mood[0])) if ko else (f"How does the {subject} feel?", mood[1])] * 2
    return found


def _side_questions(scene: Scene, ko: bool) -> list[tuple[str, str]]:
    found = []
    for a, b in permutations(scene.things):
        relation = next(name for name in RELATIONS if stands(a, name, b, scene.column))
        side, words = RELATION_WORDS[relation]
        (a_ko, a_en), (b_ko, b_en) = VALUES["thing"][a.thing], VALUES["thing"][b.thing]
        found.append((f"{b_ko} {side}에 무엇이 있어?", a_ko) if ko else (f"What is {words} the {b_en}?", a_en))
    return found


def _yes_no_question(scene: Scene, language: str, rng: random.Random, looks: Looks, unseen: bool) -> tuple[str, str]:
    """Whether there is a thing that is so: yes and no equally often, where there is a way to be wrong."""
    description = Description((described(rng.choice(scene.things), rng),))
    right = rng.random() < 0.5
    if not right:
        wrong = falsified(description, scene, looks, rng, unseen=unseen)
        description, right = (wrong, False) if wrong else (description, True)
    phrase = noun_phrase(description.things[0], language)
    answer = lexicon.YES_NO[right][0 if language == "ko" else 1]
    if language == "ko":
        return f"{korean.particle(phrase, '이')} 있어?", answer
    return f"Is there {phrase}?", answer
