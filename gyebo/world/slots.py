"""The possible values of a gap in a sentence, their probabilities, and their texts in each language.

A slot is a pair of functions: `key(scene)` extracts from the scene everything that the choice depends on; `values(world, key)`
returns the (weight, value) pairs from the key alone, so that choices can be cached by key.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from gyebo.world import lexicon
from gyebo.world.facts import World
from gyebo.world.scene import ME, NOWHERE, WINTER, Scene, acquaintances, residents

Weighted = list[tuple[float, Any]]
FAVOURITE = 0.35  # probability that an action uses a favourite of the subject, if there is one that may be told


@dataclass(frozen=True)
class Slot:
    """A gap: `kind` determines the text of a value; `sets_subject` makes the chosen person the subject of the sentence."""

    kind: str
    key: Callable[[Scene], Hashable]
    values: Callable[[World, Any], Weighted]
    sets_subject: bool = False


def _table(kind: str) -> Slot:
    """Any word of a table, by its frequency in this world."""
    return Slot(kind, lambda s: None, lambda w, k: [(p, i) for i, p in enumerate(w.weights[kind])])


def _but(world: World, kind: str, *without: int) -> Weighted:
    return [(p, i) for i, p in enumerate(world.weights[kind]) if i not in without]


def _mixture(world: World, kind: str, favourites: Iterable[int], *without: int) -> Weighted:
    """Frequencies of a table, a share of which goes to `favourites`."""
    rest = _but(world, kind, *without)
    liked = [f for f in favourites if f not in without]
    share = FAVOURITE if liked else 0.0
    total = sum(p for p, _ in rest)
    both = {i: (1 - share) * p / total for p, i in rest}
    for f in liked:
        both[f] += share / len(liked)
    return [(p, i) for i, p in both.items()]


def _even(values: Iterable[Any]) -> Weighted:
    return [(1.0, v) for v in values]


def _fact(kind: str, value: Callable[[World, int], Any]) -> Slot:
    """A fact of the subject: one value."""
    return Slot(kind, lambda s: s.subject, lambda w, p: [(1.0, value(w, p))])


def _known(scene: Scene, relation: str) -> int:
    """The subject if its fact may be told, otherwise nobody: actions don't reveal reserved facts either."""
    return scene.subject if scene.subject != ME and scene.world.knows(scene.subject, relation) else ME


# people ---------------------------------------------------------------------------------------------------------------


def _who_key(scene: Scene) -> Hashable:
    return scene.language == "ko", scene.cast, scene.subject, tuple(p for p in scene.cast if p != ME and scene.pronoun_for(p))


def _who_values(world: World, key: Any) -> Weighted:
    korean, cast, subject, pronouns = key
    result = []
    for p in cast:
        weight = 3.0 if p == cast[0] else 1.0
        if p in pronouns:
            result.append((weight * (0.7 if korean else 3.0 if p == subject else 1.0), (p, "pronoun")))
        result.append((weight, (p, "name")))
    return result


def _named(people: Callable[[Scene], Iterable[int]]) -> Slot:
    return Slot("person", lambda s: tuple(people(s)), lambda w, k: [(1.0, (p, "name")) for p in k])


def _new_key(scene: Scene) -> Hashable:
    # a diary may mention anyone: its key must not contain the whole world
    return scene.genre == "diary" or scene.cast[0], scene.cast if scene.genre == "diary" else _met(scene)


def _met(scene: Scene) -> tuple[int, ...]:
    return tuple(p for p in acquaintances(scene) if p in scene.cast)


def _new_values(world: World, key: Any) -> Weighted:
    who, met = key
    pool = range(len(world.people)) if who is True else world.people[who].circle
    return [(1.0, (p, "name")) for p in pool if p not in met]


def _anyone(world: World, key: Any) -> Weighted:
    return [(1.0, (p, "name")) for p in range(len(world.people))]


def _partner(world: World, speaker: Any) -> Weighted:
    return [(1.0, (p, "name")) for p in world.people[speaker].circle]


