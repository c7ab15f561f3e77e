"""An objective, built from its row in the table for a family and its text: what a run learns, and how any text is measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.data.batches import Rows
from gyebo.data.shards import Split
from gyebo.models.family import model_class
from gyebo.models.tree.row import Family
from gyebo.objectives import table
from gyebo.objectives.facts import ObjectiveFacts
from gyebo.objectives.objective import Objective, Setting

NAME = "name"  # of the section `objective`: which one


def options_of(facts: ObjectiveFacts, family: Family, given: Mapping[str, Any]) -> dict[str, Any]:
    """The objective's options in a run: as the family was published, but for a student and another objective than its own, and
    then as asked."""
    published = family.published if facts.name == family.objective else {}
    return published | {name: value for name, value in given.items() if name != NAME}


def chosen(family: Family, given: Mapping[str, Any], *, teacher: bool = False) -> ObjectiveFacts:
    """The objective of a run: the family's, or the one that `given` names. OptionError where the family can't learn it."""
    facts = table.asked(family.objective, given, teacher=teacher)
    if facts.kind or NAME not in given:
        return facts
    cls = model_class(family.name)
    able = any(getattr(cls, name) for name in facts.capabilities) if facts.capabilities else True
    if not able or not set(facts.heads) <= set(cls.possible_heads()):
        raise OptionError(
            f"‹objective.name›={facts.name}: {family.title} can't learn {facts.learns}: its own objective is {family.objective}"
        )
    return facts


def build_objective(facts: ObjectiveFacts, options: Mapping[str, Any], setting: Setting) -> Objective:
    """The objective with checked options; ValueError names what it does not take."""
    module = facts.load()
    return module.build(toml.check(module.Options, dict(options), section="objective"), setting)


def held_out_rows(objective: Objective, split: Split, context: int, pad: int) -> Rows:
    """A split as the objective is evaluated on it."""
    measured = objective.for_evaluation()
    return Rows(split, measured.held_out(split, context), measured, pad)
