"""`gyebo translate`: translate sentences, line by line, and plot the attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gyebo.config.disk import disk_full
from gyebo.config.errors import OptionError
from gyebo.figures.attention import MOST, attention_map
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate as search
from gyebo.jobs.finetuned_model import FinetunedModel, is_linear, open_named, trained_on
from gyebo.jobs.opened import Given, family_of, made_ready
from gyebo.models.family import find
from gyebo.models.tree.row import TEXT
from gyebo.tasks import text_answers
from gyebo.tasks.task import Example


def open_translator(name: Given, task: str | None = None) -> FinetunedModel:
    """A translation model with its tokenizer; ValueError for other models. `task`: which one, where it learned several."""
    family = None if is_linear(name) else find(family_of(name))
    if family and TEXT not in family.answers and trained_on(name) is None:
        raise ValueError(
            f"{name} is a model of the family {family.title}, which writes no translation: train one with gyebo finetune "
            "transformer:mini TASK"
        )
    opened = open_named(name, task)
    if opened.kind.command != "translate":
        raise ValueError(
            f"{name} is a model for {opened.kind.name}, not translation: train one with gyebo finetune transformer:mini TASK"
        )
    return opened


def translate(
    name: Given,
    texts: Sequence[str],
    settings: dict[str, Any] | None = None,
    *,
    task: str | None = None,
    device: str = "auto",
    precision: str = "float32",
    picture: Path | None = None,
) -> list[str]:
    """The translation of each text, "" for blank ones.

    `settings`: beams, length_penalty, coverage_penalty; by default those of the run. `picture`: file for a plot of the
    attention between source and target, for a single text. Raises ValueError for settings without effect, a text longer than
    the model's context, and a plot for several texts or for a model without attention.
    """
    opened = open_translator(name, task)
    options = search_options(opened, settings or {})
    if picture is not None:
        _check_picture(opened, texts)
    autocast = made_ready(name, opened.model.eval(), device, precision)
    tokenizer, model = opened.tokenizer, opened.model
    assert tokenizer is not None
    full = [number for number, text in enumerate(texts) if text.strip()]
    examples = [Example(f"line {number + 1}", texts[number]) for number in full]
    features = opened.sources(examples)
    sources = [features.columns["input_ids"][number].tolist() for number in range(len(features))]
    forbidden = text_answers.forbidden_ids(tokenizer, model.config.eos_id)
    with torch.no_grad():
        found = search(model, sources, options, forbidden=forbidden, autocast=autocast) if sources else []
    if picture is not None:
        with disk_full(picture, "free some space and start again"):
            draw(picture, opened, sources[0], found[0][0].ids)
    answers = dict(zip(full, (tokenizer.target.decode(best[0].ids) for best in found)))
    return [answers.get(number, "").replace("\n", " ") for number in range(len(texts))]


def _check_picture(opened: FinetunedModel, texts: Sequence[str]) -> None:
    """ValueError, before translating, where the attention cannot be plotted."""
    if len(texts) != 1:
        raise OptionError(f"‹attention› plots one sentence, but there are {len(texts)}: give one with ‹text›")
    if not texts[0].strip():
        raise OptionError("‹attention› plots one sentence, but the text is empty")
    if not (opened.model.encodes_source and opened.model.config.attends_source):
        raise OptionError(f"‹attention›: {opened.name} has no attention")
    assert opened.tokenizer is not None
    tokens = len(opened.tokenizer.encode(texts[0]))
    if tokens > MOST:
        raise OptionError(f"‹attention›: the {tokens} tokens of the sentence do not fit into the plot (maximum {MOST})")


def search_options(opened: FinetunedModel, settings: dict[str, Any]) -> GenerationOptions:
    """Options of beam search: as given, otherwise those of the run; penalties without beams are refused by name."""
    stored = opened.search
    beams = settings.get("beams", stored.beams)
    if beams == 1:
        for name in ("length_penalty", "coverage_penalty"):
            if name in settings:
                raise OptionError(f"‹{name}› has no effect without beams: set ‹beams› to 2 or more")
        return text_answers.search_options(1)
    names = ("length_penalty", "coverage_penalty")
    return GenerationOptions(beams=beams, **{name: settings.get(name, getattr(stored, name)) for name in names})


@torch.no_grad()
def draw(path: Path, opened: FinetunedModel, source: list[int], target: list[int]) -> None:
    """Plot the attention of the last layer, averaged over heads, from each token of the target to each of the source."""
    model, tokenizer = opened.model, opened.tokenizer
    assert tokenizer is not None
    place = next(model.parameters()).device
    ids, decoder_ids = (torch.tensor([row], device=place) for row in (source, [model.start_id, *target[:-1]]))
    weights = model.encode(ids, None, decoder_ids, return_attentions=True).cross_attentions
    sides = ((tokenizer, source), (tokenizer.target, target))
    shown = [[side.decode([id], skip_roles=False) for id in row] for side, row in sides]
    attention_map(path, weights[-1][0].mean(0).float().cpu().numpy(), *shown)
