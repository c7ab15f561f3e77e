"""Writing what belongs to a source, as its translation or its answer, by beam search or greedy decoding, over token ids.

A model is anything that `EncodesSource` (`gyebo/models/protocol.py`), or that `Generates`: a decoder alone goes on
from the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gyebo.generation.beams import Hypothesis, search
from gyebo.generation.decoding import decode
from gyebo.generation.options import GenerationOptions
from gyebo.generation.prompts import NOTHING, Forced, device_of, fill_id
from gyebo.nn.decoding import decoding_copy

MORE = 50  # number of tokens by which a translation may be longer than its source (Vaswani et al. 2017, section 6.1)
TOKENS = 1024  # source tokens of a batch, padding included


@dataclass
class Sources:
    """Sources [B, T] and a translation model, as one that `Generates` and whose prompts are the first ids of the translations.

    `return_attentions`: the cache collects the attention to the sources.
    """

    generates: ClassVar[bool] = True
    encodes_source: ClassVar[bool] = True
    model: Any
    ids: Tensor
    mask: Tensor | None
    return_attentions: bool = False

    @property
    def config(self) -> Any:
        """The config of the model."""
        return self.model.config

    @property
    def real(self) -> Tensor:
        """False at padding, [B, T]."""
        return torch.ones_like(self.ids, dtype=torch.bool) if self.mask is None else self.mask.bool()

    def parameters(self) -> Any:
        """The parameters of the model."""
        return self.model.parameters()

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Any]:
        """Read the sources, and the first ids [B, L] of the translations, without padding; as `Generates.prefill`."""
        cache = self.model.read_source(self.ids, self.mask, slots=slots)
        if self.return_attentions:
            cache.attentions = []
        hidden = [self.model.step(ids, cache) for ids in input_ids.unbind(1)]
        return hidden[-1], cache

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """As that of the model."""
        return self.model.step(ids, cache)

    def project(self, hidden: Tensor) -> Tensor:
        """As that of the model."""
        return self.model.project(hidden)


def translate(
    model: Any,
    sources: Sequence[Sequence[int]],
    options: GenerationOptions,
    *,
    forbidden: Sequence[int] = (),
    autocast: Callable[[], Any] = nullcontext,
    tokens: int = TOKENS,
    max_length: Callable[[int], int] = lambda length: length + MORE,
) -> list[list[Hypothesis]]:
    """The `options.samples` best translations of each source (lists of ids, special tokens included), best first; without
    beams by greedy decoding.

    Sources of similar length share a batch of at most `tokens` tokens; what is written has at most `max_length(length of
    source)` ids, whatever `options.max_new_tokens` is. `forbidden` ids are never generated, but those that the model forces.
    Raises ValueError for a source that is empty, or has an id outside the model's vocabulary.
    """
    vocabulary, find = model.config.vocab_size, search if options.beams > 1 else _greedy
    with autocast():  # determines the dtype of the copy's weights
        model = decoding_copy(model)
    for number, ids in enumerate(sources, 1):
        if not ids or min(ids) < 0 or max(ids) >= vocabulary:
            what = "is empty" if not ids else f"has an id outside the model's vocabulary of {vocabulary}"
            raise ValueError(f"source {number} {what}")
    order = sorted(range(len(sources)), key=lambda number: -len(sources[number]))
    found: list[list[Hypothesis]] = [[] for _ in sources]
    at = 0
    while at < len(order):
        numbers = order[at : at + max(1, tokens // len(sources[order[at]]))]
        at += len(numbers)
        batch = [sources[number] for number in numbers]
        limits = [min(max_length(len(ids)), model.config.context) for ids in batch]
        with autocast():
            writer, starts, forced = begin(model, batch, return_attentions=options.coverage_penalty > 0)
            answers = find(writer, starts, options, forbidden=forbidden, forced=forced, limits=limits)
        for number, answer in zip(numbers, answers):
            found[number] = answer
    return found


def begin(
    model: Any, sources: Sequence[Sequence[int]], *, return_attentions: bool = False
) -> tuple[Any, list[list[int]], Forced]:
    """What decoding begins with for these sources: a model that `Generates`, the prompts that it reads, and what it does not
    choose. Of a decoder alone the sources are the prompts."""
    if not model.encodes_source:
        return model, [[*ids] for ids in sources], NOTHING
    starts = [[model.start_id] for _ in sources]
    return sources_of(model, sources, return_attentions), starts, Forced(*model.forced_ids)


def _greedy(
    sources: Any,
    starts: list[list[int]],
    options: GenerationOptions,
    *,
    forbidden: Sequence[int],
    forced: Forced,
    limits: list[int],
) -> list[list[Hypothesis]]:
    """Greedy decoding."""
    ids: list[list[int]] = [[] for _ in starts]
    logs = torch.zeros(len(starts))
    greedy = replace(options, greedy=True)
    for step in decode(sources, starts, greedy, forbidden=forbidden, forced=forced, limits=limits):
        logs += step.log_probs.float().cpu() * step.active.cpu()
        for row, id, active in zip(ids, step.ids.tolist(), step.active.tolist()):
            if active:
                row.append(id)
    return [[Hypothesis(row, log / len(row), log)] for row, log in zip(ids, logs.tolist())]


def sources_of(model: Any, batch: Sequence[Sequence[int]], return_attentions: bool) -> Sources:
    """Sources (lists of ids) as a batch, padded on the right."""
    longest, device = max(map(len, batch)), device_of(model)
    ids = torch.full((len(batch), longest), fill_id(model.config), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sentence in enumerate(batch):
        ids[row, : len(sentence)], mask[row, : len(sentence)] = torch.as_tensor(sentence), 1
    return Sources(model, ids.to(device), None if bool(mask.all()) else mask.to(device), return_attentions)
