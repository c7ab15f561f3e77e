"""The page: for each concept its units, what excites the best of them most, and what is lost without them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
import numpy as np
from numpy.typing import NDArray

from gyebo.config.run import DataOptions
from gyebo.data.picture_files import seen
from gyebo.evaluation.selectivity import NAMINGS
from gyebo.jobs.inspection.neurons.probes import Stimulus
from gyebo.jobs.inspection.neurons.results import Concept, Neurons

MOST = 8  # stimuli of a style that are shown
UNITS = 5  # of a concept
STRIP = 500.0  # width of a strip, in its own units


@dataclass(frozen=True)
class Exciting:
    """A stimulus: a `text`, or a `picture` as a data URI; whether it is one of the concept."""

    own: bool
    text: str
    picture: str


@dataclass(frozen=True)
class Style:
    """A style: the stimuli that excite a unit most (or least, where it is lower for its concept), and where on a strip the
    activations of the concept and of the others lie, `STRIP` wide."""

    name: str
    most: list[Exciting]
    own: list[float]
    others: list[float]


def styles_of(
    concept: Concept, stimuli: Sequence[Stimulus], activations: NDArray[np.floating], data: DataOptions
) -> list[Style]:
    """The styles of a concept's best unit; activations [S, U] of all stimuli, of which those of its group are shown."""
    best, found = concept.units[0], []
    for style in best.auc:
        at = [n for n, s in enumerate(stimuli) if s.style == style and s.group == concept.group]
        values = activations[at, best.number].astype(np.float64)
        order = np.argsort(-best.direction * values, kind="stable")[:MOST]
        own = np.array([stimuli[n].concept == concept.concept for n in at])
        span = float(np.ptp(values)) or 1.0
        places = (values - values.min()) / span * STRIP
        most = [_exciting(stimuli[at[number]], bool(own[number]), data) for number in order]
        found.append(Style(style, most, places[own].round(1).tolist(), places[~own].round(1).tolist()))
    return found


def _exciting(stimulus: Stimulus, own: bool, data: DataOptions) -> Exciting:
    if stimulus.picture is None:
        return Exciting(own, str(stimulus.text), "")
    return Exciting(own, stimulus.concept, _as_uri(seen(stimulus.picture, data).pixels))


def _as_uri(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def page(neurons: Neurons, shown: Sequence[list[Style]]) -> str:
    """The page as HTML that needs no other file; `shown`: the styles of each concept. Texts are escaped by the template."""
    loader = jinja2.PackageLoader("gyebo", "jobs/inspection/neurons")
    template = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("page.html.j2")
    told = {"most": UNITS, "strip": STRIP, "kinds": KINDS, "namings": NAMINGS}
    return template.render(neurons=neurons, shown=list(zip(neurons.concepts, shown)), **told)


# Kind of question -> what is right.
KINDS = {
    "label": "the region's label or attribute, from the picture alone",
    "told": "the label or attribute of a masked region, from the words alone",
    "word": "the masked word for it, given the picture",
    "match": "the picture's words, among those of all concepts of the group",
}
