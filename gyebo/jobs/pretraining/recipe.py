"""What a run does where its options leave it open: gyebo's own defaults, or what the family's paper says.

The recipe "efficient" has the defaults of all options (`gyebo/config/run.py`), which are the same for all families. "published"
has the optimiser, the schedule and the clipping of the paper, as the row of the family in the tree gives them; the peak
learning rate stays gyebo's, as a paper's belongs to its size and batch. Objective and dropout are the published ones in both.
What is chosen stands among the options of the run, as if it had been typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gyebo.config.errors import OptionError
from gyebo.config.run import OptimOptions, RunOptions
from gyebo.models import family as tree
from gyebo.models.tree.row import Family

OF_ALL = ("schedule", "warmup", "final_lr", "clip")  # options of every optimiser


@dataclass(frozen=True)
class Choice:
    """What a recipe chooses: the option's name, its value, and why."""

    option: str
    value: Any
    reason: str


def choices(recipe: str, family: Family) -> list[Choice]:
    """All that a recipe chooses for a family; OptionError where it can't be carried out."""
    if recipe == "efficient":
        return []
    if family.training is None:
        able = ", ".join(name for name, other in tree.FAMILIES.items() if other.training is not None)
        raise OptionError(
            f"‹recipe›=published: how {family.title} was pretrained is not published, or needs an optimiser that gyebo "
            f"has not; these families have the recipe: {able}"
        )
    return [Choice(option, value, family.paper.partition(",")[0]) for option, value in family.training.items()]


def with_recipe(options: RunOptions) -> RunOptions:
    """The options with what their recipe chooses for those that were not given."""
    found = {choice.option: choice.value for choice in choices(options.recipe, tree.find(options.family))}
    if not found:
        return options
    given = options.optim.model_dump(include=options.optim.model_fields_set)
    name = given.get("name", found.get("optim.name", "adamw"))
    chosen = {option.removeprefix("optim."): value for option, value in found.items()}
    if name != chosen.get("name", "adamw"):  # what belongs to the optimiser goes with it
        chosen = {option: value for option, value in chosen.items() if option in OF_ALL}
    return options.model_copy(update={"optim": OptimOptions(**{**chosen, **given})})
