"""What sentences about scenes say: `sentences.in_words` the other way round, and a scene from what is known of its picture.

So a text that a model wrote about a picture can be judged: whether all that it says holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import permutations, product

from gyebo.world import korean, lexicon
from gyebo.world.pictures.scenes import ATTRIBUTES, VALUES, Scene, Thing, is_faced, is_shaped
from gyebo.world.pictures.sentences import RELATION_WORDS, Described, Description, holds, noun_phrase, stands

Region = tuple[str, Mapping[str, str], tuple[float, float, float, float]]  # label and attributes in English, and the box
Words = dict[str, object]  # as they stand in a text -> what they mean

# The forms of sentences: slots and words. "A", "B": a thing, "C": one that stands with others; a slot in brackets may be empty.
_MOST = 3  # things of a list
_KOREAN = (
    "(place에) 물건이 count 있다",
    "(place에) 물건 count",
    "(place의) B side에 있는 A",
    "A이 (place의) B side에 있다",
    "(place의) B side에 A이 있다",
    *(f"(place에) {'C과 ' * n}C이 {verb}" for n in range(_MOST) for verb in ("있다", "보인다")),
    *(f"{place}{'C과 ' * n}C" for n in range(_MOST) for place in ("", "place에 있는 ")),
)
_LISTS = ("C", "C and C", "C , C and C")
_ENGLISH = (
    *(f"{verb}count {things} (place)" for verb in ("there is ", "there are ", "") for things in ("thing", "things")),
    *(f"A {verb}side B (place)" for verb in ("is ", "")),
    *(f"{verb}{things} (place)" for verb in ("there is ", "there are ", "") for things in _LISTS),
)


def read(text: str) -> Description | None:
    """What a sentence or phrase about a scene says, in either language; None for any other text."""
    words = text.strip().removesuffix(".").replace(", ", " , ").split(" ")
    if words and words[0]:
        words[0] = words[0][0].lower() + words[0][1:]
    for language, forms in (("ko", _KOREAN), ("en", _ENGLISH)):
        tables = _tables(language)
        for form in forms:
            for found in _matches(form.split(" "), words, tables):
                return _said(found)
    return None


def _matches(form: Sequence[str], words: Sequence[str], tables: Mapping[str, Words]) -> Iterator[list[tuple[str, object]]]:
    """What stands in the slots of a form, in all ways in which it fits the words."""
    if not form:
        if not words:
            yield []
        return
    slot, rest = form[0], form[1:]
    if slot.startswith("("):
        yield from _matches(rest, words, tables)
        slot = slot[1:-1]
    if slot not in tables:
        if words and words[0] == slot:
            yield from _matches(rest, words[1:], tables)
        return
    for count in range(1, len(words) + 1):
        meant = tables[slot].get(" ".join(words[:count]))
        if meant is not None:
            for others in _matches(rest, words[count:], tables):
                yield [(slot, meant), *others]


def _said(found: list[tuple[str, object]]) -> Description:
    values = {slot.rstrip("에의이과"): meant for slot, meant in found}
    things = [meant for slot, meant in found if slot[0] in "C"] or [values[name] for name in "AB" if name in values]
    return Description(tuple(things), *(values.get(name) for name in ("side", "place", "count")))  # type: ignore[arg-type]


@lru_cache(maxsize=2)
def _tables(language: str) -> dict[str, Words]:
    """Slot -> how it can be filled."""
    at = 0 if language == "ko" else 1
    things: Words = {noun_phrase(told, language): told for told in _all_described()}
    places = {words[at]: number for number, words in enumerate(VALUES["place"])}
    sides = {words[at]: name for name, words in RELATION_WORDS.items()}
    counts: Words = {words[at]: number for number, words in enumerate(lexicon.COUNTS, 1)}
    if language == "en":
        there = {f"{'on' if place == 'beach' else 'in'} the {place}": number for place, number in places.items()}
        return {"A": things, "B": things, "C": things, "place": dict(there), "side": dict(sides), "count": counts}

    def ending(name: str) -> Callable[[str], str]:
        return lambda words: korean.particle(words, name)

    found: dict[str, Words] = {"A": things, "B": things, "C": things, "count": counts}
    for slot, table, name in (
        ("A이", things, "이"),
        ("C이", things, "이"),
        ("C과", things, "과"),
        ("place에", places, "에"),
        ("place의", places, "의"),
        ("side에", sides, "에"),
    ):
        found[slot] = {ending(name)(words): meant for words, meant in table.items()}
    return found


def _all_described() -> Iterator[Described]:
    """Every thing with every part of what can be told of it."""
    for thing in range(len(VALUES["thing"])):
        able = {"shape": is_shaped(thing), "mood": is_faced(thing)}
        choices = [(None, *range(len(VALUES[name]))) if able.get(name, True) else (None,) for name in ATTRIBUTES]
        for values in product(*choices):
            told = tuple((name, value) for name, value in zip(ATTRIBUTES, values) if value is not None)
            yield Described((("thing", thing), *told))


def right_facts(description: Description, scene: Scene) -> tuple[int, int]:
    """How many facts of a description are those of a scene, and how many it tells. Each thing that is described is taken for
    one of the scene, no two for the same, so that most are right; one that has none left is wrong, and so is its relation."""
    things, relation = description.things, description.relation
    others = {"place": scene.place, "count": len(scene.things)}
    told = {name: value for name in others if (value := getattr(description, name)) is not None}
    count = sum(len(thing.values) for thing in things) + (relation is not None) + len(told)
    best = 0
    for chosen in permutations([*scene.things, *[None] * len(things)], len(things)):
        pairs = [(thing, meant) for thing, meant in zip(things, chosen) if meant is not None]
        right = sum(meant.value(name) == value for thing, meant in pairs for name, value in thing.values)
        if relation is not None and len(pairs) == 2:
            right += stands(pairs[0][1], relation, pairs[1][1], scene.column)
        best = max(best, right)
    return best + sum(others[name] == value for name, value in told.items()), count


def scene_of(regions: Sequence[Region], captions: Sequence[str]) -> Scene | None:
    """The scene of a picture with these regions and true captions, from which its place is known, if any tells it. None where
    they are not those of a picture of the world: a name that it has not, a caption that can't be read or does not hold."""
    numbers = {name: {english: number for number, (_, english) in enumerate(VALUES[name])} for name in VALUES}
    said = [read(caption) for caption in captions]
    things = []
    for label, attributes, box in regions:
        values = {name: numbers[name].get(value) for name, value in attributes.items() if name in numbers}
        kind = numbers["thing"].get(label)
        if kind is None or None in values.values() or len(values) < len(attributes) or not {"colour", "size"} <= set(values):
            return None
        things.append(
            Thing(kind, values["colour"], values["size"], values.get("shape"), values.get("mood"), box)  # type: ignore[arg-type]
        )
    places = {description.place for description in said if description is not None} - {None}
    if not things or not captions or None in said or len(places) > 1:
        return None
    scene = Scene(tuple(things), next(iter(places), -1), _is_column([box for *_, box in regions]))  # type: ignore[arg-type]
    return scene if all(holds(description, scene) for description in said if description is not None) else None


def _is_column(boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    """Whether two things stand above each other: what is beside each other overlaps in height."""
    if len(boxes) != 2:
        return False
    (_, top, _, bottom), (_, other_top, _, other_bottom) = boxes
    return bottom <= other_top or other_bottom <= top
