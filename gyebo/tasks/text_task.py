"""A task as a model that answers by text reads it, and remembers it in its `config.json`; no torch.

A source names the task, then each text after what it is called, as T5 has it (Raffel et al. 2020, section 2.4 and appendix D):
"mrpc sentence1: We acted because ... sentence2: ...".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

FIELD = "gyebo_tasks"
"""The field of `config.json`, a list with an object for each task."""

Columns = tuple[tuple[str, str], ...]
"""Parts of an example in the order in which they are read, each with what it is called in the source, "" for nothing."""


@dataclass(frozen=True, kw_only=True)
class TextTask:
    """A task whose answers a model writes.

    `name`: of the task; `kind`: of `gyebo.tasks.kinds.table.KINDS`. `prefix`: what a source begins with, "" for nothing;
    `columns`: what follows. `labels`: the names of its classes, tags or relations, in order, none where it has none. `step`: of
    answers that are numbers, what they are rounded to. `turns`: of a dialogue, how many of the turns so far are read.
    """

    name: str
    kind: str
    prefix: str = ""
    columns: Columns = (("text", ""),)
    labels: tuple[str, ...] = ()
    step: float | None = None
    turns: int | None = None

    def source(self, parts: Mapping[str, str | None]) -> str:
        """What is read of an example, from its parts by name; those that it lacks (None) are left out."""
        given = [(called, parts[name]) for name, called in self.columns if parts.get(name) is not None]
        words = [f"{called}: {text}" if called else f"{text}" for called, text in given]
        return " ".join([self.prefix, *words] if self.prefix else words)

    def as_dict(self) -> dict[str, Any]:
        """As `read` takes it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def read(given: Mapping[str, Any], where: str) -> tuple[TextTask, ...]:
    """The tasks that a `config.json` names, none where it has no such field; ValueError naming `where` and the field."""
    found = given.get(FIELD)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(map(_well_formed, found)):
        raise ValueError(
            f"{where}: {FIELD} must be a list of tasks, each with a name and a kind, and what gyebo writes beside them, but is "
            f"{str(found)[:80]!r} instead"
        )
    return tuple(_task(task) for task in found)


def _task(given: dict[str, Any]) -> TextTask:
    lists = {"labels": tuple(given.get("labels", ()))}
    if "columns" in given:
        lists["columns"] = tuple((name, called) for name, called in given["columns"])
    return TextTask(**{**given, **lists})


def _well_formed(task: Any) -> bool:
    known = {field.name for field in fields(TextTask)}
    if not isinstance(task, dict) or not {"name", "kind"} <= task.keys() <= known:
        return False
    labels, columns, step = task.get("labels", []), task.get("columns", []), task.get("step", 1.0)
    if not isinstance(labels, list) or not isinstance(columns, list):
        return False
    if not all(isinstance(column, list) and len(column) == 2 for column in columns):
        return False
    if type(turns := task.get("turns", 1)) is not int or turns < 1:
        return False
    words = [task["name"], task["kind"], task.get("prefix", ""), *labels, *(word for column in columns for word in column)]
    return all(isinstance(word, str) for word in words) and type(step) in (int, float) and step > 0
