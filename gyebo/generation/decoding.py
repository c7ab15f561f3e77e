"""Greedy decoding and sampling over token ids, one step at a time.

Letters: R rows (prompt by prompt, the samples of one prompt adjacent), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gyebo.generation.options import GenerationOptions
from gyebo.generation.prompts import NOTHING, Chooser, Forced, Prompts, fill_id, log_probabilities, prepare
from gyebo.nn.decoding import decoding_copy


@dataclass(frozen=True)
class Step:
    """The result of one step.

    `ids` [R]: the new token of each row, padding for rows that had ended before; `active` [R]: False for those;
    `log_probs` [R]: natural log of the model's probability of the token, before options reshaped it (0 where not active);
    `finished` [R]: rows that have ended by now. The last one is shared with the loop: the consumer of the steps may set it for
    a row (a stop string was found), which is then no longer computed.
    """

    ids: Tensor
    active: Tensor
    log_probs: Tensor
    finished: Tensor


def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: GenerationOptions,
    *,
    forbidden: Sequence[int] = (),
    forced: Forced = NOTHING,
    limits: Sequence[int] | None = None,
) -> Iterator[Step]:
    """Steps of greedy decoding or sampling for lists of ids; `forbidden` ids are never chosen, unless `forced`. `limits`:
    maximum number of generated tokens per prompt, instead of `options.max_new_tokens`.

    The prompts are read once, at the first step. A row ends with the model's end token or at its limit, the iterator with the
    last row; rows that have ended are no longer computed. A sampled token depends only on (seed, index of the prompt, index of
    the sample, index of the token), not on the rest of the batch. The model is used without dropout, with the weights that it
    has at the first step. Raises ValueError for a prompt that does not fit and, in the iterator, where logits are not finite.
    """
    if options.beams > 1:
        raise ValueError(f"beams={options.beams}: beam search cannot be streamed; use gyebo.generation.beams.search")
    if options.rank:
        raise ValueError(f"rank={options.rank}: an answer is known when all candidates are; use gyebo.generation.rank")
    batch = prepare(model, prompts, options, limits)
    finished = torch.zeros(len(prompts) * options.samples, dtype=torch.bool, device=batch.ids.device)
    chooser = Chooser(options, forbidden, model.config.eos_id, batch.ids.device, forced)
    return _steps(model, batch, options, chooser, finished)


@torch.inference_mode()
def _steps(model: Any, batch: Prompts, options: GenerationOptions, chooser: Chooser, finished: Tensor) -> Iterator[Step]:
    device, end, pad = batch.ids.device, model.config.eos_id, fill_id(model.config)
    count, longest = max(batch.limits), batch.ids.shape[1]
    origin = torch.arange(len(batch.limits), device=device).repeat_interleave(options.samples)  # the prompt of each row
    limits = torch.tensor(batch.limits, device=device)[origin]
    random = None if options.greedy else uniforms(options.seed, len(batch.limits), options.samples, count).to(device)
    history = torch.cat([batch.ids[origin], batch.ids.new_full((len(origin), count), pad)], 1)
    real = torch.cat([batch.real[origin], batch.real.new_ones(len(origin), count)], 1)
    live = torch.arange(len(origin), device=device)  # rows that are still computed
    model = decoding_copy(model, count)
    hidden, cache = model.prefill(batch.ids, batch.mask, slots=longest + count - 1)
    if options.samples > 1:
        hidden, cache = hidden[origin], cache.reorder(origin)
    for step in range(count):
        logits = model.project(hidden).float()
        log_probs = log_probabilities(logits, step)
        length = longest + step
        ended = limits == step + 1
        scores = chooser.allow(logits, history[:, :length], real[:, :length], step, ended)
        chosen = scores.argmax(-1) if random is None else sample(chooser.reshape(scores), random[live, step])
        history[:, length] = chosen
        if end is not None:
            ended = ended | (chosen == end)
        yield _step(live, finished, ended, chosen, log_probs.gather(1, chosen[:, None])[:, 0], pad)
        left = len(finished) - int(finished.sum())
        if not left:
            return
        if left < len(live):
            kept = (~finished[live]).nonzero()[:, 0]
            cache, live, chosen = cache.reorder(kept), live[kept], chosen[kept]
            history, real, limits = history[kept], real[kept], limits[kept]
        hidden = model.step(chosen, cache)


def _step(live: Tensor, finished: Tensor, ended: Tensor, chosen: Tensor, log_probs: Tensor, pad: int) -> Step:
    """A step of all rows from one of the live rows; `ended` ones of these are set in `finished`."""
    if len(live) == len(finished):
        finished |= ended
        return Step(chosen, torch.ones_like(finished), log_probs, finished)
    finished[live] |= ended
    active = torch.zeros_like(finished)
    active[live] = True
    ids = chosen.new_full(finished.shape, pad)
    ids[live] = chosen
    all_log_probs = log_probs.new_zeros(finished.shape)
    all_log_probs[live] = log_probs
    return Step(ids, active, all_log_probs, finished)


def uniforms(seed: int | None, prompts: int, samples: int, steps: int) -> Tensor:
    """Random numbers in [0, 1) [prompts * samples, steps], float64: a separate stream for each (seed, prompt, sample)."""
    entropy = np.random.SeedSequence(seed)  # None: from the operating system
    rows = []
    for prompt in range(prompts):
        for number in range(samples):
            stream = np.random.SeedSequence(entropy.entropy, spawn_key=(prompt, number))
            # 32 bits: a number times a total then never rounds up to the total.
            rows.append(np.random.Generator(np.random.Philox(stream)).integers(0, 2**32, steps) / 2**32)
    return torch.from_numpy(np.stack(rows))


def sample(scores: Tensor, uniform: Tensor) -> Tensor:
    """The token [R] at which the cumulative probability of scores [R, V] exceeds uniform [R]."""
    cumulative = scores.double().softmax(-1).cumsum(-1)
    target = uniform[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, target, right=True)[:, 0]
