"""What a model that answers by text remembers of each task that it learned; no torch. It stands in its `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIELD = "gyebo_tasks"
"""The field of `config.json`, a list with an object for each task."""


@dataclass(frozen=True, kw_only=True)
class TextTask:
    """A task whose answers a model writes. `name`: of the task; `kind`: of `gyebo.tasks.kinds.table.KINDS`; `labels`: the names
    of its classes, tags or relations, in order, none where it has none."""

    name: str
    kind: str
    labels: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As `read` takes it."""
        return {"name": self.name, "kind": self.kind, "labels": list(self.labels)}


def read(given: Mapping[str, Any], where: str) -> tuple[TextTask, ...]:
    """The tasks that a `config.json` names, none where it has no such field; ValueError naming `where` and the field."""
    found = given.get(FIELD)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(map(_well_formed, found)):
        raise ValueError(
            f"{where}: {FIELD} must be a list of tasks, each with a name, a kind and labels, but is {str(found)[:80]!r} instead"
        )
    return tuple(TextTask(name=task["name"], kind=task["kind"], labels=tuple(task.get("labels", ()))) for task in found)


def _well_formed(task: Any) -> bool:
    if not isinstance(task, dict) or not {"name", "kind"} <= task.keys() <= {"name", "kind", "labels"}:
        return False
    labels = task.get("labels", [])
    return isinstance(labels, list) and all(isinstance(word, str) for word in (task["name"], task["kind"], *labels))
