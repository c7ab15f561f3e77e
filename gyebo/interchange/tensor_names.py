"""The engine that reads a table's names of tensors, in both directions.

A table is data: each tensor with its two names. Whatever a file holds that no table mentions is an error that names it, so that
nothing which changes the computation is skipped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache

from torch import Tensor

from gyebo.interchange.format import Architecture, Format, Source, Weight
from gyebo.interchange.hooks import LazyTensor, Options, Tensors


def names_today(table: Format, stored: Iterable[str], where: str, architecture: Architecture | None = None) -> dict[str, str]:
    """{name as files have it today, without the prefix of the body: name in this file}; tensors without weights are left out.

    Raises ValueError for two names of one tensor.
    """
    found: dict[str, str] = {}
    for name in sorted(stored):
        today = _today(table, name)
        bare = today.removeprefix(table.base)
        if any(_match(pattern, bare) is not None for pattern in table.dropped):
            continue
        if _beside(table, bare, architecture):
            bare = today
        if bare in found:
            raise ValueError(f"{where}: {found[bare]} and {name} are the same tensor: which one counts?")
        found[bare] = name
    return found


def our_names(
    table: Format, theirs: Mapping[str, str], where: str, architecture: Architecture | None = None
) -> dict[str, Source]:
    """{our name: where it lies} of tensors, those of an architecture's head included; `theirs`: {name: what errors call it}.

    Raises ValueError naming tensors that the table does not know, or that lack the others of a join.
    """
    found: dict[str, tuple[Weight, list[str], dict[str, str]]] = {}  # our name -> row, layers, {pattern: their name}
    unknown = []
    for name, called in theirs.items():
        for weight in _weights(table, architecture):
            pattern, layers = _first_match((*weight.names, *weight.copies), name)
            if layers is not None:
                *_, places = found.setdefault(_fill(weight.ours, layers), (weight, layers, {}))
                places[pattern] = name
                break
        else:
            unknown.append(called)
    if unknown:
        known = "" if architecture is None else f" ({architecture.name})"
        raise ValueError(f"{where}: {some(unknown)}: no such tensor in {table.model_type}{known}")
    for weight, layers, places in found.values():
        absent = [_fill(pattern, layers) for pattern in weight.names if pattern not in places]
        joined = [theirs[places[pattern]] for pattern in weight.names if pattern in places]
        if joined and absent:
            raise ValueError(f"{where}: {joined[0]} is in the weights, but {absent[0]}, which belongs to it, is missing")
    return {ours: _source(weight, places) for ours, (weight, _, places) in found.items()}


def _source(weight: Weight, places: Mapping[str, str]) -> Source:
    """Where a tensor lies of which these names were found; one that is stored more than once may be there once only."""
    copies = [places[pattern] for pattern in weight.copies if pattern in places]
    names = [places[pattern] for pattern in weight.names if pattern in places]
    if not names:
        names, copies = copies[:1], copies[1:]
    return Source(tuple(names), weight.transpose, tuple(copies), weight.part)


def their_names(table: Format, ours: str, architecture: Architecture | None = None) -> Source:
    """Where one of our tensors lies in a file that is written; KeyError for one that the table does not know."""
    for weight in _weights(table, architecture):
        layers = _match(weight.ours, ours)
        if layers is not None:
            names, copies = (tuple(_fill(name, layers) for name in names) for names in (weight.names, weight.copies))
            return Source(names, weight.transpose, copies, weight.part)
    raise KeyError(f"{ours}: not in the table of names of {table.family}")


def their_tensors(
    table: Format, ours: Mapping[str, Tensor], options: Options, architecture: Architecture | None = None
) -> Tensors:
    """Our tensors as a file holds them, by their names without the prefix of the body; `options`: the fields of our config."""
    theirs: dict[str, LazyTensor] = {}
    for name, tensor in ours.items():
        source = their_names(table, name, architecture)
        parts = tensor.chunk(len(source.names)) if len(source.names) > 1 else (tensor,)
        stored = (*zip(source.names, parts), *((copy, tensor) for copy in source.copies))
        theirs |= {one: _lazy(part.T if source.transpose else part) for one, part in stored}
    return table.tensors.to_theirs(theirs, options)


def _lazy(tensor: Tensor) -> LazyTensor:
    return LazyTensor(lambda: tensor)


def full_name(table: Format, theirs: str, architecture: Architecture | None = None) -> str:
    """A tensor's name in a file of this class, with the prefix where it belongs to the body."""
    bare = architecture is not None and architecture.bare
    return theirs if bare or _beside(table, theirs, architecture) else table.base + theirs


def _beside(table: Format, theirs: str, architecture: Architecture | None) -> bool:
    """Whether a tensor belongs to a head, which stands beside the body and has no prefix."""
    heads = (weight for weight in _weights(table, architecture) if weight.head)
    return any(_match(pattern, theirs) is not None for weight in heads for pattern in (*weight.names, *weight.copies))


def _weights(table: Format, architecture: Architecture | None) -> tuple[Weight, ...]:
    return table.weights if architecture is None else architecture.weights + table.weights  # where both name one, its own


def _today(table: Format, name: str) -> str:
    """A name as files have it today, without what wrappers of a model put before it: `module.` those for several processes,
    `_orig_mod.` `torch.compile`, which may wrap a part."""
    name = name.replace("_orig_mod.", "")
    while name.startswith("module."):
        name = name.removeprefix("module.")
    for old, new in table.renamed.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def some(names: Iterable[str], most: int = 3) -> str:
    """The first names of many, for an error line."""
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _first_match(patterns: Iterable[str], name: str) -> tuple[str, list[str] | None]:
    """The first pattern that a name fits, and what stands there for its stars; None where it fits none."""
    for pattern in patterns:
        layers = _match(pattern, name)
        if layers is not None:
            return pattern, layers
    return "", None


def _match(pattern: str, name: str) -> list[str] | None:
    """What stands for the stars of a pattern where a name fits it, else None."""
    found = _compiled(pattern).fullmatch(name)
    return list(found.groups()) if found else None


_STARS = re.compile(r"\*\*?")
_MEANING = {"*": r"(0|[1-9][0-9]{0,8})", "**": r"(.+)"}  # the number of a layer; any name


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    literal = map(re.escape, _STARS.split(pattern))
    stars = (_MEANING[star] for star in _STARS.findall(pattern))
    return re.compile("".join(part for pair in zip(literal, [*stars, ""]) for part in pair))


def _fill(pattern: str, layers: list[str]) -> str:
    given = iter(layers)
    return _STARS.sub(lambda _: next(given), pattern)
