"""`gyebo translate`: sentences in another language, line by line, and a picture of what was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.figures.attention import MOST, attention_map
from gyebo.generation.options import GenerationOptions
from gyebo.generation.translating import translate as search
from gyebo.jobs.finetuned_model import Opened, open_model
from gyebo.jobs.inference import ready
from gyebo.tasks import text_answers
from gyebo.tasks.task import Example
from gyebo.training.device import pick_device


def open_translator(name: str) -> Opened:
    """A model that translates, with its tokenizer; ValueError for any other."""
    opened = open_model(name)
    if opened.kind.command != "translate":
        raise ValueError(
            f"{name} does {opened.kind.name}, not translation: gyebo finetune transformer:mini TASK makes one that does"
        )
    return opened


def translate(
    name: str,
    texts: Sequence[str],
    settings: dict[str, Any] | None = None,
    *,
    device: str = "auto",
    precision: str = "float32",
    picture: Path | None = None,
) -> list[str]:
    """The translation of each text, "" for one without any character.

    `settings`: beams, length_penalty, coverage_penalty; by default the run's. `picture`: of one text, where its attention
    between source and target is drawn. Raises ValueError for settings without effect, a text longer than the model's context,
    and a picture of several texts or of a model that has no attention.
    """
    opened = open_translator(name)
    options = search_options(opened, settings or {})
    if picture is not None:
        _check_picture(opened, texts)
    half = ready(opened.model.eval(), pick_device(device), precision)
    tokenizer, model = opened.tokenizer, opened.model
    assert tokenizer is not None
    full = [number for number, text in enumerate(texts) if text.strip()]
    examples = [Example(f"line {number + 1}", texts[number]) for number in full]
    features = opened.sources(examples)
    sources = [features.columns["input_ids"][number].tolist() for number in range(len(features))]
    never = text_answers.never(tokenizer, model.config.eos_id)
    with torch.no_grad():
        found = search(model, sources, options, forbidden=never, autocast=half) if sources else []
    if picture is not None:
        draw(picture, opened, sources[0], found[0][0].ids)
    answers = dict(zip(full, (tokenizer.target.decode(best[0].ids) for best in found)))
    return [answers.get(number, "").replace("\n", " ") for number in range(len(texts))]


def _check_picture(opened: Opened, texts: Sequence[str]) -> None:
    """ValueError where no attention can be drawn: before anything is translated."""
    if len(texts) != 1:
        raise OptionError(f"‹attention› draws one sentence, but there are {len(texts)}: give it as ‹text›")
    if not texts[0].strip():
        raise OptionError("‹attention› draws a sentence, but the text is empty")
    if not opened.model.config.attends_source:
        raise OptionError(f"‹attention›: {opened.name} has none, so there is nothing to draw")
    assert opened.tokenizer is not None
    pieces = len(opened.tokenizer.encode(texts[0]))
    if pieces > MOST:
        raise OptionError(f"‹attention›: the sentence has {pieces} tokens, more than a picture can show ({MOST})")


def search_options(opened: Opened, settings: dict[str, Any]) -> GenerationOptions:
    """How to search: as asked, else as in the run; penalties are refused by name where there are no beams."""
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
def draw(path: Path, opened: Opened, source: list[int], target: list[int]) -> None:
    """The mean over the heads of the last layer's attention from each piece of the target to each of the source."""
    model, tokenizer = opened.model, opened.tokenizer
    assert tokenizer is not None
    place = next(model.parameters()).device
    ids, written = (torch.tensor([row], device=place) for row in (source, [model.start_id, *target[:-1]]))
    weights = model.encode(ids, None, written, return_attentions=True).cross_attentions
    sides = ((tokenizer, source), (tokenizer.target, target))
    shown = [[side.decode([id], skip_roles=False) for id in row] for side, row in sides]
    attention_map(path, weights[-1][0].mean(0).float().cpu().numpy(), *shown)