def _third(world: World, key: Any) -> Weighted:
    speaker, listener = key
    return [(1.0, (p, "name")) for p in world.people[speaker].circle if p != listener]


def _self(scene: Scene) -> Hashable:
    return scene.subject


# things ---------------------------------------------------------------------------------------------------------------


def _pair(entries: Callable[[Scene], Hashable], items: Callable[[World, Any], Iterable[tuple[int, int]]], thing: str):
    """Two slots for (quality, thing): the quality first, then a thing that goes with it."""

    def qualities(world: World, key: Any) -> Weighted:
        counts: dict[int, float] = {}
        for quality, it in items(world, key):
            counts[quality] = counts.get(quality, 0.0) + world.weights[thing][it]
        return [(p, q) for q, p in counts.items()]

    def things(world: World, key: Any) -> Weighted:
        chosen, inner = key
        return [(world.weights[thing][t], t) for q, t in items(world, inner) if q == chosen]

    return qualities, things, entries


def _item_slots(prefix: str, thing: str, entries, items) -> dict[str, Slot]:
    qualities, things, key = _pair(entries, items, thing)
    name = f"{prefix}_quality"
    return {
        name: Slot("quality", key, qualities),
        f"{prefix}_{thing}": Slot(thing, lambda s: (s.bound[name], key(s)), things),
    }


def _all_items(world: World, key: Any) -> Iterable[tuple[int, int]]:
    return [(q, t) for t, qs in world.looks.items() for q in qs]


def _held(scene: Scene) -> Hashable:
    return tuple(dict.fromkeys(item for owner, item, _, _ in scene.held if owner == scene.subject))


def _two_ends(part: str, other: str, pairs: Callable[[Scene], tuple]) -> Slot:
    """One half of a known pair; the half that comes second in the text is chosen among those that fit the first."""
    at = 0 if part in ("gift", "bought", "promised") else 1
    kind = {"gift": "item", "bought": "item", "giver": "person", "origin": "place"}[part]

    def values(world: World, key: Any) -> Weighted:
        known, fixed = key
        if fixed is not None:
            fixed = fixed[0] if other == "giver" else fixed
        fits = [p for p in known if fixed is None or p[1 - at] == fixed]
        return [(1.0, (v, "name") if kind == "person" else v) for v in dict.fromkeys(p[at] for p in fits)]

    return Slot(kind, lambda s: (pairs(s), s.bound.get(other)), values)


def _gifts(scene: Scene) -> tuple:
    return tuple((item, giver) for o, item, giver, _ in scene.held if o == scene.subject and giver is not None)


def _gifts_elsewhere(scene: Scene) -> tuple:
    mates = scene.mates()
    return tuple(pair for pair in _gifts(scene) if pair[1] not in mates)


def _topic(scene: Scene) -> tuple:
    """The subject's thing that was asked about: (owner, item, giver, place of purchase)."""
    return next(h for h in scene.held if h[0] == scene.subject and h[1] == scene.topic)


def _purchases(scene: Scene) -> tuple:
    return tuple((item, place) for o, item, _, place in scene.held if o == scene.subject and place is not None)


# places ---------------------------------------------------------------------------------------------------------------


def _place_key(scene: Scene) -> Hashable:
    return scene.subject, scene.here()


def _place_values(world: World, key: Any) -> Weighted:
    subject, here = key
    return _mixture(world, "place", () if subject == ME else world.people[subject].haunts, here)


def _shops(world: World) -> list[int]:
    return [i for i in range(len(world.places)) if world.is_shop(i)]


def _sold(world: World, shop: Any) -> Iterable[tuple[int, int]]:
    """The goods of a shop; before the shop is named (in English), those of any shop."""
    return [item for i in _shops(world) if shop in (None, i) for item in world.places[i].items]


def _selling(world: World, item: Any) -> Weighted:
    return [(world.weights["place"][i], i) for i in _shops(world) if item == (None, None) or item in world.places[i].items]


def _last_two(index: int) -> Slot:
    return Slot("place", lambda s: s.visits[s.subject][index], lambda w, k: [(1.0, k)])


