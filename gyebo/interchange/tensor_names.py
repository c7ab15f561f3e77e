"""How a family is called in a Hugging Face directory: what a table of names holds, and the one engine that reads it.

A table is data: each tensor with its two names, each field of `config.json` with its two names. Whatever a file holds that
no table mentions is an error that names it, so that nothing which changes the computation is skipped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from gyebo.interchange.format import Architecture, Format, Source, Weight


def our_names(table: Format, theirs: Iterable[str], where: str, architecture: Architecture | None = None) -> dict[str, Source]:
    """{our name: where it lies} of a file's tensors, those of an architecture's head included.

    Raises ValueError naming tensors that the table does not know, that stand twice, or that lack the others of a join.
    """
    found: dict[str, tuple[Weight, list[str], dict[str, str]]] = {}  # our name -> row, layers, {pattern: their name}
    unknown = []
    for name in sorted(theirs):
        today = _today(table, name)
        if any(_match(pattern, today.removeprefix(table.base)) is not None for pattern in table.dropped):
            continue
        for weight in _weights(table, architecture):
            bare = today if weight.head else today.removeprefix(table.base)
            pattern, layers = _first_match((*weight.names, *weight.copies), bare)
            if layers is not None:
                *_, places = found.setdefault(_fill(weight.ours, layers), (weight, layers, {}))
                if pattern in places:
                    raise ValueError(f"{where}: {places[pattern]} and {name} are the same tensor: which one counts?")
                places[pattern] = name
                break
        else:
            unknown.append(name)
    if unknown:
        known = "" if architecture is None else f" ({architecture.name})"
        raise ValueError(f"{where}: {some(unknown)}: no such tensor in {table.model_type}{known}")
    return {ours: _source(*entry, where) for ours, entry in found.items()}


def _source(weight: Weight, layers: list[str], places: Mapping[str, str], where: str) -> Source:
    """Where a tensor lies of which these names were found; one that is stored more than once may be there once only."""
    copies = [places[pattern] for pattern in weight.copies if pattern in places]
    names = [places[pattern] for pattern in weight.names if pattern in places]
    if not names:
        names, copies = copies[:1], copies[1:]
    elif len(names) < len(weight.names):
        absent = next(pattern for pattern in weight.names if pattern not in places)
        raise ValueError(f"{where}: {names[0]} is in the weights, but {_fill(absent, layers)}, which belongs to it, is missing")
    return Source(tuple(names), weight.transpose, tuple(copies), weight.part, weight.row)


def their_names(table: Format, ours: str, architecture: Architecture | None = None) -> Source:
    """Where one of our tensors lies in a file that is written; KeyError for one that the table does not know."""
    for weight in _weights(table, architecture):
        layers = _match(weight.ours, ours)
        if layers is not None:
            prefix = "" if weight.head or (architecture is not None and architecture.bare) else table.base
            names, copies = (
                tuple(prefix + _fill(pattern, layers) for pattern in patterns) for patterns in (weight.names, weight.copies)
            )
            return Source(names, weight.transpose, copies, weight.part, weight.row)
    raise KeyError(f"{ours}: not in the table of names of {table.family}")


def _weights(table: Format, architecture: Architecture | None) -> tuple[Weight, ...]:
    return table.weights if architecture is None else table.weights + architecture.weights


def _today(table: Format, name: str) -> str:
    """A name as files have it today."""
    for old, new in table.renamed.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for an error line."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _first_match(patterns: Iterable[str], name: str) -> tuple[str, list[str] | None]:
    """The first pattern that a name fits, and the layer numbers there; None where it fits none."""
    for pattern in patterns:
        layers = _match(pattern, name)
        if layers is not None:
            return pattern, layers
    return "", None


def _match(pattern: str, name: str) -> list[str] | None:
    """The layer numbers where a name fits a pattern, else None."""
    found = _compiled(pattern).fullmatch(name)
    return list(found.groups()) if found else None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", r"(0|[1-9][0-9]{0,8})"))


def _fill(pattern: str, layers: list[str]) -> str:
    for layer in layers:
        pattern = pattern.replace("*", layer, 1)
    return pattern
