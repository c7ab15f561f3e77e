"""Drawing: the image tokens of pictures for texts, sampled one after the other (Ramesh et al. 2021).

With guidance each picture is drawn by two predictions, one for its text and one without a text, and the difference between them
is exaggerated: logits = without + guidance * (with - without) (Ho & Salimans 2022, "Classifier-Free Diffusion Guidance", for
tokens as in Gafni et al. 2022, "Make-A-Scene").

Letters: S texts, C candidates of each, R = S*C pictures, N image tokens of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gyebo.generation import processors
from gyebo.generation.decoding import sample, uniforms
from gyebo.generation.prompts import log_probabilities
from gyebo.nn.decoding import decoding_copy

AT_ONCE = 64  # pictures that are drawn together


@dataclass(frozen=True)
class DrawingOptions:
    """How pictures are drawn. Raises ValueError for a value out of its range."""

    candidates: int = 1
    """Number of pictures for each text."""
    temperature: float = 1.0
    """Sampling temperature: logits are divided by it."""
    top_k: int = 0
    """Sample among the k most probable image tokens; 0: all."""
    guidance: float = 1.0
    """How much the difference that the text makes is exaggerated; 1: not at all."""
    seed: int = 0
    """Random seed; a picture also depends on the index of its text and its own number."""

    def __post_init__(self) -> None:
        for name, low, words in (
            ("candidates", 1, "a whole number of at least 1"),
            ("top_k", 0, "a whole number of at least 0 (0: off)"),
            ("seed", 0, "a whole number of at least 0"),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise ValueError(f"{name} must be {words}, but is {value!r} instead")
        for name, words in (("temperature", "above 0"), ("guidance", "above 0 (1: off)")):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 < value < math.inf:
                raise ValueError(f"{name} must be {words}, but is {value!r} instead")


@dataclass(frozen=True)
class Drawings:
    """Image tokens `codes` [S, C, N], and the natural log of each picture's probability for its text, [S, C], by the model
    itself: without temperature, top_k and guidance, and without the tokens that were given."""

    codes: Tensor
    log_probs: Tensor


@torch.inference_mode()
def draw(
    model: Any,
    texts: Sequence[Sequence[int]],
    options: DrawingOptions,
    *,
    given: Tensor | None = None,
    on_step: Callable[[float], None] | None = None,
) -> Drawings:
    """Draw pictures for lists of ids. `given` [S, n]: the first image tokens of each text's pictures. `on_step` is called with
    the share of the work that is done.

    A sampled token depends only on (seed, index of the text, number of the candidate, place). The model is used without
    dropout. Raises ValueError for guidance of a model that has not learned pictures without their text, and where logits are
    not finite.
    """
    if options.guidance != 1 and not model.config.guided:
        raise ValueError(
            f"guidance={options.guidance:g}: the model has not learned pictures without their text; train it with "
            "objective.without_text above 0, or leave guidance out"
        )
    device = model.image_embedding.weight.device
    count, places = options.candidates, model.config.image_tokens
    random = uniforms(options.seed, len(texts), count, places).view(len(texts), count, places).to(device)
    codes = torch.zeros(len(texts), count, places, dtype=torch.long, device=device)
    log_probs = torch.zeros(len(texts), count, dtype=torch.float64, device=device)
    chunks = list(_chunks(len(texts), count))
    drawing = decoding_copy(model, places)
    for number, (some, numbers) in enumerate(chunks):
        ids, mask = padded(texts[some], device)
        start = None if given is None else given[some].to(device)

        def step(share: float, number: int = number) -> None:
            if on_step:
                on_step((number + share) / len(chunks))

        found = _draw(drawing, ids, mask, random[some, numbers], options, start, step)
        codes[some, numbers], log_probs[some, numbers] = found
    return Drawings(codes, log_probs)


def _chunks(texts: int, count: int) -> Iterator[tuple[slice, slice]]:
    """Texts, and numbers of their candidates, that are drawn together."""
    several, most = max(1, AT_ONCE // count), min(count, AT_ONCE)
    for first in range(0, texts, several):
        for start in range(0, count, most):
            yield slice(first, min(texts, first + several)), slice(start, min(count, start + most))


def padded(texts: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Lists of ids as ids and mask [S, t], padded at the end."""
    longest = max(1, *(len(text) for text in texts)) if texts else 1
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = torch.tensor(text, dtype=torch.long), 1
    return ids.to(device), mask.to(device)


def _draw(
    model: Any,
    ids: Tensor,
    mask: Tensor,
    random: Tensor,
    options: DrawingOptions,
    given: Tensor | None,
    on_step: Callable[[float], None],
) -> tuple[Tensor, Tensor]:
    """Codes [S, C, N] and log-probabilities [S, C] of the texts [S, t]; random [S, C, N]."""
    texts, copies, places = random.shape
    first = 0 if given is None else given.shape[1]
    codes = torch.zeros(texts * copies, places, dtype=torch.long, device=ids.device)
    if given is not None:
        codes[:, :first] = given.repeat_interleave(copies, 0)
    twice = 2 if options.guidance != 1 else 1
    if twice == 2:  # below: the same without their texts
        ids, mask = torch.cat([ids, ids]), torch.cat([mask, torch.zeros_like(mask)])
        given = None if given is None else torch.cat([given, given])
    log_probs = torch.zeros(texts * copies, dtype=torch.float64, device=ids.device)
    hidden, cache = model.start_picture(ids, mask, given, copies=copies)
    for place in range(first, places):
        logits = model.project(hidden, "image").float()
        own = logits[: len(codes)]
        scores = logits = own if twice == 1 else guided(own, logits[len(codes) :], options.guidance)
        if options.temperature != 1:
            scores = processors.temperature(scores, options.temperature)
        if options.top_k:
            scores = processors.top_k(scores, options.top_k)
        chosen = sample(scores, random[:, :, place].flatten())
        codes[:, place] = chosen
        log_probs += log_probabilities(own, place).gather(1, chosen[:, None])[:, 0]
        on_step((place + 1 - first) / (places - first))
        if place + 1 < places:
            hidden = model.next_code(chosen.repeat(twice), cache)
    return codes.view(texts, copies, places), log_probs.view(texts, copies)


def guided(with_text: Tensor, without: Tensor, guidance: float) -> Tensor:
    """Logits [R, V] with the difference that the text makes, multiplied."""
    return without + guidance * (with_text - without)
