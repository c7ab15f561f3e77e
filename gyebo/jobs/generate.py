"""`gyebo generate`: generate text from prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.generation import complete, stream
from gyebo.generation.options import options_from
from gyebo.interchange import load
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES, pick_device


def open_generator(name: str, precision: str, device: str = "auto") -> tuple[Any, Tokenizer]:
    """A model in evaluation mode on its device, and its tokenizer; ValueError for a missing one, or an unknown precision."""
    place = pick_device(device)
    if precision not in DTYPES:
        raise OptionError(f"‹precision› must be one of {', '.join(DTYPES)}, but is {precision!r} instead")
    model, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    return model.eval().to(place, DTYPES[precision]), tokenizer


def generate(
    name: str,
    prompts: list[str],
    options: dict[str, Any],
    *,
    precision: str = "float32",
    device: str = "auto",
    on_text: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Answers in the order of the prompts (samples of one prompt are adjacent): prompt, text, ids, reason, log_probability.

    With `on_text`, it is called with what a reader sees, and nothing is returned: the prompt, if the text continues it, and the
    text; of one answer while it is generated.
    """
    checked = options_from(options)
    model, tokenizer = open_generator(name, precision, device)
    with torch.inference_mode():
        if on_text is not None and len(prompts) == checked.samples == checked.beams == 1:
            parts = stream(model, tokenizer, prompts[0], options=checked)
            on_text("" if model.encodes_source else prompts[0])
            for text in parts:
                on_text(text)
            on_text("\n")
            return []
        answers = complete(model, tokenizer, prompts, options=checked)
    samples = len(answers) // len(prompts)
    if on_text is not None:
        for i, answer in enumerate(answers):
            on_text(f"{'' if model.encodes_source else prompts[i // samples]}{answer.text}\n\n")
        return []
    return [
        {
            "prompt": prompts[i // samples],
            "text": a.text,
            "ids": list(a.ids),
            "reason": a.reason,
            "log_probability": a.log_probability,
        }
        for i, a in enumerate(answers)
    ]
