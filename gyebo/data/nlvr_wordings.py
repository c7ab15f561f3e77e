"""How people word statements about NLVR's pictures (Suhr et al. 2017): other words for the same, drawn at random.

The statements of `nlvr_statements.py` have one wording each. People say "objects", "2", "closely touching the base"; and of a
picture whose boxes hold stacks of squares "towers" and "blocks". What is said of it stays true, or false.
"""

from __future__ import annotations

import random
import re
from itertools import groupby, pairwise

from gyebo.data.nlvr_statements import NUMBERS, PANELS, Items

DIGITS = {word: str(number) for number, word in enumerate(NUMBERS)}
_MANY = "|".join(NUMBERS[1:])
# pattern -> what may stand in its place; itself is drawn as often as it is named
WORDINGS: dict[str, tuple[str, ...]] = {
    r"\bexactly (?=\w+ box)": ("exactly ", "only "),
    rf"\bexactly (?=(?:{_MANY})\b)": ("exactly ", "exactly ", "only "),
    r"\bitem(?=s?\b)": ("item", "item", "object"),
    r"\btouching (?=the|a)": ("touching ", "touching ", "closely touching "),
    r"\bthe bottom wall": ("the base", "the bottom", "the bottom of a box", "the bottom edge"),
    r"\bthe (left|right|top) wall": (r"the \1 wall", r"the \1 edge", r"\1 wall of a box", r"the \1 side"),
    r"\ba wall": ("a wall", "the edge", "any edge", "the wall of a box"),
    r"\bof only one color": ("of only one color", "of the same color", "of the same colour"),
    r"\bof all three colors": ("of all three colors", "of all 3 different colors", "of three colors"),
    r"^There is a box with (?=at least|exactly|only)": (
        "There is a box with ", "There is a box with ", "There is a box which has ", "There is a grey box with ",
        "One of the grey boxes contains ", "One of the boxes has ", "There is a box that contains ",
    ),
    r"^Each box has": ("Each box has", "Each grey box contains", "Every box has"),
    r"^There": ("There", "There", "there"),
    r"\.$": (".", ".", ""),
}  # fmt: skip
TOWERS: dict[str, tuple[str, ...]] = {
    r"\bmedium ": ("",),
    r"\b(?:item|square)(?=s?\b)": ("block",),
    r"\bbox(?=es\b)": ("tower",),
    r"\btoweres\b": ("towers",),
    r"\bbox\b": ("tower",),
    r"\bexactly one tower with a (\w+) block at the bottom": (
        r"exactly one tower with a \1 block at the bottom",
        r"exactly one \1 block as the base of a tower",
    ),
    r"\ba tower with a (\w+) block at the (bottom|top)": (
        r"a tower with a \1 block at the \2",
        r"a \1 block at the \2 of a tower",
    ),
    r"\ba (\w+) block at the bottom": (r"a \1 block at the bottom", r"a \1 block at the base", r"a \1 base"),
    r"\ba (\w+) block at the top": (r"a \1 block at the top", r"a \1 block on top", r"a \1 top"),
    r"\babove": ("above", "over"),
}
_NUMBER = re.compile(rf"\b({_MANY})\b(?= )")


def are_towers(items: Items) -> bool:
    """Whether every box holds one stack of squares."""
    if len({item.panel for item in items}) < PANELS or any(item.shape != "square" for item in items):
        return False
    for _, stack in groupby(sorted(items, key=lambda item: (item.panel, item.box[1])), key=lambda item: item.panel):
        if any(one.box[0] != other.box[0] or other.box[1] - one.box[3] > 1 for one, other in pairwise(stack)):
            return False
    return True


def worded(text: str, rng: random.Random, *, towers: bool) -> str:
    """A statement in other words; `towers`: of pictures of which `are_towers` holds."""
    for pattern, choices in {**(TOWERS if towers else {}), **WORDINGS}.items():
        text = re.sub(pattern, rng.choice(choices), text)
    return _NUMBER.sub(lambda found: DIGITS[found[1]], text) if rng.random() < 0.3 else text
