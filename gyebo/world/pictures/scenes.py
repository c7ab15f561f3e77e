"""Scenes: which things stand in a picture, how they look and where. Drawn at random from the facts of the world.

Things, colours, shapes and places have the frequencies of the world's words; a colour that the world's text gives to a thing,
and a thing that the text puts into a place, are more frequent there too. Some combinations of a thing with a colour or a shape
are held out: each of the two is seen with others, the two together only in the scenes that are `unseen`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache

from gyebo.world import lexicon
from gyebo.world.facts import World

PLAIN, SHAPED, FACED = lexicon.DRAWN_PLAIN, lexicon.DRAWN_SHAPED, lexicon.DRAWN_FACED
THINGS = (*PLAIN, *SHAPED, *FACED)
SMALL, BIG = 0, 1
# Attribute -> its values in both languages; `thing` and `place` are told in the same way.
VALUES: dict[str, tuple[tuple[str, str], ...]] = {
    "thing": THINGS, "colour": lexicon.DRAWN_COLOURS, "shape": lexicon.SHAPES, "size": lexicon.DRAWN_SIZES,
    "mood": lexicon.DRAWN_MOODS, "place": lexicon.DRAWN_PLACES,
}  # fmt: skip
ATTRIBUTES = ("colour", "shape", "size", "mood")
STYLES = ("scene", "outline")
HELD_OUT_COLOURS = 2  # of each thing
FAVOURED = 2.0  # how much more frequent a combination of the world's text is
COUNT_WEIGHTS = (45, 40, 15)  # of one, two and three things
SIDES_OF = {1: (0.30, 0.62), 2: (0.29, 0.46), 3: (0.26, 0.42)}  # number of things -> side of a small and a big one
JITTER = 0.08  # of a side
REPEATED = 0.25  # how often a thing is of the kind of the one before it, so that its colour must be seen to tell which is meant


@dataclass(frozen=True)
class Thing:
    """A thing of a scene; numbers index `VALUES`. `shape`, `mood`: None of a thing that has none. `box`: the square that it is
    drawn into, (x0, y0, x1, y1) as shares of the picture, from the top left."""

    thing: int
    colour: int
    size: int
    shape: int | None
    mood: int | None
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)

    def value(self, attribute: str) -> int | None:
        """The value of an attribute, or of "thing"."""
        found: int | None = getattr(self, attribute)
        return found

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the box."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True)
class Scene:
    """One to three things in a place. `column`: they stand above each other, not beside each other; either way in the order of
    `things`, from the left or from the top."""

    things: tuple[Thing, ...]
    place: int
    column: bool = False


def is_shaped(thing: int) -> bool:
    """Whether a thing has one of the shapes."""
    return len(PLAIN) <= thing < len(PLAIN) + len(SHAPED)


def is_faced(thing: int) -> bool:
    """Whether a thing has a face, and so a mood."""
    return thing >= len(PLAIN) + len(SHAPED)


@dataclass(frozen=True, eq=False)
class Looks:
    """How frequent things and combinations are in the pictures of a world; rows of weights, by number.

    colours [thing][colour], shapes [shape], places [place], things [place][thing]. `held_out`: the combinations that are kept
    for unseen scenes, (attribute, thing, value).
    """

    colours: tuple[tuple[float, ...], ...]
    shapes: tuple[float, ...]
    places: tuple[float, ...]
    things: tuple[tuple[float, ...], ...]
    held_out: frozenset[tuple[str, int, int]]

    def is_held_out(self, thing: Thing) -> bool:
        """Whether the thing has a colour or a shape that is held out with it."""
        shape = thing.shape is not None and ("shape", thing.thing, thing.shape) in self.held_out
        return shape or ("colour", thing.thing, thing.colour) in self.held_out


@lru_cache(maxsize=4)
def looks_of(world: World) -> Looks:
    """The looks of a world (cached)."""
    rng = random.Random(f"gyebo looks {world.seed}")
    words, named = world.words, {english: number for number, (_, english) in enumerate(world.words["thing"])}
    colour_weights, place_words = world.weights["colour"], words["place"]
    colours, places, things = [], [], []
    for _, english in THINGS:
        usual = world.looks.get(named.get(english, -1), ())
        colours.append(tuple(weight * (FAVOURED if n in usual else 1.0) for n, weight in enumerate(colour_weights)))
    for place in lexicon.DRAWN_PLACES:
        at = place_words.index(place)
        there = {words["thing"][thing][1] for _, thing in world.places[at].items}
        places.append(world.weights["place"][at])
        weight_of = {english: world.weights["thing"][number] for english, number in named.items()}
        things.append(tuple(weight_of.get(e, 1.0) * (FAVOURED if e in there else 1.0) for _, e in THINGS))
    shapes = tuple(2.0 ** rng.gauss(0, 0.25) for _ in lexicon.SHAPES)
    return Looks(tuple(colours), shapes, tuple(places), tuple(things), _held_out(rng))


def _held_out(rng: random.Random) -> frozenset[tuple[str, int, int]]:
    """Two colours of each thing and one shape of each thing that has shapes; those of the avocado chair among them.

    The colours go round, so that each of them is held out with about as many things as any other.
    """
    count = len(lexicon.DRAWN_COLOURS)
    first = rng.randrange(count)
    found = {
        ("colour", thing, (first + HELD_OUT_COLOURS * thing + k) % count)
        for thing in range(len(THINGS))
        for k in range(HELD_OUT_COLOURS)
    }
    chair, avocado = THINGS.index(("의자", "chair")), len(lexicon.SHAPES) - 1
    for number in range(len(SHAPED)):
        thing = len(PLAIN) + number
        found.add(("shape", thing, avocado if thing == chair else (first + number) % len(lexicon.SHAPES)))
    return frozenset(found)


def sample(looks: Looks, rng: random.Random, *, unseen: bool = False) -> Scene:
    """A scene; `unseen`: its first or another thing is a combination that is held out, otherwise none is."""
    place = _pick(rng, looks.places)
    count = 1 + _pick(rng, COUNT_WEIGHTS)
    special = rng.randrange(count) if unseen else -1
    sizes = [rng.randrange(2) for _ in range(count)]
    if count == 3:  # there is room for one big thing
        big = rng.randrange(4)
        sizes = [BIG if number == big else SMALL for number in range(count)]
    things: list[Thing] = []
    for number in range(count):
        same = things[-1].thing if things and rng.random() < REPEATED else None
        found = _thing(looks, rng, place, sizes[number], number == special, same)
        while any(_alike(found, other) for other in things):
            found = _thing(looks, rng, place, sizes[number], number == special, same)
        things.append(found)
    column = count == 2 and rng.random() < 0.35
    return Scene(_placed(things, rng, column), place, column)


def _alike(a: Thing, b: Thing) -> bool:
    """Whether two things are told apart by nothing but their places."""
    return all(a.value(name) == b.value(name) for name in ("thing", "colour", "shape"))


def _pick(rng: random.Random, weights: tuple[float, ...] | list[float]) -> int:
    return rng.choices(range(len(weights)), weights)[0]


def _thing(looks: Looks, rng: random.Random, place: int, size: int, held_out: bool, same: int | None) -> Thing:
    """A thing as it looks; `same`: which thing it is."""
    while True:
        thing = _pick(rng, looks.things[place]) if same is None else same
        shape = _pick(rng, looks.shapes) if is_shaped(thing) else None
        mood = rng.randrange(len(lexicon.DRAWN_MOODS)) if is_faced(thing) else None
        if held_out:
            attribute, value = rng.choice(sorted((a, v) for a, t, v in looks.held_out if t == thing))
            shape = value if attribute == "shape" else shape
            colour = value if attribute == "colour" else _pick(rng, looks.colours[thing])
        else:
            colour = _pick(rng, looks.colours[thing])
        found = Thing(thing, colour, size, shape, mood)
        if looks.is_held_out(found) == held_out:
            return found


def _placed(things: list[Thing], rng: random.Random, column: bool) -> tuple[Thing, ...]:
    """The things with boxes that do not overlap: in a row on the ground, or in a column."""
    sides = [SIDES_OF[len(things)][thing.size] * (1 - JITTER * rng.random()) for thing in things]
    free = 1 - sum(sides)
    cuts = sorted(rng.random() for _ in things)  # the free room is shared out before, between and after the things
    gaps = [b - a for a, b in zip([0.0, *cuts], [*cuts, 1.0])]
    gaps = [0.25 / (len(things) + 1) + 0.75 * gap for gap in gaps]
    placed, along = [], 0.0
    for thing, side, gap in zip(things, sides, gaps):
        along += gap * free
        ground = (0.5 + 0.2 * (rng.random() - 0.5)) * (1 - side) if column else (1 - side) * (0.72 + 0.2 * rng.random())
        x, y = (ground, along) if column else (along, ground)
        box = tuple(round(v, 4) for v in (x, y, x + side, y + side))
        placed.append(Thing(thing.thing, thing.colour, thing.size, thing.shape, thing.mood, box))  # type: ignore[arg-type]
        along += side
    return tuple(placed)