def _new_weather(world: World, key: Any) -> Weighted:
    now, night, season = key
    return _even(
        n for n in lexicon.WEATHER
        if n != now and not (night and n == "sun") and (n != "snow" or season in (NOWHERE, WINTER))
    )  # fmt: skip


def _season_of(world: World, weather: Any) -> Weighted:
    return [(p, i) for i, p in enumerate(world.weights["season"]) if weather != "snow" or i == WINTER]


def _food(world: World, key: Any) -> Weighted:
    """A food that can have the taste told before; the favourite one is more frequent."""
    person, taste = key
    foods = _mixture(world, "food", () if person == ME else (world.people[person].food,))
    return foods if taste is None else [(p, f) for p, f in foods if f in world.flavours[taste]]


def _undescribed(kind: str) -> Slot:
    """A place of the town whose fact of `kind` has not been told yet."""
    return Slot("place", lambda s: tuple(p for p in s.mapped if (p, kind) not in s.told), lambda w, k: _even(k))


def _unmapped(world: World, key: Any) -> Weighted:
    town, mapped = key
    return _even(p for p in world.towns[town].spots if p not in mapped)


def _direction(world: World, key: Any) -> Weighted:
    town, place, reference, mapped = key
    references = mapped if reference is None else (reference,)
    return [(1.0, world.direction(town, place, r)) for r in references if r != place]


def _reference(world: World, key: Any) -> Weighted:
    town, place, side, mapped = key
    return _even(r for r in mapped if side is None or world.direction(town, place, r) == side)


def _untold(name: str, kind: str) -> Slot:
    """One of a list of facts of the subject that has not been told yet."""

    def key(scene: Scene) -> Hashable:
        who = scene.subject
        return tuple(v for v in getattr(scene.world.people[who], name) if (who, name, v) not in scene.owned_told)

    return Slot(kind, key, lambda w, k: _even(k))


