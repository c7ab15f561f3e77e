"""The table of formats, by `model_type`, found family by family.

A family's tables are in the `FORMATS` of `gyebo/interchange/families/NAME.py`, or of its parent's file where it has none of its
own. A family registered from outside puts its table into `FORMATS` here, as its line into `gyebo.models.family.FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gyebo.interchange import families
from gyebo.interchange.format import Architecture, Format, Source
from gyebo.interchange.task_heads import with_heads
from gyebo.models.family import FAMILIES, find, nearest
from gyebo.tasks import linear


def home(family: str) -> str | None:
    """The module that holds a family's tables: that of its name, else that of a parent; None where there is none."""
    module = f"{families.__name__}.{family}"
    if find_spec(module) is not None:
        return module
    return next((found for parent in find(family).parents if (found := home(parent)) is not None), None)


def _own_formats(family: str) -> list[Format]:
    module = home(family)
    return [] if module is None else [table for table in import_module(module).FORMATS if table.family == family]


FORMATS: dict[str, Format] = {table.key: table for family in FAMILIES for table in _own_formats(family)}

_REFUSED: dict[Any, str] = {kind: why for table in FORMATS.values() for kind, why in table.refused.items()}


def formats_of(family: str) -> list[Format]:
    """A family's tables, with the classes of its fine-tuned models, in the order in which one that fits is looked for."""
    return [with_heads(table) for table in FORMATS.values() if table.family == family]


def find_format(given: Mapping[str, Any], where: str) -> tuple[Format, Architecture | None]:
    """The table for a parsed `config.json` and its class there, None where it names none; ValueError where gyebo has none."""
    kind, classes = given.get("model_type"), given.get("architectures") or []
    if not isinstance(classes, list) or not all(isinstance(entry, str) for entry in classes) or len(classes) > 1:
        raise ValueError(f"{where}: architectures must name one class, but is {classes!r} instead")
    if kind is None and classes:
        kind = next((table.model_type for table in FORMATS.values() if with_heads(table).architecture(classes[0])), None)
    elif kind is None:
        told = (table for table in FORMATS.values() if table.told_by and set(table.told_by) <= set(given))
        kind = next((table.model_type for table in told), None)
    found = [with_heads(table) for table in FORMATS.values() if table.model_type == kind]
    if not found:
        kind = given.get("model_type")
        if kind == linear.MODEL_TYPE:
            raise ValueError(
                f"{where}: a linear baseline, not a network: gyebo.tasks.linear.load opens it, gyebo predict asks it"
            )
        if kind in _REFUSED:
            raise ValueError(f"{where}: model_type {kind} is not supported: {_REFUSED[kind]}")
        hint = nearest(kind, FORMATS) if isinstance(kind, str) else f". There is: {', '.join(FORMATS)}"
        raise ValueError(f"{where}: model_type {kind!r} is none that gyebo opens{hint}")
    table = max(found, key=lambda one: _agrees(one, classes, given))  # the first of several
    architecture = table.architecture(classes[0], given) if classes else None
    if classes and architecture is None:
        known = ", ".join(entry.name for entry in table.architectures)
        raise ValueError(f"{where}: architectures {classes[0]} is not supported, only {known}")
    return table, architecture


def _agrees(table: Format, classes: list[str], given: Mapping[str, Any]) -> tuple[bool, int]:
    """How well a table fits a parsed `config.json` of its `model_type`: whether it knows the class, and how many fields say
    what it writes."""
    known = all(table.architecture(name) is not None for name in classes)
    return known, sum(name in given and given[name] == value for name, value in table.written.items())


def found_parts(table: Format, architecture: Architecture | None, names: Mapping[str, Source]) -> dict[str, bool]:
    """Which parts a model has: those of its class, and those whose tensors are in the file (Google's files of BERT name a class
    with one head and hold two)."""
    found = {source.part for source in names.values()} | set(architecture.parts if architecture else ())
    return {part: part in found for part in table.parts}


def refuse_pickles(directory: Path) -> None:
    """ValueError that says what to do where a directory has no weights but pickled modules in which a family was published."""
    if any(directory.glob("*.safetensors")):
        return
    for table in FORMATS.values():
        for name, what in table.pickles.items():
            if (directory / name).is_file():
                raise ValueError(f"{directory / name}: a pickle, which could run anything and is never opened: {what}")
