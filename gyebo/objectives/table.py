"""The objectives as a table, without torch: all that commands, comparisons and reports must know of each.

A new objective is its module (`gyebo/objectives/objective.py` says what it has), its row in `facts_of_text.py` or
`facts_of_pictures.py`, and its line here. Nothing else asks for its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gyebo.config.errors import OptionError
from gyebo.objectives import facts_of_pictures as of_pictures
from gyebo.objectives import facts_of_text as of_text
from gyebo.objectives.facts import ObjectiveFacts

OBJECTIVES: dict[str, ObjectiveFacts] = {
    facts.name: facts
    for facts in (
        of_text.CAUSAL,
        of_text.MASKED,
        of_text.PERMUTATION,
        of_text.BIDIRECTIONAL,
        of_text.DENOISING,
        of_text.SPAN_CORRUPTION,
        of_text.PREFIX_LM,
        of_text.TRANSLATION,
        of_pictures.CROSS_MODALITY,
        of_pictures.ALIGNMENT,
        of_pictures.QUANTISATION,
        of_pictures.RELAXATION,
        of_pictures.TEXT_TO_IMAGE,
        of_pictures.IMAGE_TO_TEXT,
        of_pictures.CONTRASTIVE,
        of_text.DISTILLATION,
    )
}

LIKELIHOOD = of_text.CAUSAL  # its metric compares all models that give a text a probability, whatever they read it with


def find(name: str, *, teacher: bool = False) -> ObjectiveFacts:
    """The objective of that name (`Family.objective`); with a `teacher` that by which a student learns the same.

    Raises ValueError where a student can't learn it from a teacher.
    """
    facts = OBJECTIVES[name]
    if not teacher:
        return facts
    if facts.with_teacher is None:
        raise ValueError(f"the objective {name} has no form with a teacher: leave the teacher out")
    return OBJECTIVES[facts.with_teacher]


def asked(usual: str, options: Mapping[str, Any], *, teacher: bool = False) -> ObjectiveFacts:
    """The objective that `options` name ("name", of the section `objective`), by default the `usual` one of a family.

    Raises OptionError for one that can't be asked for, ValueError as `find` does.
    """
    name = options.get("name", usual)
    known = [facts.name for facts in OBJECTIVES.values() if not facts.kind and not facts.needs_teacher]
    if name != usual and name not in known:
        raise OptionError(f"‹objective.name› must be one of {', '.join(known)}, but is {name!r} instead")
    return find(name, teacher=teacher)


def of_use(usual: str, facts: ObjectiveFacts) -> ObjectiveFacts:
    """The row that says how a model that learned by `facts` is opened and used: that of its family's `usual` objective, as its
    class stays the same, but for what a flag of its config shows."""
    return facts if facts.flag else find(usual)


def of_unit(unit: str) -> ObjectiveFacts | None:
    """The first objective whose reported metric has these words; None where none has."""
    return next((facts for facts in OBJECTIVES.values() if facts.unit == unit), None)


def words_of(metric: str) -> str:
    """What a reported metric of held-out text is called: its unit; itself where no objective has it any more."""
    return next((facts.unit for facts in OBJECTIVES.values() if facts.metric == metric), metric)
