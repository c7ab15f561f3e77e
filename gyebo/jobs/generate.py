"""`gyebo generate`: generate text from prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.generation import Completion, Ranking, complete, rank, stream
from gyebo.generation.options import options_from
from gyebo.generation.pplm import Control
from gyebo.interchange import load
from gyebo.jobs.control import NOTHING, Wanted, open_control
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES, pick_device


def open_generator(name: str, precision: str, device: str = "auto") -> tuple[Any, Tokenizer]:
    """A model in evaluation mode on its device, and its tokenizer; ValueError for a missing one, or an unknown precision."""
    model, tokenizer, _ = open_steered(name, precision, device, NOTHING)
    return model, tokenizer


def open_steered(
    name: str, precision: str, device: str, wanted: Wanted, note: Callable[[str], None] = lambda text: None
) -> tuple[Any, Tokenizer, Control | None]:
    """As `open_generator`, and what it is steered to, if anything is `wanted`; ValueError as `open_control`."""
    place = pick_device(device)
    if precision not in DTYPES:
        raise OptionError(f"‹precision› must be one of {', '.join(DTYPES)}, but is {precision!r} instead")
    model, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    control = open_control(wanted, model, tokenizer, note) if wanted else None
    return model.eval().to(place, DTYPES[precision]), tokenizer, control


def generate(
    name: str,
    prompts: list[str],
    options: dict[str, Any],
    *,
    precision: str = "float32",
    device: str = "auto",
    on_text: Callable[[str], None] | None = None,
    wanted: Wanted = NOTHING,
    note: Callable[[str], None] = lambda text: None,
) -> list[dict[str, Any]]:
    """Answers in the order of the prompts (samples of one prompt are adjacent): prompt, text, ids, reason, log_probability;
    with rank also score, and the candidates.

    With `on_text`, it is called with what a reader sees, and nothing is returned: the prompt, if the text continues it, and the
    text; of one answer while it is generated. `wanted`: what the answers are steered to; `note`: called with words of a bag
    that are left out, and where no candidate is new.
    """
    checked = options_from(options)
    if wanted and checked.beams > 1:
        raise OptionError(f"‹beams›={checked.beams} can't be steered: sample, or use ‹greedy›")
    model, tokenizer, control = open_steered(name, precision, device, wanted, note)
    rankings: list[Ranking] = []
    with torch.inference_mode():
        if on_text is not None and len(prompts) == checked.samples == checked.beams == 1 and not checked.rank:
            parts = stream(model, tokenizer, prompts[0], options=checked, control=control)
            on_text("" if model.encodes_source else prompts[0])
            for text in parts:
                on_text(text)
            on_text("\n")
            return []
        if checked.rank:
            rankings = rank(model, tokenizer, prompts, checked, control=control)
            answers = [ranking.best.answer for ranking in rankings]
        else:
            answers = complete(model, tokenizer, prompts, checked, control=control)
    for number in (number for number, ranking in enumerate(rankings, 1) if ranking.best.repeats):
        note(f"all candidates for prompt {number} repeat one of its lines; the most probable one was kept")
    if on_text is not None:
        for answer in answers:
            on_text(f"{'' if model.encodes_source else prompts[answer.prompt]}{answer.text}\n\n")
        return []
    rows = [{"prompt": prompts[answer.prompt], **_row(answer)} for answer in answers]
    for row, ranking in zip(rows, rankings):
        shown = [{**_row(each.answer), "score": each.score, "repeats": each.repeats} for each in ranking.candidates]
        row |= {"score": ranking.best.score, "candidates": shown}
    return rows


def _row(answer: Completion) -> dict[str, Any]:
    return {
        "text": answer.text,
        "ids": list(answer.ids),
        "reason": answer.reason,
        "log_probability": answer.log_probability,
    }