SLOTS: dict[str, Slot] = {
    **{k: _table(k) for k in (
        "manner", "gait", "travel", "gesture", "look", "meal", "encounter", "idle", "handle", "deed",
        "toward", "joint", "glad", "sad", "body", "season", "creature_act", "then", "reaction", "pity", "drink",
)},
    "daytime": Slot("daytime", lambda s: None, lambda w, k: _but(w, "daytime", 0)),
    "early": Slot("daytime", lambda s: None, lambda w, k: _but(w, "daytime", 4, 5)),
    "any_daytime": _table("daytime"),
    # people
    "who": Slot("person", _who_key, _who_values, sets_subject=True),
    "hero": Slot("person", lambda s: None, _anyone, sets_subject=True),
    "speaker": Slot("person", lambda s: None, _anyone, sets_subject=True),
    "self": Slot("person", _self, lambda w, p: [(1.0, (p, "name"))]),
    "same": Slot("person", lambda s: (s.subject, s.pronoun_for(s.subject)),
                 lambda w, k: [(1.0, (k[0], "pronoun" if k[1] else "name"))]),
    "shown": Slot("person", lambda s: (s.subject, s.pronoun_for(s.subject)),
                  lambda w, k: [(1.0, (k[0], "name"))] + ([(3.0, (k[0], "pronoun"))] if k[1] else [])),
    "new": Slot("person", _new_key, _new_values),
    "mate": _named(lambda s: s.mates()),
    "named_mate": _named(lambda s: [p for p in s.mates() if p != ME]),
    "away": _named(lambda s: s.away()),
    "other": _named(lambda s: [p for p in s.cast if p not in (s.subject, ME)]),
    "back": Slot("person", lambda s: tuple(p for p in s.cast if p != s.subject),
                 lambda w, k: [(1.0, (p, "name")) for p in k], sets_subject=True),
    "promised": _named(lambda s: [s.promise[s.subject][0]]),
    "partner": Slot("person", lambda s: s.subject, _partner),
    "listener": Slot("person", lambda s: s.listener, lambda w, p: [(1.0, (p, "name"))]),
    "third": Slot("person", lambda s: (s.subject, s.listener), _third),
    "asked": Slot("person", lambda s: s.chat_third, lambda w, p: [(1.0, (p, "name"))]),
    "asked_trait": Slot("trait", lambda s: s.chat_third, lambda w, p: [(1.0, w.people[p].trait)]),
    "resident": Slot("person", residents, lambda w, k: [(1.0, (p, "name")) for p in k]),
    "neighbour": Slot("person", lambda s: (s.subject, s.cast),
                      lambda w, k: [(1.0, (p, "name")) for p in w.people[k[0]].circle if p not in k[1]]),
    "person": Slot("person", lambda s: None, _anyone),  # filled by the tasks
    # facts of the subject
    "trait": _fact("trait", lambda w, p: w.people[p].trait),
    "home": _fact("town", lambda w, p: w.people[p].home),
    "job": _fact("job", lambda w, p: w.people[p].job),
    "favourite": _fact("food", lambda w, p: w.people[p].food),
    "colour": _fact("colour", lambda w, p: w.people[p].colour),
    "hobby": _fact("hobby", lambda w, p: w.people[p].hobby),
    "pet": _fact("pet", lambda w, p: w.people[p].pet[0]),
    "pet_name": _fact("pet_name", lambda w, p: w.people[p].pet[1]),
    "friend": _fact("person", lambda w, p: (w.people[p].friend, "name")),
    "treasure": _fact("item", lambda w, p: w.people[p].treasure),
    "dream": _fact("town", lambda w, p: w.people[p].dream),
    "visited": _untold("visited", "town"),
    "haunts": _untold("haunts", "place"),
    "likes": _untold("likes", "food"),
    "dislikes": _untold("dislikes", "food"),
    "owns": _untold("owns", "item"),
    "since": Slot("daytime", lambda s: s.daytime,
                  lambda w, k: _even(range(k + 1 if k >= 0 else max(1, len(w.words["daytime"]) - 1)))),
    "tie": Slot("tie", lambda s: (s.subject, s.bound.get("neighbour")), lambda w, k: _tie(w, k)),
    # things
    "taste": Slot("taste", lambda s: None, lambda w, k: [(p, i) for i, p in enumerate(w.weights["taste"]) if w.flavours[i]]),
    "food": Slot("food", lambda s: (_known(s, "food"), s.bound.get("taste")), _food),
    "food2": Slot("food", lambda s: s.bound["food"], lambda w, k: _but(w, "food", k)),
    "food3": Slot("food", lambda s: (s.bound["food"], s.bound["food2"]), lambda w, k: _but(w, "food", *k)),
    **_item_slots("found", "thing", lambda s: s.here(), lambda w, k: w.places[k].items),
    **_item_slots("wanted", "thing", lambda s: None, _all_items),
    **_item_slots("sold", "thing", lambda s: s.bound.get("shop"), _sold),
    **_item_slots("sold_any", "thing", lambda s: None, _all_items),
    **_item_slots("standing", "fixture", lambda s: s.here(), lambda w, k: w.places[k].fixtures),
    "held": Slot("item", _held, lambda w, k: _even(k)),
    "lost": Slot("item", lambda s: s.lost[s.subject], lambda w, k: [(1.0, k)]),
    "goal": Slot("item", lambda s: s.goal[s.subject], lambda w, k: [(1.0, k)]),
    "promised_item": Slot("item", lambda s: s.promise[s.subject][1], lambda w, k: [(1.0, k)]),
    "gift": _two_ends("gift", "giver", _gifts),
    "giver": _two_ends("giver", "gift", _gifts),
    "far_gift": Slot("item", _gifts_elsewhere, lambda w, k: _even(dict.fromkeys(p[0] for p in k))),
    "q_giver": Slot("person", lambda s: _topic(s)[2], lambda w, k: [(1.0, (k, "name"))]),
    "q_place": Slot("place", lambda s: _topic(s)[3], lambda w, k: [(1.0, k)]),
    "bought": _two_ends("bought", "origin", _purchases),
    "origin": _two_ends("origin", "bought", _purchases),
    "chat_item": Slot("item", lambda s: s.chat_item, lambda w, k: [(1.0, k[1])]),
    "own_origin": Slot("place", lambda s: s.chat_item, lambda w, k: [(1.0, k[2])]),
    "options": Slot("food", lambda s: s.options, lambda w, k: _even(k)),
    # places
    "place": Slot("place", _place_key, _place_values),
    "shop": Slot("place", lambda s: (s.bound.get("sold_quality"), s.bound.get("sold_thing")), _selling),
    "here": Slot("place", lambda s: s.here(), lambda w, k: [(1.0, k)]),
    "clue": Slot("place", lambda s: s.clue[s.subject], lambda w, k: [(1.0, k)]),
    "before_last": _last_two(-2),
    "last": _last_two(-1),
    "first_place": Slot("place", lambda s: s.visits[s.subject][0], lambda w, k: [(1.0, k)]),
    "invited": Slot("place", lambda s: s.invited, lambda w, k: [(1.0, k)]),
    "place_mood": Slot("place_mood", lambda s: s.here(),
                       lambda w, k: _mixture(w, "place_mood", w.places[k].moods)),
    "season_mood": _table("season_mood"),
    "creature_any": _table("creature"),
    "creature": Slot("creature", lambda s: s.here(), lambda w, k: _mixture(w, "creature", w.places[k].creatures)),
    # towns
    "town": Slot("town", lambda s: None, lambda w, k: _even(range(len(w.towns)))),
    "this_town": Slot("town", lambda s: s.town, lambda w, k: [(1.0, k)]),
    "town_mood": Slot("town_mood", lambda s: s.bound["town"], lambda w, k: [(1.0, w.towns[k].mood)]),
    "town_kind": Slot("town_kind", lambda s: s.bound["town"], lambda w, k: [(1.0, w.towns[k].kind)]),
    "side": Slot("side", lambda s: s.bound["town"], lambda w, k: [(1.0, w.towns[k].side)]),
    "famous": Slot("food", lambda s: s.town, lambda w, k: [(1.0, w.towns[k].famous)]),
    "spot": Slot("place", lambda s: (s.town, s.mapped), _unmapped),
    "direction": Slot("side", lambda s: (s.town, s.bound["spot"], s.bound.get("reference"), s.mapped), _direction),
    "reference": Slot("place", lambda s: (s.town, s.bound["spot"], s.bound.get("direction"), s.mapped), _reference),
    "mapped": Slot("place", lambda s: s.mapped, lambda w, k: _even(k)),
    "bare": _undescribed("fixture"),
    "silent": _undescribed("sells"),
    "plain": _undescribed("mood"),
    "empty": _undescribed("creature"),
    "spot_quality": Slot("quality", lambda s: (s.town, s.bound["bare"]),
                         lambda w, k: [(1.0, w.towns[k[0]].fixtures[k[1]][0])]),
    "spot_fixture": Slot("fixture", lambda s: (s.town, s.bound["bare"]),
                         lambda w, k: [(1.0, w.towns[k[0]].fixtures[k[1]][1])]),
    "sells": Slot("food", lambda s: (s.town, s.bound["silent"]),
                  lambda w, k: [(1.0, w.towns[k[0]].sells[k[1]])]),
    "spot_mood": Slot("place_mood", lambda s: s.bound["plain"],
                      lambda w, k: _mixture(w, "place_mood", w.places[k].moods)),
    "spot_creature": Slot("creature", lambda s: s.bound["empty"], lambda w, k: _even(w.places[k].creatures)),
    # time and weather
    "weather": Slot("weather", lambda s: (s.weather, s.daytime == 5, s.bound.get("year", s.season)), _new_weather),
    "year": Slot("season", lambda s: s.bound.get("weather"), _season_of),
    "later": Slot("daytime", lambda s: s.daytime,
                  lambda w, k: _even(range(k + 1, len(w.words["daytime"])))),
}  # fmt: skip


def _tie(world: World, key: Any) -> Weighted:
    subject, neighbour = key
    person = world.people[subject]
    return [(1.0, t) for p, t in zip(person.circle, person.ties) if neighbour is None or p == neighbour[0]]
