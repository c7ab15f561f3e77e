"""An objective, built from its row in the table for a family and its text: what a run learns, and how any text is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gyebo.config import toml
from gyebo.data.batches import Rows
from gyebo.data.shards import Split
from gyebo.models.family import Family
from gyebo.objectives.objective import Objective, Setting
from gyebo.objectives.table import ObjectiveFacts


def options_of(facts: ObjectiveFacts, family: Family, given: Mapping[str, Any]) -> dict[str, Any]:
    """The objective's options in a run: as the family was published, but for a student, and then as asked."""
    return ({} if facts.needs_teacher else family.published) | dict(given)


def build_objective(facts: ObjectiveFacts, options: Mapping[str, Any], setting: Setting) -> Objective:
    """The objective with checked options; ValueError names what it does not take."""
    module = facts.load()
    return module.build(toml.check(module.Options, dict(options), section="objective"), setting)


def held_out_rows(objective: Objective, split: Split, context: int, pad: int) -> Rows:
    """A split as the objective is evaluated on it."""
    measured = objective.for_evaluation()
    return Rows(split, measured.held_out(split, context), measured, pad)
