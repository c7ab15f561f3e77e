"""A batch of prompts of different length, and the choice of tokens.

A model is anything that `Generates` (`gyebo/models/protocol.py`): it has `prefill`, `step`, `project`, and a `config` with
vocab_size, context, bos_id, eos_id and pad_id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gyebo.generation import processors
from gyebo.generation.options import GenerationOptions


@dataclass
class Prompts:
    """Prompts of different length as one batch, padded on the left. `ids` and `real` (False at padding) [B, T]."""

    ids: Tensor
    real: Tensor
    limits: list[int]
    """Maximum generated tokens of each row: max_new_tokens, or the rest of the context (the last token is not read)."""

    @property
    def mask(self) -> Tensor | None:
        """The attention mask, None without padding."""
        return None if bool(self.real.all()) else self.real.long()


def prepare(
    model: Any, prompts: Sequence[Sequence[int]], options: GenerationOptions, most: Sequence[int] | None = None
) -> Prompts:
    """Check lists of ids against the model and make a batch of them. Raises ValueError with the number of the prompt, from 1.

    `most`: maximum number of generated tokens per prompt, instead of `options.max_new_tokens`.
    """
    if not model.generates:
        raise ValueError(f"a {model.title} cannot generate text: use a family with a causal model, such as gpt2")
    config = model.config
    if not prompts:
        raise ValueError("prompts is empty; give at least one")
    if options.min_new_tokens and config.eos_id is None:
        raise ValueError(f"min_new_tokens={options.min_new_tokens} has no effect: this model has no end token (eos_id)")
    for number, ids in enumerate(prompts, 1):
        _check(f"prompt {number}" if len(prompts) > 1 else "the prompt", ids, config)
    longest = max(map(len, prompts))
    device = device_of(model)
    rows = torch.full((len(prompts), longest), fill_id(config), dtype=torch.long)
    real = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, ids in enumerate(prompts):
        rows[row, longest - len(ids) :] = torch.as_tensor(ids)
        real[row, longest - len(ids) :] = True
    asked = most or [options.max_new_tokens] * len(prompts)
    limits = [min(limit, config.context - len(ids) + 1) for limit, ids in zip(asked, prompts, strict=True)]
    return Prompts(rows.to(device), real.to(device), limits)


def _check(name: str, ids: Sequence[int], config: Any) -> None:
    if not ids:
        raise ValueError(f"{name} is empty and this model has no start token (bos_id): give a non-empty prompt")
    if max(ids) >= config.vocab_size or min(ids) < 0:
        wrong = max(ids) if max(ids) >= config.vocab_size else min(ids)
        raise ValueError(
            f"{name} has the id {wrong}, but this model's vocabulary has {config.vocab_size}: the tokenizer belongs to another "
            "model"
        )
    if len(ids) > config.context:
        raise ValueError(f"{name} has {len(ids)} tokens, but this model's context is {config.context}: shorten it")


def fill_id(config: Any) -> int:
    """The id at masked positions: the padding token, otherwise the end token, otherwise 0."""
    return next((id for id in (config.pad_id, config.eos_id) if id is not None), 0)


def device_of(model: Any) -> torch.device:
    """The device of a model's weights."""
    return next(iter(model.parameters())).device


@dataclass(frozen=True)
class Forced:
    """Ids that a model does not choose itself: the `first` one of an answer, and the `last` one where it reaches its maximum
    length; None: it chooses. They mean what `forced_bos_token_id` and `forced_eos_token_id` mean in `transformers`: whatever
    else is forbidden, and without effect on the score of a hypothesis."""

    first: int | None = None
    last: int | None = None


NOTHING = Forced()


class Chooser:
    """The processors between logits and the choice of a token, for all decoding methods.

    `forbidden`: ids that are never generated, unless `forced`. `end`: the id of the end token, or None.
    """

    def __init__(
        self,
        options: GenerationOptions,
        forbidden: Sequence[int],
        end: int | None,
        device: torch.device,
        forced: Forced = NOTHING,
    ):
        self.options, self.forced = options, forced
        self.forbidden = torch.tensor(sorted(forbidden), dtype=torch.long, device=device)
        self.end = None if end is None else torch.tensor([end], device=device)

    def allow(self, scores: Tensor, ids: Tensor, real: Tensor, step: int, last: Tensor | None = None) -> Tensor:
        """Scores [B, V] of token `step` (from 0) after ids [B, L], with the processors that also apply without sampling. `last`
        [B]: rows in which it is the last one that fits; None: no row."""
        options = self.options
        if options.repetition_penalty != 1.0:
            scores = processors.repetition_penalty(scores, ids, real, float(options.repetition_penalty))
        if options.no_repeat_ngram:
            scores = processors.no_repeat_ngrams(scores, ids, real, options.no_repeat_ngram)
        if self.end is not None and step < options.min_new_tokens:
            scores = processors.suppress(scores, self.end)
        if len(self.forbidden):
            scores = processors.suppress(scores, self.forbidden)
        if self.forced.first is not None and step == 0:
            scores = processors.force(scores, self.forced.first)
        if self.forced.last is not None and last is not None:
            scores = torch.where(last[:, None], processors.force(scores, self.forced.last), scores)
        if options.no_repeat_ngram and bool((scores.amax(-1) == -torch.inf).any()):
            raise ValueError(
                f"token {step + 1}: no_repeat_ngram={options.no_repeat_ngram} forbids all tokens of the vocabulary; "
                "increase it, or lower max_new_tokens"
            )
        return scores

    def reshape(self, scores: Tensor) -> Tensor:
        """Scores [B, V] from which a token is sampled."""
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
    """Natural logs [B, V], float32, of the model's probabilities. Raises ValueError where logits [B, V] are not finite."""
    log_probs = logits.log_softmax(-1, dtype=torch.float32)
    if bool(log_probs[:, 0].isnan().any()):  # one nan logit makes its whole row nan
        raise ValueError(
            f"token {step + 1}: the model's logits are not finite: its weights are damaged, or overflow in this precision"
        )
    return log_probs
