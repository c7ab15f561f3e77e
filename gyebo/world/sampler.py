"""Draws documents from a grammar: at each state one branch and one of its strings, by their probabilities."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from gyebo.world.grammar import Grammar, Row
from gyebo.world.scene import Scene


def walk(grammar: Grammar, scene: Scene, rng: random.Random) -> Iterator[tuple[str, float, Row | None]]:
    """From `scene` to the end of the document: (string, natural log of its probability, row completed or None).

    `scene` is changed in place; the last string is empty, the choice to end.
    """
    draw, branches, table_of, take = rng.random, grammar.branches, grammar.table, grammar.take
    while True:
        fan = branches(scene)
        log = 0.0
        if len(fan.branches) == 1:
            branch = fan.branches[0]
        else:
            at = bisect_right(fan.cumulative, draw())
            branch, log = fan.branches[at], fan.logs[at]
        table = table_of(scene, branch)
        at = bisect_right(table.cumulative, draw()) if len(table.strings) > 1 else 0
        value: Any = table.values[at]
        row = take(scene, branch, value)
        yield table.strings[at], log + table.logs[at], row
        if grammar.ends(branch):
            return


def sample(grammar: Grammar, languages: tuple[str, ...], rng: random.Random) -> tuple[str, str, float]:
    """One document: (text, language, natural log of its probability, the choice of language and the end included)."""
    language = languages[0] if len(languages) == 1 else languages[int(rng.random() * len(languages))]
    pieces, logs = [], [-math.log(len(languages))]
    for string, log, _ in walk(grammar, grammar.start(language), rng):
        pieces.append(string)
        logs.append(log)
    return "".join(pieces), language, math.fsum(logs)
