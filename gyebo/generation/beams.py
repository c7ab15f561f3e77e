"""Beam search over token ids.

Equal, token for token, to `transformers.generate(num_beams=...)`, which differs from the textbook in two ways: the score of a
hypothesis is its log-probability / length**length_penalty, and the search for a prompt ends when its best running hypothesis,
scored at its current length, is behind the worst finished one (with `early_stopping`: when K hypotheses are finished).

Letters: B prompts, K beams, C = 2K candidates (so that K continue even if K of them end), V vocabulary, L tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gyebo.generation.options import GenerationOptions
from gyebo.generation.processors import top_scores
from gyebo.generation.prompts import NOTHING, Chooser, Forced, Prompts, fill_id, log_probabilities, prepare
from gyebo.nn.decoding import decoding_copy

_NEVER = -1e9  # score of missing hypotheses; sums with it must stay finite
_CACHED = 1 << 18  # number of logits that fit into a processor's cache together with their intermediate results


@dataclass(frozen=True)
class Hypothesis:
    """A hypothesis: its generated `ids` (with the end token if it has one), its `score` (see length_penalty) and the natural
    log of the model's probability of the ids."""

    ids: list[int]
    score: float
    log_probability: float


@dataclass
class _Beams:
    """K hypotheses per prompt: `ids` [B, K, L] (prompt and answer), `scores`, `log_probs` [B, K], `lengths` of the answers
    [B, K]; `done` [B, K]: the slot holds a finished hypothesis; `seen` [B, K, T]: attention so far to each token of a source
    (T = 0 without a coverage penalty)."""

    ids: Tensor
    scores: Tensor
    log_probs: Tensor
    lengths: Tensor
    done: Tensor
    seen: Tensor

    @classmethod
    def empty(cls, ids: Tensor, source: int = 0) -> _Beams:
        shape = ids.shape[:2]
        return cls(
            ids=ids,
            scores=torch.full(shape, _NEVER, device=ids.device),
            log_probs=torch.zeros(shape, device=ids.device),
            lengths=torch.zeros(shape, dtype=torch.long, device=ids.device),
            done=torch.zeros(shape, dtype=torch.bool, device=ids.device),
            seen=torch.zeros(*shape, source, device=ids.device),
        )

    def select(self, places: Tensor) -> _Beams:
        """The hypotheses in slots [B, N]."""
        rest = (self.scores, self.log_probs, self.lengths, self.done)
        ids, seen = (part.gather(1, places[:, :, None].expand(-1, -1, part.shape[2])) for part in (self.ids, self.seen))
        scores, log_probs, lengths, done = (part.gather(1, places) for part in rest)
        return _Beams(ids, scores, log_probs, lengths, done, seen)

    def of_prompts(self, chosen: Tensor | slice) -> _Beams:
        """The hypotheses of some prompts."""
        return _Beams(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def concat(self, other: _Beams) -> _Beams:
        """The hypotheses of both."""
        return _Beams(*(torch.cat([getattr(self, name), getattr(other, name)], 1) for name in self.__dataclass_fields__))


class _Coverage:
    """The coverage penalty (Wu et al. 2016, equation 14). `real` [B, T]: the real tokens of the sources."""

    def __init__(self, model: Any, cache: Any):
        if not model.encodes_source or cache.attentions is None:
            raise ValueError("coverage_penalty has no effect: this model has no attention to a source; leave it out")
        self.real: Tensor = model.real
        self.attentions: list[Tensor] = cache.attentions

    def last_weights(self, prompts: int) -> Tensor:
        """The attention weights of the last step, [B, K or 1, T]."""
        weights = self.attentions[-1].unflatten(0, (prompts, -1))
        self.attentions.clear()
        return weights

    def penalty(self, seen: Tensor) -> Tensor:
        """The sum over the source of log(min(attention so far, 1)), [B, C]; 0 if every token has had an attention of 1."""
        return (seen.clamp(1e-10, 1.0).log() * self.real[:, None]).sum(-1)


@torch.inference_mode()
def search(
    model: Any,
    prompts: Sequence[Sequence[int]],
    options: GenerationOptions,
    *,
    forbidden: Sequence[int] = (),
    forced: Forced = NOTHING,
    limits: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """The `options.samples` best hypotheses for each prompt (lists of ids), best first; they contain no `forbidden` ids unless
    they are `forced`.

    `limits`: maximum number of generated tokens per prompt, instead of `options.max_new_tokens`. With a coverage penalty the
    model's cache must have the weights of the attention to the source (`attentions`).

    Raises ValueError for a prompt that does not fit or logits that are not finite.
    """
    batch = prepare(model, prompts, options, limits)
    longest = batch.ids.shape[1]
    answers: dict[int, list[Hypothesis]] = {}
    chooser = Chooser(options, forbidden, model.config.eos_id, batch.ids.device, forced)
    for prompt, texts in _search(decoding_copy(model, max(batch.limits)), batch, options, chooser):
        ids = [row[longest : longest + length] for row, length in zip(texts.ids[0].tolist(), texts.lengths[0].tolist())]
        found = zip(ids, texts.scores[0].tolist(), texts.log_probs[0].tolist())
        answers[prompt] = [Hypothesis(*parts) for parts in found][: options.samples]
    return [answers[prompt] for prompt in range(len(prompts))]


def _search(model: Any, batch: Prompts, options: GenerationOptions, chooser: Chooser) -> Iterator[tuple[int, _Beams]]:
    """(index of the prompt, its finished hypotheses) for each prompt when its search ends; it leaves the batch then."""
    device, beams, count, longest = batch.ids.device, options.beams, max(batch.limits), batch.ids.shape[1]
    live = torch.arange(len(batch.limits), device=device)
    limits = torch.tensor(batch.limits, device=device)
    hidden, cache = model.prefill(batch.ids, batch.mask, slots=longest + count - 1)
    coverage = _Coverage(model, cache) if options.coverage_penalty else None
    hidden, cache = hidden.repeat_interleave(beams, 0), cache.reorder(live.repeat_interleave(beams))
    texts = torch.cat([batch.ids, batch.ids.new_full((len(live), count), fill_id(model.config))], 1)
    real = torch.cat([batch.real, batch.real.new_ones(len(live), count)], 1).repeat_interleave(beams, 0)
    running = _Beams.empty(texts[:, None].repeat(1, beams, 1), coverage.real.shape[1] if coverage else 0)
    running.scores[:, 0] = 0.0  # all beams are identical at first: only one may be extended
    finished = _Beams.empty(running.ids, running.seen.shape[2])
    for step in range(count):
        length = longest + step
        if coverage:
            running.seen = running.seen + coverage.last_weights(len(live))
        logits, before = model.project(hidden), running.ids.flatten(0, 1)[:, :length]
        last = step + 1 >= limits[live]  # [B]
        rows = last.repeat_interleave(beams)
        best_tokens = _best_tokens(logits, chooser, before, real[:, :length], step, rows, 2 * beams)
        candidates, origin = _extend(running, *best_tokens, length, step)
        ends = last[:, None].expand_as(candidates.done)
        if chooser.end is not None:
            ends = ends | (candidates.ids[:, :, length] == chooser.end)
        penalty = coverage.penalty(candidates.seen) * options.coverage_penalty if coverage else 0.0
        finished = _finish(finished, candidates, ends, step + 1, options, penalty)
        candidates.scores = candidates.scores + ends * _NEVER
        best = candidates.scores.topk(beams).indices
        running, origin = candidates.select(best), origin.gather(1, best)
        over = _is_over(running, finished, step + 1, options) | ends.all(-1)
        for place in over.nonzero()[:, 0].tolist():
            yield int(live[place]), finished.of_prompts(slice(place, place + 1))
        if bool(over.all()):
            return
        rows = origin + torch.arange(len(live), device=device)[:, None] * beams
        if bool(over.any()):
            kept = (~over).nonzero()[:, 0]
            live, rows, running, finished = live[kept], rows[kept], running.of_prompts(kept), finished.of_prompts(kept)
            real = real.unflatten(0, (-1, beams))[kept].flatten(0, 1)
            if coverage:
                coverage.real = coverage.real[kept]
        cache = cache.reorder(rows.flatten())
        hidden = model.step(running.ids[:, :, length].flatten(), cache)


def _best_tokens(
    logits: Tensor, chooser: Chooser, ids: Tensor, real: Tensor, step: int, last: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The `most` best next tokens of each beam: their scores, their ids, and the logs of the model's probabilities, [B*K, most]
    each. logits [B*K, V], ids and real [B*K, L], last [B*K].

    On a CPU a few rows at a time, so that intermediate results stay in the cache.
    """
    rows, vocabulary = logits.shape
    rows = max(1, _CACHED // vocabulary) if logits.device.type == "cpu" else rows
    found = []
    for part, before, known, full in zip(*(tensor.split(rows) for tensor in (logits, ids, real, last))):
        own = log_probabilities(part, step)
        scores, tokens = top_scores(chooser.allow(own, before, known, step, full), min(most, vocabulary))
        found.append((scores, tokens, own.gather(1, tokens)))
    scores, tokens, own = (torch.cat(parts) for parts in zip(*found))
    return scores, tokens, own


def _extend(running: _Beams, scores: Tensor, tokens: Tensor, own: Tensor, length: int, step: int) -> tuple[_Beams, Tensor]:
    """The C best extensions by one token, and the beam [B, C] that each extends. `scores`, `tokens` and `own` [B*K, N]: the N
    best tokens of each beam, at least C or all, as from `_best_tokens`."""
    prompts, beams = running.scores.shape
    sums = scores.view(prompts, beams, -1) + running.scores[:, :, None]
    best = sums.flatten(1).topk(2 * beams)
    origin = best.indices // scores.shape[1]
    tokens, own = (part.view(prompts, -1).gather(1, best.indices) for part in (tokens, own))
    candidates = running.select(origin)
    candidates.ids[:, :, length] = tokens
    candidates.scores = best.values
    candidates.log_probs = candidates.log_probs + own
    candidates.lengths = torch.full_like(candidates.lengths, step + 1)
    return candidates, origin


def _finish(
    finished: _Beams, candidates: _Beams, ends: Tensor, length: int, options: GenerationOptions, penalty: Tensor | float
) -> _Beams:
    """The K best finished hypotheses, after adding the first K candidates as far as they end; `penalty` [B, C] is theirs."""
    beams = finished.scores.shape[1]
    ended = ends & (torch.arange(ends.shape[1], device=ends.device) < beams)
    scores = candidates.scores / length**options.length_penalty + penalty + (~ended) * _NEVER
    both = finished.concat(replace(candidates, scores=scores, done=ended))
    return both.select(both.scores.topk(beams).indices)


def _is_over(running: _Beams, finished: _Beams, length: int, options: GenerationOptions) -> Tensor:
    """[B]: every slot holds a finished hypothesis, and no running one, scored at its current length, beats the worst."""
    full = finished.done.all(-1)
    if options.early_stopping:
        return full
    best_running = running.scores[:, 0] / length**options.length_penalty
    return full & (best_running <= finished.scores.amin(-1))
