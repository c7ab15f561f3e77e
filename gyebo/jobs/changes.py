"""What changed on the way of a run that was resumed: [[changes]] of `run.toml`, each with the step after which it held.

Budget, learning rate, and what they were converted to (`plan.*`); the environment (`made.*`: threads, processes, torch, ...).
The sections of the record hold what is true now.
"""

from __future__ import annotations

import copy
from typing import Any

from gyebo.config import toml
from gyebo.jobs.identity import BUDGET, RATE

CHANGES = "changes"
PLANNED = {"steps", "lr"}  # of the plan, what follows from budget and rate
SECTIONS = ("plan", "made")  # beside the options, whose names stand alone


def noted(before: dict[str, Any], after: dict[str, Any], step: int) -> dict[str, Any]:
    """The record `after` with its changes against `before`, which take effect after `step` finished steps.

    What was noted for later steps is trained again, so it took effect here. A run that begins anew is that of its first
    environment.
    """
    old, new = _watched(before), _watched(after)
    found = [change | {"step": min(change["step"], step)} for change in before.get(CHANGES, [])]
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            found.append({"step": step, "option": name, "before": old.get(name), "after": new.get(name)})
    kept = [change for change in found if change["step"] or not change["option"].startswith("made.")]
    return {name: value for name, value in after.items() if name != CHANGES} | ({CHANGES: kept} if kept else {})


def at(record: dict[str, Any], done: int) -> dict[str, Any]:
    """The record as it held for the step after `done` finished ones."""
    held = copy.deepcopy(record)
    for change in reversed(record.get(CHANGES, [])):
        if change["step"] > done:
            section, _, rest = change["option"].partition(".")
            values = held[section] if section in SECTIONS else held["options"]
            *inner, last = rest.split(".") if section in SECTIONS else change["option"].split(".")
            for name in inner:
                values = values[name]
            values[last] = change.get("before")
    return held


def described(change: dict[str, Any]) -> str:
    """A change in words."""
    before, after = (change.get(when) for when in ("before", "after"))
    words = ("unset" if value is None else value for value in (before, after))
    return "{} {} before, {} from step {} on".format(change["option"].removeprefix("made."), *words, change["step"] + 1)


def _watched(record: dict[str, Any]) -> dict[str, Any]:
    """What may change, by name."""
    options = {name: value for name, value in toml.flat(record["options"]).items() if name in BUDGET or name == RATE}
    plan = {f"plan.{name}": value for name, value in record["plan"].items() if name in PLANNED}
    made = {f"made.{name}": value for name, value in record.get("made", {}).items()}
    return options | plan | made
