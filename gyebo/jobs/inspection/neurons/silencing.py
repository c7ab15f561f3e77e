"""What is lost where units are silenced: held at their mean over all stimuli, so that they tell nothing.

The "grandmother cell" would be a unit without which a concept is gone, and nothing else. So answers about the concept and about
the others of its group are counted with and without the units that were found, and without as many units of the same layers
that are drawn at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gyebo.jobs.inspection.neurons.reader import Held, Question, Reader

MOST_OTHERS = 160  # questions about the other concepts that are asked, of each kind


@dataclass(frozen=True)
class Share:
    """Shares of right answers: of the `whole` model; without the units (`silenced`); without as many random ones (`random`), on
    average over draws, with their standard deviation (`spread`)."""

    whole: float
    silenced: float
    random: float
    spread: float


@dataclass(frozen=True)
class Effect:
    """What silencing so many `units` does to answers of one kind, about the concept (`own`) and about the others of its group.
    `p`: (1 + number of draws that cost the concept at least as much) / (1 + draws)."""

    kind: str
    units: int
    own: Share
    others: Share
    p: float


def held_at_means(reader: Reader, units: Sequence[int], means: NDArray[np.floating]) -> Held:
    """The units, numbered over all layers, at their means [U]."""
    found, first = {}, 0
    for name, size in reader.layers.items():
        own = [unit - first for unit in units if first <= unit < first + size]
        if own:
            values = torch.from_numpy(means[first : first + size].astype(np.float32))
            found[name] = (torch.tensor(own), values[own])
        first += size
    return found


def layers_of(sizes: Mapping[str, int], units: Sequence[int]) -> list[str]:
    """The layer of each unit, numbered over all layers."""
    ends = np.cumsum([*sizes.values()])
    return [list(sizes)[int(np.searchsorted(ends, unit, side="right"))] for unit in units]


def drawn_units(sizes: Mapping[str, int], units: Sequence[int], rng: np.random.Generator) -> list[int]:
    """As many units of each layer as `units` has there, at random among its others; among all where these are too few."""
    found: list[int] = []
    own, first = layers_of(sizes, units), 0
    for name, size in sizes.items():
        count, every = own.count(name), np.arange(first, first + size)
        rest = np.setdiff1d(every, units)
        if count:
            found += rng.choice(rest if len(rest) >= count else every, count, replace=False).tolist()
        first += size
    return found


def some_of(questions: Sequence[Question], concept: str, rng: np.random.Generator) -> list[Question]:
    """The questions about a concept, and of those about others at most `MOST_OTHERS` of each kind."""
    kept = [question for question in questions if question.concept == concept]
    for kind in dict.fromkeys(question.kind for question in questions):
        rest = [question for question in questions if question.kind == kind and question.concept != concept]
        chosen = rng.permutation(len(rest))[:MOST_OTHERS]
        kept += [rest[number] for number in sorted(chosen)]
    return kept


def effects(
    reader: Reader,
    questions: Sequence[Question],
    concept: str,
    units: Sequence[int],
    means: NDArray[np.floating],
    *,
    draws: int,
    seed: int,
) -> list[Effect]:
    """What silencing units costs a concept and the others of its group, for each kind of question; [] where there is none."""
    rng = np.random.default_rng(seed)
    asked = some_of(questions, concept, rng)
    if not asked:
        return []
    kinds = np.array([question.kind for question in asked])
    own = np.array([question.concept == concept for question in asked])
    whole, without = reader.right(asked, {}), reader.right(asked, held_at_means(reader, units, means))
    held = (held_at_means(reader, drawn_units(reader.layers, units, rng), means) for _ in range(draws))
    random = np.array([reader.right(asked, others) for others in held])
    found = []
    for kind in dict.fromkeys(kinds.tolist()):
        about, rest = (kinds == kind) & own, (kinds == kind) & ~own
        as_much = int((random[:, about].mean(1) <= without[about].mean() + 1e-9).sum())
        mine, theirs = (_share(whole[here], without[here], random[:, here]) for here in (about, rest))
        found.append(Effect(kind, len(units), mine, theirs, (1 + as_much) / (1 + draws)))
    return found


def _share(whole: NDArray[np.bool_], without: NDArray[np.bool_], random: NDArray[np.bool_]) -> Share:
    """Of the answers [n] of the whole model and of the silenced one, and of those of each draw [draws, n]."""
    of_draws = random.mean(1)
    return Share(float(whole.mean()), float(without.mean()), float(of_draws.mean()), float(of_draws.std(ddof=1)))
