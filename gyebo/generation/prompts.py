"""What a generator must offer, and a batch of prompts of different length made ready for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from gyebo.generation import processors
from gyebo.generation.options import GenerationOptions


class Cache(Protocol):
    """What a model remembers of the tokens it has read."""

    def reorder(self, rows: Tensor) -> Any:
        """The cache of rows [B'] in that order, repeats allowed; this one must not be used any more."""


class Generator(Protocol):
    """The model protocol, as far as generation needs it; `config` has vocab_size, context, bos_id, eos_id and pad_id.

    Letters: B rows, T length of the prompts, D width, V vocabulary.
    """

    config: Any
    generates: ClassVar[bool]  # True: `prefill` and `step` are there
    encodes_source: ClassVar[bool]  # True: its cache may note how much attention the source gets

    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, Any]:
        """Prompts [B, T] -> hidden [B, D] of each last real token, and a cache with room for `slots` tokens."""

    def step(self, ids: Tensor, cache: Any) -> Tensor:
        """One more token a row: ids [B] -> hidden [B, D]."""

    def project(self, hidden: Tensor) -> Tensor:
        """[B, D] -> logits [B, V]."""


@dataclass
class Prompts:
    """Prompts of different length as one batch, padded on the left. `ids` and `real` (False at padding) [B, T]."""

    ids: Tensor
    real: Tensor
    limits: list[int]
    """How many tokens each row may get: max_new_tokens, or what the context leaves (the last token is never read again)."""

    @property
    def mask(self) -> Tensor | None:
        """The attention mask, None where nothing is padded."""
        return None if bool(self.real.all()) else self.real.long()


def prepare(
    model: Generator, prompts: Sequence[Sequence[int]], options: GenerationOptions, most: Sequence[int] | None = None
) -> Prompts:
    """Check lists of ids against the model and lay them out. Raises ValueError that names the prompt, counted from 1.

    `most`: how many tokens each may get, instead of `options.max_new_tokens`.
    """
    if not model.generates:
        raise ValueError(f"{type(model).__name__} cannot write text: use a family that learned to predict the next token")
    config = model.config
    if not prompts:
        raise ValueError("prompts: there is none; give at least one")
    if options.min_new_tokens and config.eos_id is None:
        raise ValueError(f"min_new_tokens={options.min_new_tokens} has no effect: this model has no end token (eos_id)")
    for number, ids in enumerate(prompts, 1):
        _check(f"prompt {number}" if len(prompts) > 1 else "the prompt", ids, config)
    longest = max(map(len, prompts))
    device = device_of(model)
    rows = torch.full((len(prompts), longest), filler(config), dtype=torch.long)
    real = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, ids in enumerate(prompts):
        rows[row, longest - len(ids) :] = torch.as_tensor(ids)
        real[row, longest - len(ids) :] = True
    asked = most or [options.max_new_tokens] * len(prompts)
    limits = [min(limit, config.context - len(ids) + 1) for limit, ids in zip(asked, prompts, strict=True)]
    return Prompts(rows.to(device), real.to(device), limits)


def _check(name: str, ids: Sequence[int], config: Any) -> None:
    if not ids:
        raise ValueError(f"{name} is empty and this model has no start token (bos_id): give it some text")
    if max(ids) >= config.vocab_size or min(ids) < 0:
        wrong = max(ids) if max(ids) >= config.vocab_size else min(ids)
        raise ValueError(
            f"{name} has the id {wrong}, but this model's vocabulary has {config.vocab_size}: the tokenizer is another's"
        )
    if len(ids) > config.context:
        raise ValueError(f"{name} has {len(ids)} tokens, but this model's context is {config.context}: shorten it")


def filler(config: Any) -> int:
    """The id that stands where nothing is read: padding, else the end, else 0."""
    return next((id for id in (config.pad_id, config.eos_id) if id is not None), 0)


def device_of(model: Any) -> torch.device:
    """Where a model's weights are."""
    return next(iter(model.parameters())).device


class Chooser:
    """Everything between logits and the choice that all ways of decoding share: which tokens may follow, how probable.

    `forbidden`: ids that never follow. `end`: the id that ends a text, or None.
    """

    def __init__(self, options: GenerationOptions, forbidden: Sequence[int], end: int | None, device: torch.device):
        self.options = options
        self.forbidden = torch.tensor(sorted(forbidden), dtype=torch.long, device=device)
        self.end = None if end is None else torch.tensor([end], device=device)

    def allow(self, scores: Tensor, ids: Tensor, real: Tensor, step: int) -> Tensor:
        """Scores [B, V] for the token number `step` (from 0) after ids [B, L]: what no draw is needed for."""
        options = self.options
        if options.repetition_penalty != 1.0:
            scores = processors.repetition_penalty(scores, ids, real, float(options.repetition_penalty))
        if options.no_repeat_ngram:
            scores = processors.no_repeat_ngrams(scores, ids, real, options.no_repeat_ngram)
        if self.end is not None and step < options.min_new_tokens:
            scores = processors.suppress(scores, self.end)
        if len(self.forbidden):
            scores = processors.suppress(scores, self.forbidden)
        if options.no_repeat_ngram and bool((scores.amax(-1) == -torch.inf).any()):
            raise ValueError(
                f"token {step + 1}: no_repeat_ngram={options.no_repeat_ngram} leaves no token of the vocabulary to follow; "
                "raise it, or lower max_new_tokens"
            )
        return scores

    def reshape(self, scores: Tensor) -> Tensor:
        """Scores [B, V] from which a token is drawn."""
        options = self.options
        if options.temperature != 1.0:
            scores = processors.temperature(scores, options.temperature)
        if options.top_k:
            scores = processors.top_k(scores, options.top_k)
        if options.top_p < 1.0:
            scores = processors.top_p(scores, options.top_p)
        if options.min_p:
            scores = processors.min_p(scores, options.min_p)
        return scores


def log_probabilities(logits: Tensor, step: int) -> Tensor:
    """Natural logs [B, V], float32, of the model's own probabilities. Raises ValueError where logits [B, V] are no numbers."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    if bool(log_probs[:, 0].isnan().any()):  # one logit that is none leaves no number in its whole row
        raise ValueError(
            f"token {step + 1}: the model's logits are not finite: its weights are damaged, or overflow in this precision"
        )
    return log_probs
