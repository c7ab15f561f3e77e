"""`gyebo fill`: what might stand at the masks of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gyebo.generation.fill_mask import Candidate, Filler
from gyebo.interchange import load
from gyebo.training.device import pick_device


def fill(name: str, texts: Sequence[str], *, top_k: int = 5, device: str = "auto") -> list[dict[str, Any]]:
    """For each text: text, sequence (each mask filled with its likeliest candidate) and masks, a list of candidates for each:
    text (with the white space before it), probability, ids, sequence (this mask filled, the others left).

    Raises ValueError where the model predicts no masked tokens or has no tokenizer, and for a text without a mask or longer
    than the context.
    """
    place = pick_device(device)
    model, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read or written with it")
    filler = Filler(model.to(place), tokenizer)
    found = [filler.fill(text, top_k) for text in texts]
    return [
        {
            "text": filled.text,
            "sequence": filled.sequence,
            "masks": [[_shown(candidate) for candidate in mask] for mask in filled.masks],
        }
        for filled in found
    ]


def _shown(candidate: Candidate) -> dict[str, Any]:
    return {
        "text": candidate.text,
        "probability": candidate.probability,
        "ids": list(candidate.ids),
        "sequence": candidate.sequence,
    }
