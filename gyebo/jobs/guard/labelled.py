"""Labelled texts for the guard: which are unwanted, which innocent; and the scores of checks on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.data.encoding import UTF8, Reading
from gyebo.generation.guard.checks import Check
from gyebo.tasks.data.own_file import user_task


@dataclass(frozen=True)
class Labelled:
    """Texts of a labelled file by what they are."""

    unwanted: list[str]
    innocent: list[str]

    @property
    def texts(self) -> list[str]:
        """All texts, the unwanted first."""
        return self.unwanted + self.innocent


def read(
    data: str | Path,
    positive: Sequence[str],
    ignored: Sequence[str] = (),
    *,
    text: str | None = None,
    label: str | None = None,
    reading: Reading = UTF8,
) -> Labelled:
    """The texts of a file of any format that `gyebo finetune` reads. `positive`: the labels of unwanted texts; `ignored`: those
    of texts that are left out; all others are innocent. `reading`: how its bytes become text. Raises ValueError for a label
    that the file does not have, and where there are no texts of one of the two kinds."""
    task = user_task("classification", text, None, label)
    rows = [(example.text, str(example.label)) for example in task.read(data, reading=reading)]
    known = sorted({name for _, name in rows})
    for option, labels in (("positive", positive), ("ignored", ignored)):
        if wrong := [name for name in labels if name not in known]:
            raise OptionError(f"‹{option}›={wrong[0]}: {data} has no such label{toml.suggest(wrong[0], known)}")
    if both := sorted(set(positive) & set(ignored)):
        raise OptionError(f"‹ignored›={both[0]}: is a ‹positive› label, too: leave out one of the two")
    found = Labelled(
        [text for text, name in rows if name in positive],
        [text for text, name in rows if name not in positive and name not in ignored],
    )
    for kind, texts in (("unwanted", found.unwanted), ("innocent", found.innocent)):
        if not texts:
            raise OptionError(f"{data} has no {kind} text, with ‹positive› {', '.join(positive)}: both kinds are needed")
    return found


def scores_of(checks: Sequence[Check], texts: Sequence[str]) -> NDArray[np.float64]:
    """The scores [C, N] of checks on texts without a prompt."""
    return np.array([[found.score for found in check(texts, "")] for check in checks], np.float64)
