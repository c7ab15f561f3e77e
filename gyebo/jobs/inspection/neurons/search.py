"""The search: stimuli through a model, units that answer to a concept in all ways, what is lost without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gyebo.config.disk import disk_full
from gyebo.config.durable import replacing
from gyebo.config.errors import OptionError
from gyebo.config.run import DataOptions
from gyebo.data.encoding import UTF8, Reading
from gyebo.evaluation.selectivity import Selectivity, coincidences, selectivity
from gyebo.interchange import load
from gyebo.jobs.draw import published_name
from gyebo.jobs.held_out import open_held_out
from gyebo.jobs.inspection.neurons.comparing import Comparing
from gyebo.jobs.inspection.neurons.drawing import Drawing
from gyebo.jobs.inspection.neurons.page import page, styles_of
from gyebo.jobs.inspection.neurons.probes import EACH, Probes, built_in, from_file
from gyebo.jobs.inspection.neurons.reader import Reader
from gyebo.jobs.inspection.neurons.results import Concept, Neurons, Unit
from gyebo.jobs.inspection.neurons.seeing import Seeing
from gyebo.jobs.inspection.neurons.silencing import effects, layers_of
from gyebo.jobs.picture_reading import pictures_as_read
from gyebo.jobs.run_directory import refuse_existing
from gyebo.models.family import FAMILIES, find, model_class
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.training.device import pick_device

LEAST_DRAWS = 2  # a spread needs two


@dataclass(frozen=True)
class Options:
    """How units are searched for. `each`: stimuli of a concept in each way, of the built-in ones; `level`: of the corrected p;
    `top`: concepts that are shown, and whose units are silenced; `draws`: of random units to compare with. OptionError for
    what is out of range."""

    each: int = EACH
    permutations: int = 1000
    level: float = 0.05
    top: int = 8
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.each < 4:
            raise OptionError(f"‹each›={self.each}: a concept needs 4 stimuli in each way at least")
        if not 0 < self.level < 1:
            raise OptionError(f"‹level› must be above 0 and below 1, but is {self.level:g} instead")
        if (1 + self.permutations) * self.level < 1:
            raise OptionError(
                f"‹permutations›={self.permutations}: the least p is {1 / (1 + self.permutations):.2g}, above the level "
                f"{self.level:g}: take more"
            )
        if self.draws < LEAST_DRAWS:
            raise OptionError(f"‹draws›={self.draws}: a spread needs {LEAST_DRAWS} at least")


def inspect_neurons(
    name: str,
    out: Path,
    options: Options | None = None,
    *,
    probes: Path | None = None,
    reading: Reading = UTF8,
    device: str = "auto",
    overwrite: bool = False,
    report: Callable[[str], None] | None = None,
) -> Neurons:
    """Search the units of a model for such that answer to a concept as a word and in pictures alike, and write a page of them.

    probes: a table of stimuli (`probes.py`), None: the built-in ones. `report` is told what is being done. Raises ValueError
    for a model in which texts and pictures do not meet, and for a table that is none.
    """
    chosen, say = options or Options(), report or (lambda words: None)
    refuse_existing(out, overwrite, None if probes is None else str(probes))
    found = built_in(chosen.each, chosen.seed) if probes is None else from_file(probes, reading)
    reader = open_reader(name, device)
    say(f"reading {len(found.stimuli):,} stimuli")
    activations = reader.activations(found.stimuli)
    say(f"permuting labels {chosen.permutations:,} times")
    stimuli = found.stimuli
    result = selectivity(
        activations,
        [stimulus.style for stimulus in stimuli],
        [stimulus.group for stimulus in stimuli],
        [stimulus.concept for stimulus in stimuli],
        permutations=chosen.permutations,
        seed=chosen.seed,
    )
    words = {stimulus.style for stimulus in stimuli if stimulus.picture is None}
    concepts = [_silenced(reader, found, each, activations, chosen, say) for each in _concepts(reader, found, result, chosen)]
    neurons = Neurons(
        published_name(name),
        find(reader.model.family).title,
        reader.described,
        _by_layer(reader, result, chosen.level),
        len(stimuli),
        chosen.permutations,
        chosen.level,
        chosen.seed,
        len(result.concepts),
        int((result.p.min(0) <= chosen.level).sum()),
        int((result.p.min(1) <= chosen.level).sum()),
        tuple(coincidences(result, words, chosen.level, seed=chosen.seed)),
        tuple(concepts),
        str(out),
    )
    with disk_full(out, "free some space"), replacing(out) as aside:
        shown = [styles_of(concept, stimuli, activations, reader.data) for concept in concepts]
        aside.write_text(page(neurons, shown), encoding="utf-8")
    return neurons


def open_reader(name: str, device: str) -> Reader:
    """What reads stimuli with a model; ValueError for one that can't."""
    place = pick_device(device)
    model, tokenizer = load(name)
    able = [family for family in FAMILIES if (cls := model_class(family)).joins or cls.compares]
    if isinstance(model, TaskModel) or not (model.joins or model.compares):
        what = "a fine-tuned model" if isinstance(model, TaskModel) else f"a {find(model.family).title}"
        raise ValueError(f"{name} holds {what}, in which no text meets a picture: name a pretrained model of {', '.join(able)}")
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: words can't be read with it")
    if model.sees and model.config.crop is None:
        raise ValueError(f"{name} reads features of a detector, not pixels: no picture can be shown to it")
    data = DataOptions(corpus=["pictures"], **(pictures_as_read(name, model) or {}))
    model.to(place)
    if model.sees:
        return Seeing(model, tokenizer, open_held_out(name, []).rows.objective, data)
    return (Comparing if model.compares else Drawing)(model, tokenizer, data)


