"""Samples documents from a grammar: at each state one branch and one of its strings, by their probabilities."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from typing import Any

from gyebo.world.grammar import Branch, Grammar
from gyebo.world.scene import Scene


def draw(grammar: Grammar, scene: Scene, rng: random.Random) -> tuple[Branch, Any, str, float]:
    """One choice at a state, not yet taken: (branch, value, string, natural log of its probability)."""
    fan = grammar.branches(scene)
    branches = fan.branches
    at = bisect_right(fan.cumulative, rng.random()) if len(branches) > 1 else 0
    table = grammar.table(scene, branches[at])
    i = bisect_right(table.cumulative, rng.random()) if len(table.strings) > 1 else 0
    return branches[at], table.values[i], table.strings[i], fan.logs[at] + table.logs[i]


def sample(grammar: Grammar, languages: tuple[str, ...], rng: random.Random) -> tuple[str, str, float]:
    """One document: (text, language, natural log of its probability, including the choice of language and the end)."""
    language = languages[int(rng.random() * len(languages))]
    scene = grammar.start(language)
    pieces, logs = [], [-math.log(len(languages))]
    while True:
        branch, value, string, log = draw(grammar, scene, rng)
        grammar.take(scene, branch, value)
        pieces.append(string)
        logs.append(log)
        if grammar.ends(branch):
            return "".join(pieces), language, math.fsum(logs)
