"""The family tree as a table, without torch: what `gyebo families`, the picture of the tree and every job look up.

Adding a family: its file beside this one, its row in a file of `tree/`, its table of names in `gyebo/interchange/families`, its
tests, its page.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

from gyebo.models.tree import before_transformers, transformers, with_pictures
from gyebo.models.tree.row import Family

FAMILIES: dict[str, Family] = {
    family.name: family for family in (*before_transformers.ROWS, *transformers.ROWS, *with_pictures.ROWS)
}


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


_SPELLED = {_letters(name): family for family in FAMILIES.values() for name in (family.name, family.title)}


def find(name: str) -> Family:
    """The family of that name, or of its title in any spelling ("GPT-2", "gpt 2"); ValueError with the nearest names
    otherwise."""
    if name in FAMILIES:
        return FAMILIES[name]
    if found := _SPELLED.get(_letters(name)):
        return found
    raise ValueError(f"unknown family {name!r}{nearest(name.casefold(), FAMILIES)}")


# Sizes that a run's budget and text choose (`gyebo/jobs/pretraining/by_budget.py`) -> how many widths above the best one.
AUTO = {"auto": 0, "auto-smaller": -1, "auto-larger": 1}


def find_size(family: Family, size: str) -> str:
    """The size, checked; ValueError with the nearest names otherwise."""
    if size not in family.sizes:
        raise ValueError(f"unknown size {size!r} of {family.name}{nearest(size, family.sizes)}")
    return size


def nearest(name: str, known: Any) -> str:
    """The end of an error line: what might have been meant, and what there is."""
    close = difflib.get_close_matches(name, list(known), n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else "."
    return f"{hint} There is: {', '.join(known)}"


def model_class(name: str) -> Any:
    """The model class of a family (imports torch)."""
    module, _, attribute = find(name).cls.partition(":")
    return getattr(import_module(module), attribute)
