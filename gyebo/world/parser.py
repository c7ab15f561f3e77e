"""The probability of a text, computed from the text alone: the sum over all derivations of the grammar.

Independent of the sampler: it does not know how a text was generated, and shares only `branches`, `table` and `take` of the
grammar. At each state it follows every string that the rest of the text starts with.
"""

from __future__ import annotations

import math
from typing import Any

from gyebo.world.grammar import MAX_TABLES, Grammar, Table
from gyebo.world.scene import Scene


class Parser:
    """Parses texts of one grammar. Caches an index of the choice tables (strings by length)."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._indexes: dict[Table, tuple[tuple[int, ...], dict[str, int]]] = {}

    def _matches(self, table: Table, text: str, at: int) -> list[int]:
        """Indices of the strings of `table` that occur in `text` at `at`."""
        strings = table.strings
        if len(strings) == 1:
            return [0] if text.startswith(strings[0], at) else []
        if table not in self._indexes:
            if len(self._indexes) >= MAX_TABLES:
                self._indexes.clear()
            self._indexes[table] = (tuple(sorted({len(s) for s in strings})), {s: i for i, s in enumerate(strings)})
        lengths, index = self._indexes[table]
        found = []
        for length in lengths:
            i = index.get(text[at : at + length])
            if i is not None and len(strings[i]) == length:  # near the end a longer slice is the same string
                found.append(i)
        return found

    def log_probability(self, text: str, languages: tuple[str, ...] = ("ko", "en")) -> float:
        """Natural log of the probability of `text` as a whole document.

        Raises `ValueError` with the first offset (in characters) from which no sentence of the grammar continues.
        """
        grammar = self._grammar
        open_states: list[tuple[int, Scene, float]] = [
            (0, grammar.start(language), -math.log(len(languages))) for language in languages
        ]
        finished: list[float] = []
        furthest = 0
        while open_states:
            at, scene, log = open_states.pop()
            furthest = max(furthest, at)
            fan = grammar.branches(scene)
            options: list[tuple[Any, Any, int, float]] = []
            for branch, branch_log in zip(fan.branches, fan.logs):
                if grammar.ends(branch):
                    if at == len(text):
                        finished.append(log + branch_log)
                    continue
                table = grammar.table(scene, branch)
                for i in self._matches(table, text, at):
                    options.append((branch, table.values[i], at + len(table.strings[i]), branch_log + table.logs[i]))
            for n, (branch, value, end, option_log) in enumerate(options):
                state = scene if n == len(options) - 1 else scene.copy()
                grammar.take(state, branch, value)
                open_states.append((end, state, log + option_log))
        if not finished:
            shown = text[furthest : furthest + 20]
            raise ValueError(f"the world's grammar can't generate this text from character {furthest} on: {shown!r}")
        top = max(finished)
        return top + math.log(math.fsum(math.exp(f - top) for f in finished))
