"""What pretraining and fine-tuning share when a run is resumed: it must be the same run, and what may change is noted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Set
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from gyebo.config.errors import OptionError
from gyebo.config.run import Section
from gyebo.jobs import changes, identity, places, run_directory
from gyebo.jobs.identity import BUDGET, RATE, Identity
from gyebo.training import checkpoint, distributed

Say = Callable[[str], None]


def speaker(console: Console | None) -> Say:
    """Where a run says its lines: on the console, or plainly; other processes than the first are silent."""
    if console:
        return partial(console.print, highlight=False, markup=False)
    return print if distributed.rank() == 0 else lambda line: None


def changed(record: Mapping[str, Any], stored: Section, given: Section, out: Path) -> set[str]:
    """The options of budget and rate that are others now. OptionError for other options, and for a rate that has no effect."""
    found = identity.schedule(stored, given, out, by_content="identity" in record)
    if "result" in record and found == {RATE}:
        raise OptionError(f"{out} is finished, so another ‹{RATE}› has no effect: give a larger budget too, or use a new ‹out›")
    return found


def confirm_finished(
    record: Mapping[str, Any], stored: Section, given: Section, find: Callable[[], Identity], out: Path, say: Say
) -> None:
    """As `confirm`, for a finished run: where a source is gone from the place that it had, a line says so."""
    try:
        found = find()
    except FileNotFoundError as error:
        if identity.differences(stored, given, by_content=False):
            raise  # a name that is new
        say(f"{out} is finished, and what it was made of is not compared: {error}")
        return
    confirm(record, found, out, say)


def confirm(record: Mapping[str, Any], found: Identity, out: Path, say: Say) -> None:
    """OptionError where the run is another one than that of the record, or has another run's checkpoints.

    A line says what could not be compared, since an earlier version did not store it.
    """
    identity.refuse_foreign(record, out)
    if unknown := identity.refuse_other(record, found, out):
        say(f"{out} was started by an earlier version, which did not store its {' and '.join(unknown)}: not compared")


def replanned(
    record: Mapping[str, Any], given: Section, names: Set[str], plan: Mapping[str, Any], out: Path
) -> dict[str, Any] | None:
    """The record with the changed options and the plan that they give; None where a finished run has nothing left to train.

    OptionError where the new budget pays for no further step. In the state of one that was finished, `reopened` is its last
    step then.
    """
    values, options = given.model_dump(mode="json"), copy.deepcopy(record["options"])
    for name in sorted(names):
        *sections, last = name.split(".")
        source, target = values, options
        for section in sections:
            source, target = source[section], target.setdefault(section, {})
        target[last] = source[last]
    steps = plan["steps"]
    if names & BUDGET and (steps != record["plan"]["steps"] or "result" in record):
        if "result" in record and steps == record["plan"]["steps"] and RATE not in names:
            return None
        last_one = checkpoint.newest(out / "checkpoints")[0]
        if last_one is None and "result" in record:
            raise OptionError(f"{out} is finished and has no checkpoint to go on from: use a new ‹out›")
        done = checkpoint.step_of(last_one) if last_one else 0
        if steps <= done:
            raise OptionError(
                f"{out} has trained {done:,} steps, and the budget is {steps:,} now: give a larger one, or use a new ‹out›"
            )
    kept = {name: value for name, value in record.items() if name not in ("result", "files")}
    state = record["state"] | {"finished": False} | ({"reopened": record["result"]["steps"]} if "result" in record else {})
    return kept | {"options": options, "plan": dict(plan), "state": state}


def note(
    before: dict[str, Any], after: dict[str, Any], *, made: Mapping[str, Any], step: int, out: Path, say: Say
) -> dict[str, Any]:
    """The record of a run that goes on after `step` in the environment `made`, written and said where something changed."""
    if "made" in before:
        after = after | {"made": dict(made)}
    found = changes.noted(before, after, step)
    earlier = before.get(changes.CHANGES, [])
    for change in found.get(changes.CHANGES, []):
        if change not in earlier:
            say(changes.described(change))
    if distributed.rank() == 0 and found != before:
        run_directory.write(out, found)
    return found


def remember(out: Path, given: Section, found: Section) -> None:
    """Store where the sources lie; the first process does."""
    if distributed.rank() == 0:
        places.remember(out, given, found)
