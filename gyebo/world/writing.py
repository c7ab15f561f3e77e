"""The text of the value of a slot: the word of its table in a language, with its particle, ending or article."""

from __future__ import annotations

from typing import Any

from gyebo.world import english, korean, lexicon
from gyebo.world.facts import World
from gyebo.world.scene import ME

_ME_KO = {
    "은": "나는", "이": "내가", "을": "나를", "에게": "나에게", "에게서": "나에게서", "과": "나와", "의": "내", "도": "나도",
    "": "나",
}  # fmt: skip
_VERBS = frozenset(
    [
        "travel",
        "gesture",
        "meal",
        "encounter",
        "idle",
        "handle",
        "deed",
        "toward",
        "joint",
        "hobby",
        "creature_act",
    ]
)
_ADJECTIVES = frozenset(["glad", "sad", "body", "trait", "place_mood", "town_mood", "season_mood"])
_IN = frozenset(["forest", "park", "orchard", "square", "botanical garden", "farm"])


def _irregular(phrase: str) -> str:
    return lexicon.IRREGULAR.get(phrase.rpartition(" ")[2], "")


def words(world: World, kind: str, value: Any) -> tuple[str, str]:
    """The Korean and the English base form of a value."""
    if kind == "town":
        town = world.towns[value]
        first, second = world.words["town_first"][town.first], world.words["town_second"][town.second]
        return f"{first[0]} {second[0]}", f"{first[1]} {second[1]}"
    if kind == "item":
        quality, thing = world.words["quality"][value[0]], world.words["thing"][value[1]]
        return f"{quality[0]} {thing[0]}", f"{quality[1]} {thing[1]}"
    return world.words[kind][value]


def _korean_person(world: World, value: tuple[int, str], form: str) -> str:
    who, style = value
    if who == ME:
        return _ME_KO[form]
    person = world.people[who]
    head, _, tail = form.partition(",")
    if head == "full":
        name, form = person.family[0] + person.given[0], tail
    elif style == "pronoun":
        name = "그녀" if person.woman else "그"
    else:
        name = person.given[0]
    return korean.particle(name, form) if form else name


def _english_person(world: World, value: tuple[int, str], form: str) -> str:
    who, style = value
    low = form.lower()
    if who == ME:
        return {"obj": "me", "his": "my"}.get(low, "I")
    person = world.people[who]
    if form == "full":
        return f"{person.given[1]} {person.family[1]}"
    if low == "his":
        return "her" if person.woman else "his"
    if low == "he" or style == "pronoun":
        pronoun = ("her" if person.woman else "him") if low == "obj" else ("she" if person.woman else "he")
        return pronoun.capitalize() if form[:1].isupper() else pronoun
    return person.given[1]


def _english_noun(kind: str, word: str, form: str) -> str:
    low = form.lower()
    if low == "a":
        text = english.article(word)
    elif low == "at" and kind == "daytime":
        text = f"at {word}" if word in ("dawn", "noon", "night") else f"in the {word}"
    elif low == "at":
        text = f"{'in' if word in _IN else 'at'} the {word}"
    elif low in ("the", "my", "that", "this"):
        text = f"{low} {word}"
    elif low == "plural":
        text = english.plural(word)
    elif low in ("", "cap"):
        text = word
    else:
        raise ValueError(f"unknown English form {form!r} of a {kind}")
    return text[0].upper() + text[1:] if form[:1].isupper() else text


def write(world: World, language: str, kind: str, value: Any, form: str) -> str:
    """`value` as text. Forms: a particle or ending in Korean; an article, case or tense in English."""
    if kind == "person":
        return (_korean_person if language == "ko" else _english_person)(world, value, form)
    if kind == "weather":
        at = {"past": 0, "going": 1, "begin": 2, "Begin": 2}[form]
        text = lexicon.WEATHER[value][at][0 if language == "ko" else 1]
        return text[0].upper() + text[1:] if form == "Begin" and language == "en" else text
    word = words(world, kind, value)[0 if language == "ko" else 1]
    if language == "en":
        return english.conjugate(word, form) if kind in _VERBS else _english_noun(kind, word, form)
    if kind in _VERBS or kind in _ADJECTIVES:
        return korean.conjugate(word, form, _irregular(word))
    if form == "날":
        return word + "날"
    if form.startswith("내"):  # "내,을": my ...
        word, form = f"내 {word}", form.partition(",")[2]
    return korean.particle(word, form) if form else word
