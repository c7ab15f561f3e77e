"""Documents of the world, and the probability of a text."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from gyebo.world.facts import make_world
from gyebo.world.grammar import LANGUAGES, Grammar
from gyebo.world.parser import Parser
from gyebo.world.sampler import sample


@dataclass(frozen=True)
class Document:
    """One document. `log_probability` is a natural log; it includes the end of the document and, if both languages are
    possible, the choice of language."""

    text: str
    language: str
    log_probability: float


@lru_cache(maxsize=4)
def grammar(world_seed: int = 0) -> Grammar:
    """The full grammar of a world (cached, because it caches its tables)."""
    return Grammar(make_world(world_seed))


@lru_cache(maxsize=4)
def _parser(world_seed: int) -> Parser:
    return Parser(grammar(world_seed))


def checked(languages: tuple[str, ...]) -> tuple[str, ...]:
    """`languages` in the grammar's order; `ValueError` for anything but ko and en, or for none."""
    languages = tuple(languages)
    if not languages or len(set(languages)) != len(languages) or not set(languages) <= set(LANGUAGES):
        raise ValueError(f"languages: found {languages!r}; give ('ko',), ('en',) or ('ko', 'en')")
    return tuple(sorted(languages, key=LANGUAGES.index))


def indices(count: int, start: int) -> range:
    """The indices `start` to `start + count`; `ValueError` where one of them is negative."""
    if count < 0 or start < 0:
        raise ValueError(f"count and start must not be negative: found count={count}, start={start}")
    return range(start, start + count)


def documents(
    count: int, *, seed: int = 0, start: int = 0, languages: tuple[str, ...] = LANGUAGES, world_seed: int = 0
) -> Iterator[Document]:
    """Documents `start` to `start + count` of a stream. Document i depends on (world_seed, languages, seed, i) only.

    `world_seed` determines the facts, so that streams of different `seed` describe the same world.
    """
    languages = checked(languages)
    machine = grammar(world_seed)
    for i in indices(count, start):
        rng = random.Random(f"gyebo document {'+'.join(languages)} {seed} {i}")
        yield Document(*sample(machine, languages, rng))


def log_probability(text: str, *, world_seed: int = 0, languages: tuple[str, ...] = LANGUAGES) -> float:
    """Natural log of the probability of `text` as a document, computed from the text alone (see `parser`).

    Raises `ValueError` with the first offset (in characters) from which the grammar can't generate the text.
    """
    return _parser(world_seed).log_probability(text, checked(languages))