def _unit(reader: Reader, result: Selectivity, unit: int, concept: int) -> Unit:
    (layer,) = layers_of(reader.layers, [unit])
    first = dict(zip(reader.layers, np.cumsum([0, *reader.layers.values()])))[layer]
    auc = {style: float(result.auc[k, unit, concept]) for k, style in enumerate(result.conditions)}
    direction, score, p = (float(part[unit, concept]) for part in (result.direction, result.score, result.p))
    return Unit(layer, unit - int(first), unit, int(direction), auc, score, p)


def _concepts(reader: Reader, probes: Probes, result: Selectivity, options: Options) -> list[Concept]:
    """The concepts that are shown, those with the surest units first, each with its units: those that were found, otherwise
    the one that is closest to it."""
    named = list(dict.fromkeys((stimulus.group, stimulus.concept) for stimulus in probes.stimuli))
    concepts = []
    for number, (group, concept) in enumerate(named):
        order = np.lexsort((-result.score[:, number], result.p[:, number]))
        found = [int(unit) for unit in order if result.p[unit, number] <= options.level]
        units = [_unit(reader, result, unit, number) for unit in found or [int(order[0])]]
        concepts.append(Concept(group, concept, probes.names[group, concept], len(found), tuple(units), ()))
    concepts.sort(key=lambda each: (not each.found, -each.units[0].score))
    return concepts[: options.top]


def _silenced(
    reader: Reader, probes: Probes, concept: Concept, activations: NDArray[np.float32], options: Options, say: Any
) -> Concept:
    """The concept with what is lost without its best unit, and without all that were found."""
    if not concept.found:
        return concept
    questions = reader.questions(probes, concept.group)
    if not questions:
        return concept
    say(f"silencing units of {concept.name}")
    numbers, means = [unit.number for unit in concept.units], activations.mean(0)
    parts = [numbers[:1], numbers] if len(numbers) > 1 else [numbers]
    lost = [
        effect
        for units in parts
        for effect in effects(reader, questions, concept.concept, units, means, draws=options.draws, seed=options.seed)
    ]
    return dataclasses.replace(concept, effects=tuple(lost))


def _by_layer(reader: Reader, result: Selectivity, level: float) -> dict[str, dict[str, int]]:
    """Of each layer, how many units it has, and how many of them were found for some concept."""
    hit: list[bool] = np.any(result.p <= level, axis=1).tolist()
    names = layers_of(reader.layers, range(len(hit)))
    return {
        name: {"units": size, "found": sum(h for h, own in zip(hit, names) if own == name)}
        for name, size in reader.layers.items()
    }
