"""What the search gives: concepts with the units that answer to them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from gyebo.evaluation.selectivity import Coincidences
from gyebo.jobs.inspection.neurons.silencing import Effect


@dataclass(frozen=True)
class Unit:
    """A unit: its layer, its number there, and its number over all layers. For its concept: `direction` 1 where it is higher,
    -1 where it is lower; `auc` by style; `score`: the least of them (of 1 - AUC where it is lower); `p`, corrected."""

    layer: str
    unit: int
    number: int
    direction: int
    auc: dict[str, float]
    score: float
    p: float


@dataclass(frozen=True)
class Concept:
    """A concept and its units, the surest first: the `found` ones, otherwise the one that comes closest. `effects`: of
    silencing the first unit, then of silencing all of them."""

    group: str
    concept: str
    name: str
    found: int
    units: tuple[Unit, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Neurons:
    """What was found. `described`: what a unit is; `layers`: of each its units, and how many were found for some concept;
    `concepts_found`, `units_found`: of `concepts_asked` and of all units; `groups`: of each how many pairs of a unit and a
    concept were found, and how many by coincidence; `concepts`: those that are shown; `file`: the page."""

    model: str
    family: str
    described: str
    layers: dict[str, dict[str, int]]
    stimuli: int
    permutations: int
    level: float
    seed: int
    concepts_asked: int
    concepts_found: int
    units_found: int
    groups: tuple[Coincidences, ...]
    concepts: tuple[Concept, ...]
    file: str

    @property
    def units(self) -> int:
        """Units of all layers."""
        return sum(layer["units"] for layer in self.layers.values())

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return dataclasses.asdict(self)
