"""Choosing among several answers by their attribute, as the rows BR and BCR of the paper's tables do (Dathathri et al. 2020,
section 4.1): the one with the highest ln p(attribute) among those that repeat themselves little.

Letters: N answers, T length, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gyebo.generation.pplm.attributes import Attribute
from gyebo.generation.pplm.settings import check_strength
from gyebo.generation.prompts import device_of, fill_id
from gyebo.nn.decoding import decoding_copy


@torch.inference_mode()
def attribute_scores(
    model: Any, prompt: Sequence[int], answers: Sequence[Sequence[int]], attributes: Sequence[Attribute]
) -> Tensor:
    """ln p(attribute) of each answer (lists of ids, none empty) to a prompt by the unmodified model, [N]; of several attributes
    the sum, each multiplied by its strength (of a course, the last one).

    Of a bag the mean over the answer's tokens of ln p(bag next); of a discriminator that of prompt and answer as a whole.
    Raises ValueError for no answer, an empty one, and an empty prompt, from which no first token could be predicted.
    """
    if not prompt or not answers or not all(answers):
        raise ValueError("attribute_scores needs a prompt and answers of at least one id each")
    model = decoding_copy(model, tokens=0)  # without dropout
    longest, device = max(map(len, answers)), device_of(model)
    rows = torch.full((len(answers), len(prompt) + longest), fill_id(model.config))
    mask = torch.zeros_like(rows)
    for row, answer in enumerate(answers):
        whole = [*prompt, *answer]
        rows[row, : len(whole)], mask[row, : len(whole)] = torch.tensor(whole), 1
    rows, mask = rows.to(device), mask.to(device)
    hidden = model.encode(rows, mask).hidden
    mean = (hidden.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    total = torch.zeros(len(answers), device=device)
    for attribute in attributes:
        strength = check_strength(attribute.strength, "strength")[-1]
        if attribute.imagines:
            found = attribute.log_likelihood(hidden=mean)
        else:
            real = mask[:, len(prompt) :]
            before = hidden[:, len(prompt) - 1 : -1]  # what the answer's tokens are predicted from
            next_log_probs = [model.project(part).float().log_softmax(-1) for part in before]
            each = torch.stack([attribute.log_likelihood(log_probs=part) for part in next_log_probs])
            found = (each * real).sum(1) / real.sum(1)
        total = total + strength * found
    return total


def distinct(ids: Sequence[int], size: int) -> float:
    """The share of different ones among the n-grams of `size` tokens (Li et al. 2016); 0 where there is none."""
    grams = [tuple(ids[start : start + size]) for start in range(len(ids) - size + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def best(scores: Sequence[float], answers: Sequence[Sequence[int]], least: float = 0.0) -> int:
    """The place of the answer with the highest score among those whose mean of distinct 1-, 2- and 3-grams is at least `least`;
    of all, where none is."""
    diverse = [sum(distinct(answer, size) for size in (1, 2, 3)) / 3 >= least for answer in answers]
    kept = [place for place, keeps in enumerate(diverse) if keeps] or range(len(answers))
    return max(kept, key=lambda place: float(scores[place]))
