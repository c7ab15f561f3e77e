"""The facts of a world: where people live and what they like, what things look like, where places are. Fixed by the seed.

Reserved facts are never told in plain documents; the question and entailment tasks tell them in their own texts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from gyebo.world import lexicon

RELATIONS = ("home", "job", "food", "colour", "hobby", "pet", "friend", "treasure")
RESERVED_SHARE = 0.25
CIRCLE = 6  # number of people whom a person knows

Item = tuple[int, int]  # (quality, thing)


@dataclass(frozen=True)
class Person:
    """One person; numbers index the tables of `lexicon`, towns and people index those of the world."""

    family: tuple[str, str]
    given: tuple[str, str]
    woman: bool
    trait: int
    home: int
    job: int
    food: int
    colour: int
    hobby: int
    pet: tuple[int, int]  # (kind, name)
    friend: int
    treasure: Item
    likes: tuple[int, ...]  # further foods
    dislikes: tuple[int, ...]
    owns: tuple[Item, ...]
    visited: tuple[int, ...]  # towns
    dream: int  # a town
    haunts: tuple[int, ...]  # places
    circle: tuple[int, ...]  # people, including the friend
    ties: tuple[int, ...]  # how one of the circle is tied to this person (KINDS_OF_TIES)
    reserved: frozenset[str]  # names of relations


@dataclass(frozen=True)
class Place:
    """The contents of a place."""

    items: tuple[Item, ...]
    creatures: tuple[int, ...]
    moods: tuple[int, ...]
    fixtures: tuple[Item, ...]  # (quality, fixture)


@dataclass(frozen=True)
class Town:
    """A town: its two-part name, its character and a map of its places."""

    first: int
    second: int
    kind: int
    side: int
    mood: int
    famous: int  # a food
    spots: dict[int, tuple[int, int]] = field(hash=False)  # place -> (x east, y north), whole numbers
    fixtures: dict[int, Item] = field(hash=False)
    sells: dict[int, int] = field(hash=False)


TIES = (("이웃", "neighbor"), ("사촌", "cousin"), ("동창", "old classmate"), ("동료", "colleague"))


@dataclass(frozen=True, eq=False)
class World:
    """All facts of one seed, and the frequencies of words (`weights`, by table name)."""

    seed: int
    words: dict[str, tuple[tuple[str, str], ...]]
    weights: dict[str, tuple[float, ...]]
    places: tuple[Place, ...]
    towns: tuple[Town, ...]
    people: tuple[Person, ...]
    looks: dict[int, tuple[int, ...]]  # thing -> its possible qualities
    flavours: dict[int, tuple[int, ...]]  # taste -> the foods that can have it

    def knows(self, person: int, relation: str) -> bool:
        """Whether plain documents may tell `relation` of `person`."""
        return relation not in self.people[person].reserved

    def is_shop(self, place: int) -> bool:
        """Whether things are bought in a place (elsewhere they are picked up)."""
        return self.words["place"][place] in lexicon.SHOPS

    def is_eatery(self, place: int) -> bool:
        """Whether food is ordered in a place."""
        return self.words["place"][place] in lexicon.EATERIES

    def direction(self, town: int, place: int, reference: int) -> int:
        """Index in `lexicon.SIDES` of the direction of `place` from `reference` (by the larger difference)."""
        (x, y), (rx, ry) = self.towns[town].spots[place], self.towns[town].spots[reference]
        if abs(x - rx) >= abs(y - ry):
            return 0 if x > rx else 1
        return 3 if y > ry else 2


_TABLES = {
    "place": (*lexicon.PLACES, *lexicon.SHOPS, *lexicon.EATERIES), "food": lexicon.FOODS, "drink": lexicon.DRINKS,
    "thing": lexicon.THINGS, "fixture": lexicon.FIXTURES, "quality": lexicon.QUALITIES, "colour": lexicon.COLOURS,
    "job": lexicon.JOBS, "trait": lexicon.TRAITS, "hobby": lexicon.HOBBIES, "glad": lexicon.GLAD, "sad": lexicon.SAD,
    "body": lexicon.BODY, "manner": lexicon.MANNERS, "gait": lexicon.GAITS, "travel": lexicon.TRAVEL,
    "gesture": lexicon.GESTURES, "look": lexicon.LOOKS, "taste": lexicon.TASTES, "meal": lexicon.MEALS,
    "encounter": lexicon.ENCOUNTERS, "idle": lexicon.IDLE, "handle": lexicon.HANDLE, "deed": lexicon.DEEDS,
    "toward": lexicon.TOWARD, "joint": lexicon.JOINT, "creature": lexicon.CREATURES,
    "creature_act": lexicon.CREATURE_ACTS, "place_mood": lexicon.PLACE_MOODS, "town_mood": lexicon.TOWN_MOODS,
    "season_mood": lexicon.SEASON_MOODS, "town_kind": lexicon.TOWN_KINDS, "side": lexicon.SIDES,
    "season": lexicon.SEASONS, "daytime": lexicon.DAYTIMES, "then": lexicon.THEN, "pet": lexicon.PETS,
    "pet_name": lexicon.PET_NAMES, "tie": TIES, "town_first": lexicon.TOWN_FIRST, "town_second": lexicon.TOWN_SECOND,
    "reaction": lexicon.REACTIONS, "pity": lexicon.PITIES,
}  # fmt: skip
_WHOLE = frozenset(["side", "tie"])  # tables that a reduced world keeps whole


def _tables(limit: int | None) -> dict[str, tuple[tuple[str, str], ...]]:
    if limit is None:
        return dict(_TABLES)
    cut = {name: words if name in _WHOLE else words[:limit] for name, words in _TABLES.items()}
    cut["place"] = (*lexicon.PLACES[:limit], *lexicon.SHOPS[:1], *lexicon.EATERIES[:1])
    return cut


def _some(rng: random.Random, count: int, size: int, without: tuple[int, ...] = ()) -> tuple[int, ...]:
    pool = [i for i in range(size) if i not in without]
    return tuple(rng.sample(pool, min(count, len(pool))))


def _towns(rng: random.Random, sizes: dict[str, int], looks: dict[int, tuple[int, ...]]) -> tuple[Town, ...]:
    # each first part has two second parts at most, so that the parts of a name predict each other
    firsts, seconds = sizes["town_first"], sizes["town_second"]
    second = _some(rng, firsts, seconds)
    names = [(a, second[a % seconds]) for a in range(firsts)]
    names += [(a, second[(a + 1) % seconds]) for a in range(0, firsts, 2) if seconds > 1]
    towns = []
    for first, last in names:
        places = _some(rng, 7, sizes["place"])
        spots: dict[int, tuple[int, int]] = {}
        for place in places:  # no two places on one spot
            spot = (rng.randrange(-4, 5), rng.randrange(-4, 5))
            while spot in spots.values():
                spot = (rng.randrange(-4, 5), rng.randrange(-4, 5))
            spots[place] = spot
        towns.append(
            Town(
                first, last, rng.randrange(sizes["town_kind"]), rng.randrange(sizes["side"]),
                rng.randrange(sizes["town_mood"]), rng.randrange(sizes["food"]), spots,
                {p: (rng.randrange(sizes["quality"]), rng.randrange(sizes["fixture"])) for p in places},
                {p: rng.randrange(sizes["food"]) for p in places},
            )
        )  # fmt: skip
    return tuple(towns)


def _people(rng: random.Random, sizes: dict[str, int], items: list[Item], towns: int, limit: int | None):
    women, men = lexicon.WOMEN[:limit], lexicon.MEN[:limit]
    given = [(name, True) for name in women] + [(name, False) for name in men]
    families = lexicon.FAMILIES[:limit]
    count = len(given)
    people = []
    for me, (name, woman) in enumerate(given):
        circle = _some(rng, CIRCLE, count, (me,))
        food = rng.randrange(sizes["food"])
        likes = _some(rng, 3, sizes["food"], (food,))
        owned = rng.sample(items, min(4, len(items)))
        people.append(
            Person(
                family=families[rng.randrange(len(families))], given=name, woman=woman,
                trait=rng.randrange(sizes["trait"]), home=rng.randrange(towns), job=rng.randrange(sizes["job"]),
                food=food, colour=rng.randrange(sizes["colour"]), hobby=rng.randrange(sizes["hobby"]),
                pet=(rng.randrange(sizes["pet"]), rng.randrange(sizes["pet_name"])),
                friend=circle[rng.randrange(len(circle))], treasure=owned[0], likes=likes,
                dislikes=_some(rng, 2, sizes["food"], (food, *likes)), owns=tuple(owned[1:]),
                visited=_some(rng, 3, towns), dream=rng.randrange(towns), haunts=_some(rng, 3, sizes["place"]),
                circle=circle, ties=tuple(rng.randrange(len(TIES)) for _ in circle),
                reserved=frozenset(r for r in RELATIONS if rng.random() < RESERVED_SHARE),
            )
        )  # fmt: skip
    return tuple(people)


def _flavours(words: dict[str, tuple[tuple[str, str], ...]]) -> dict[int, tuple[int, ...]]:
    groups = {"f": lexicon.FRUITS, "s": lexicon.SNACKS, "d": lexicon.DISHES}
    result = {}
    for kinds, tastes in lexicon.TASTES_OF.items():
        fits = {food for kind in kinds for food in groups[kind]}
        for taste in tastes:
            if taste in words["taste"]:
                result[words["taste"].index(taste)] = tuple(i for i, f in enumerate(words["food"]) if f in fits)
    return result


def make_world(seed: int = 0, limit: int | None = None) -> World:
    """The world of a seed. `limit`: number of words kept of each table (a reduced world whose texts can be counted)."""
    rng = random.Random(f"gyebo world {seed}")
    words = _tables(limit)
    sizes = {name: len(table) for name, table in words.items()}
    weights = {name: tuple(2.0 ** rng.gauss(0, 0.5) for _ in table) for name, table in words.items()}
    looks = {thing: _some(rng, 5, sizes["quality"]) for thing in range(sizes["thing"])}
    items = [(quality, thing) for thing, qualities in looks.items() for quality in qualities]
    places = tuple(
        Place(
            tuple(rng.sample(items, min(40, len(items)))),
            _some(rng, 4, sizes["creature"]),
            _some(rng, 4, sizes["place_mood"]),
            tuple((rng.randrange(sizes["quality"]), f) for f in _some(rng, 3, sizes["fixture"])),
        )
        for _ in range(sizes["place"])
    )
    towns = _towns(rng, sizes, looks)
    people = _people(rng, sizes, items, len(towns), limit)
    return World(seed, words, weights, places, towns, people, looks, _flavours(words))
