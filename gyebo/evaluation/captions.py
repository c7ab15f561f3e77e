"""Scores of texts that a model wrote about pictures: by texts that others wrote about them, and by what is in the pictures.

Each with its chance line: the same texts, as if they had been written about other pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from gyebo.tasks.metrics.bleu import against_several

SCORES = ("bleu", "chrf")
Told = TypeVar("Told")  # a text, or what it says


def by_references(written: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float | str]:
    """BLEU and chrF of texts [P] by sacrebleu, against all that is said of each picture [P], with their signatures; and
    "..._of_another", against what is said of another picture, half of the list away: a function of the order alone."""
    moved = [references[(number + len(references) // 2) % len(references)] for number in range(len(references))]
    found: dict[str, float | str] = {}
    for name in SCORES:
        found[name], signature = against_several(name, written, references)
        if len(references) > 1:
            found[f"{name}_of_another"] = against_several(name, written, moved)[0]
        found[f"{name}_signature"] = signature
    return found


def by_facts(written: Sequence[Told], judges: Sequence[Callable[[Told], tuple[int, int]]]) -> dict[str, float]:
    """facts_right: share of all facts in texts [P] that are those of their pictures, where a judge [P] gives for a text how
    many are right, of how many; facts_right_of_others: the same over all pairs of a text and another picture. {} for none."""
    found = [[judge(text) for judge in judges] for text in written]
    own = [sum(found[number][number][part] for number in range(len(found))) for part in (0, 1)]
    every = [sum(pair[part] for row in found for pair in row) for part in (0, 1)]
    if not own[1]:
        return {}
    others = {"facts_right_of_others": (every[0] - own[0]) / (every[1] - own[1])} if len(found) > 1 else {}
    return {"facts_right": own[0] / own[1], **others}


def by_truth(written: Sequence[Told], judges: Sequence[Callable[[Told], bool]]) -> dict[str, float]:
    """true: share of texts [P] that are true of their pictures, each of which has a judge [P]; true_of_others: share of all
    pairs of a text and another picture in which it is true of that."""
    count = len(written)
    right = [[judge(text) for judge in judges] for text in written]
    own = sum(right[number][number] for number in range(count))
    found = {"true": own / count}
    if count > 1:
        found["true_of_others"] = (sum(map(sum, right)) - own) / (count * (count - 1))
    return found
