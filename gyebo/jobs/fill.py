"""`gyebo fill`: predict the masked tokens of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gyebo.generation.fill_mask import Candidate, Filler
from gyebo.generation.infilling import Restored, restore
from gyebo.jobs.opened import Given, check_place, made_ready, open_given


def fill(name: Given, texts: Sequence[str], *, top_k: int = 5, device: str = "auto") -> list[dict[str, Any]]:
    """For each text: text, sequence (each mask replaced by its most probable candidate) and masks, a list of candidates for
    each mask: text (with the white space before it), probability, ids, sequence (with only this mask replaced).

    A model that reads a source writes the text anew, with something, or nothing, for each mask: text, sequence (the best one)
    and sequences, at most `top_k`: sequence, log_probability (natural logarithm).

    Raises ValueError where the model has no masked-LM head and reads no source, or there is no tokenizer, and for a text
    without a mask or longer than the context.
    """
    check_place(name, device, "float32")
    model, tokenizer = open_given(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer")
    made_ready(name, model, device, "float32")
    if model.encodes_source:
        answers = restore(model, tokenizer, texts, top_k)
        return [_restored(text, found) for text, found in zip(texts, answers)]
    filler = Filler(model, tokenizer)
    found = [filler.fill(text, top_k) for text in texts]
    return [
        {
            "text": filled.text,
            "sequence": filled.sequence,
            "masks": [[_shown(candidate) for candidate in mask] for mask in filled.masks],
        }
        for filled in found
    ]


def _restored(text: str, answers: list[Restored]) -> dict[str, Any]:
    shown = [{"sequence": answer.text, "log_probability": answer.log_probability} for answer in answers]
    return {"text": text, "sequence": answers[0].text, "sequences": shown}


def _shown(candidate: Candidate) -> dict[str, Any]:
    return {
        "text": candidate.text,
        "probability": candidate.probability,
        "ids": list(candidate.ids),
        "sequence": candidate.sequence,
    }
