"""Where the sources of a run lie: `checkpoints/sources.json`, beside what it needs to go on, no part of what one publishes.

`run.toml`, cards and reports have the names as they were typed, of an absolute one only what says nothing of this machine
(`published`). This file has for each the absolute place, and the one relative to the run: the first holds wherever a command is
started from, the second where a folder was moved with the run in it. What is found there is compared by its fingerprint
(`gyebo/jobs/identity.py`).
"""

from __future__ import annotations

import glob
import json
import os
from pathlib import Path
from typing import Any, TypeVar

from gyebo.config import durable, toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions, scratch
from gyebo.config.run import Section, names_source
from gyebo.data import nlvr
from gyebo.data.sources import HUB, without_rows

FILE = "sources.json"

Options = TypeVar("Options", bound=Section)
Entry = dict[str, Any]  # names: as typed so far; absolute, relative: places


def refuse_names(options: Section, out: Path) -> None:
    """OptionError, before anything is read, for a name that a run's files can't hold: not UTF-8, or with a line break."""
    given = toml.flat(options.model_dump())
    for field, values in {**given, "out": str(out)}.items():
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                continue
            if any("\ud800" <= letter <= "\udfff" for letter in value):
                raise OptionError(f"‹{field}›={value!a}: is not UTF-8, so run.toml can't hold it: rename it")
            if (field == "out" or names_source(field)) and len(value.splitlines()) > 1:
                raise OptionError(f"‹{field}›={value!a}: has a line break in its name: rename it")


def published_name(name: str) -> str:
    """A name as files that are published show it: of an absolute path the part below the current directory, or else its last
    part."""
    prefix = nlvr.prefix_of(name)
    place, rows = without_rows(name.removeprefix(prefix))
    path = Path(place)
    if not path.is_absolute():
        return name
    here = Path.cwd()
    shown = str(path.relative_to(here)) if path.is_relative_to(here) and path != here else path.name
    shown = f"./{shown}" if ":" in shown and not prefix else shown  # otherwise FAMILY:SIZE, or a corpus of another kind
    return f"{prefix}{shown}" + (f"#{rows[0]}={rows[1]}" if rows else "")


def published(options: Options) -> Options:
    """The options with their sources' names as files that are published show them."""
    values = options.model_dump(exclude_unset=True)
    for field in filter(names_source, toml.flat(values)):
        owner, last = _owner(values, field)
        if names := [published_name(name) for name in _listed(owner[last])]:
            owner[last] = names if isinstance(owner[last], list) else names[0]
    return type(options).model_validate(values)


def placed(options: Options, out: Path, *, typed: bool) -> Options:
    """The options with the places where the sources are.

    `typed`: their names were given now, and count where something lies there; otherwise what was stored does.
    """
    stored, values = _read(out), options.model_dump(exclude_unset=True)
    for field, entries in stored.items():
        owner, last = _owner(values, field)
        if names := _listed(owner.get(last)):
            found = [_place(name, field, entries, number, out, typed=typed) for number, name in enumerate(names)]
            owner[last] = found if isinstance(owner[last], list) else found[0]
    return type(options).model_validate(values)


def placed_task(task: TaskOptions, out: Path, field: str = "task") -> TaskOptions:
    """The stored options of a run's task, with the places where its examples are. `field`: where it stands in the options."""
    stored = _read(out)
    found = {
        name: _place(value, f"{field}.{name}", stored[f"{field}.{name}"], 0, out, typed=False)
        for name in TaskOptions.sources
        if (value := getattr(task, name)) and f"{field}.{name}" in stored
    }
    return task.model_copy(update=found)


def placed_name(name: str, field: str, out: Path) -> str:
    """The place of one source that is given again for the run in `out`."""
    return _place(name, field, _read(out).get(field, []), 0, out, typed=True)


def remember(out: Path, given: Section, found: Section) -> None:
    """Store where the sources are: those of `found`, which `given` names."""
    _store(out, toml.flat(given.model_dump()), toml.flat(found.model_dump()))


def published_task(task: TaskOptions) -> TaskOptions:
    """The options of a task, with the names of its data as `published`."""
    names = {name: published_name(value) for name in TaskOptions.sources if (value := getattr(task, name))}
    return task.model_copy(update=names)


def remember_task(out: Path, task: TaskOptions) -> None:
    """Store where the examples of a task are."""
    names = toml.flat({"task": task.model_dump()})
    _store(out, names, names)


def _store(out: Path, typed: dict[str, Any], places: dict[str, Any]) -> None:
    stored, entries = _read(out), {}
    for field in filter(names_source, typed):
        pairs = list(zip(_listed(typed.get(field)), _listed(places.get(field))))
        before = stored.get(field, [])
        entries[field] = [
            _entry(name, place, field, before[number] if number < len(before) else {}, out)
            for number, (name, place) in enumerate(pairs)
        ]
    durable.make_folder(out / "checkpoints")
    found = {field: places for field, places in entries.items() if any(places)}
    durable.write(out / "checkpoints" / FILE, json.dumps(found, indent=1))


def _entry(name: str, place: str, field: str, before: Entry, out: Path) -> Entry:
    if not _there(place, field):  # of the hub, the built-in world, or a family's name
        return {}
    absolute = os.path.abspath(Path(place).expanduser())  # noqa: PTH100 (a link keeps its name)
    names = dict.fromkeys([*before.get("names", []), name, published_name(name)])
    return {"names": list(names), "absolute": absolute, "relative": os.path.relpath(absolute, out.absolute())}


def _place(name: str, field: str, entries: list[Entry], number: int, out: Path, *, typed: bool) -> str:
    if typed and _there(name, field):
        return name
    if typed:
        entry = next((e for e in entries if os.path.normpath(name) in map(os.path.normpath, e.get("names", []))), {})
    else:
        entry = entries[number] if number < len(entries) else {}
    candidates = [entry["absolute"], os.path.normpath(out.absolute() / entry["relative"])] if entry else []
    return next((place for place in candidates if _there(place, field)), name)


def _there(name: str, field: str) -> bool:
    """Whether something lies at a name (of the corpus also a pattern, of a task also a STEM)."""
    if name == "-" or name.startswith((HUB, "world:")) or (field == "model" and scratch(name)):
        return False
    corpus = field.startswith(("data.", "distil.texts."))
    name, _ = without_rows(name) if corpus else (name, None)
    path = Path(name).expanduser()
    if path.exists():
        return True
    if "task" in field:  # the STEM of two files
        return any(path.parent.glob(f"{glob.escape(path.name)}.*"))
    return corpus and bool(glob.glob(name, recursive=True))  # noqa: PTH207 (absolute patterns too)


def _read(out: Path) -> dict[str, list[Entry]]:
    """What is stored; nothing of runs from before it was."""
    path = out / "checkpoints" / FILE
    try:
        return json.loads(path.read_text(encoding="ascii")) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path}: can't be read ({error}): delete it, and start from where the run was started") from None


def _owner(values: Any, field: str) -> tuple[dict[str, Any], str]:
    """The section that holds a field (empty if there is none), and the field's name there; those of a list are numbered from
    1."""
    *sections, last = field.split(".")
    for section in sections:
        if section.isdecimal():
            values = values[int(section) - 1] if int(section) <= len(values) else {}
        else:
            values = values.get(section) or {}
    return values, last


def _listed(value: Any) -> list[str]:
    return [] if value is None else value if isinstance(value, list) else [value]
