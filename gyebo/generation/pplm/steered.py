"""PPLM: Dathathri et al. 2020, "Plug and Play Language Models: a Simple Approach to Controlled Text Generation".

Before each token, the keys and values of what stands before the newest token are moved a few steps along the gradient of
ln p(attribute), which a small attribute model computes from what the language model says next; no weight changes. The moved
keys and values stay the past of the tokens after it (section 3.2). Two things keep the text fluent (section 3.3): a divergence
from the unmodified model's distribution in the loss, and a token is sampled from the geometric mean of both distributions.

The unmodified model reads the same tokens with a second cache, so a step costs two forward passes of a token and `iterations`
forward and backward passes, however long the text is. All rows share one graph; each has its own norms, so its result does not
depend on the others. Gradients are asked of the keys and values alone.

Letters: B rows, L layers, H heads, S slots of the past, W of them that are moved, K width of a head, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gyebo.generation.pplm.attributes import Control
from gyebo.generation.pplm.settings import check_strength, strength_at
from gyebo.nn.cache import KeyValueCache
from gyebo.nn.decoding import decoding_copy

TINY = 1e-15  # added to a norm, as in the released code


@dataclass
class SteeredCache:
    """The caches of one steered answer a row.

    `plain`: of the unmodified `model` (a copy for decoding), all tokens that were read; `moved`: the past, moved. `moved_rows`
    [B]: whether anything of a row's past was moved so far. `history` [B, D]: the sum of the unmodified hidden states of all
    tokens but the newest, None where no attribute reads them. `norms` [L, B]: the largest norms so far. `written`: tokens of
    the answer so far, `most`: those over which a course of strengths extends.
    """

    model: Any
    plain: KeyValueCache
    moved: KeyValueCache
    moved_rows: Tensor
    history: Tensor | None
    norms: Tensor
    most: int
    written: int = 0

    @torch.inference_mode(False)
    @torch.no_grad()
    def reorder(self, rows: Tensor) -> SteeredCache:
        """The cache of rows [B'], repeats allowed; this one must not be used afterwards."""
        rows = rows.clone()  # one of inference mode would make inference tensors of all that it picks
        return replace(
            self,
            plain=self.plain.reorder(rows),
            moved=self.moved.reorder(rows),
            moved_rows=self.moved_rows[rows],
            history=None if self.history is None else self.history[rows],
            norms=self.norms[:, rows],
        )


class Steered:
    """A model under control, as one that `Generates` (`gyebo/models/protocol.py`): its hidden states are the logits from which
    tokens are chosen. Temperature, top-k and the like reshape the distribution that comes of it.

    `tokens`: of an answer, over which a course of strengths extends; None: all that fit. `written`: those of them that stand at
    the end of the prompt already. Raises ValueError for a model that
    can't be steered, and for attributes that don't belong to it.
    """

    generates: ClassVar[bool] = True
    encodes_source: ClassVar[bool] = False

    def __init__(self, model: Any, control: Control, tokens: int | None = None, *, written: int = 0):
        if not (model.generates and model.steers):
            raise ValueError(
                f"a {model.title} can't be steered: it has no keys and values of its past that could be moved; use gpt, "
                "gpt2, bart_decoder or transformer_xl"
            )
        for attribute in control.attributes:
            attribute.check(model.config)
        self.control, self.settings, self.tokens, self.written = control, control.settings, tokens, written
        self._model = model

    @property
    def config(self) -> Any:
        """The config of the model."""
        return self._model.config

    def parameters(self) -> Iterator[Tensor]:
        """The parameters of the model."""
        return self._model.parameters()

    def project(self, hidden: Tensor) -> Tensor:
        """What `prefill` and `step` give: [B, V]."""
        return hidden

    @torch.inference_mode(False)
    @torch.no_grad()
    def prefill(self, input_ids: Tensor, attention_mask: Tensor | None = None, *, slots: int) -> tuple[Tensor, SteeredCache]:
        """Read prompts [B, T], padded on the left; returns logits [B, V] of the first token and a cache of `slots` tokens."""
        ids = input_ids.clone()  # tensors of inference mode can't take part in a gradient
        mask = None if attention_mask is None else attention_mask.clone()
        fits = slots - ids.shape[1] + 1
        passes = 2 + 2 * self.settings.iterations  # of each token, forward and backward
        model = decoding_copy(self._model, passes * fits, gradient=True)
        hidden, plain = model.prefill(ids, mask, slots=slots)
        history = None
        if self.control.imagines:
            history = _wide(model.encode(ids, mask).hidden)[:, :-1].sum(1)
        past = plain.before_last()
        norms = torch.zeros(len(past.keys), len(ids), dtype=past.keys[0].dtype, device=ids.device)
        moved_rows = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
        most = self.tokens or self.written + fits
        cache = SteeredCache(model, plain, past, moved_rows, history, norms, most, self.written)
        return self._next(ids[:, -1], hidden, cache), cache

    @torch.inference_mode(False)
    @torch.no_grad()
    def step(self, ids: Tensor, cache: SteeredCache) -> Tensor:
        """One more token a row: ids [B] -> logits [B, V]; the cache is extended in place."""
        ids = ids.clone()
        return self._next(ids, cache.model.step(ids, cache.plain), cache)

    def _next(self, ids: Tensor, hidden: Tensor, cache: SteeredCache) -> Tensor:
        """The logits after the newest ids [B], whose unmodified hidden state is `hidden` [B, D]."""
        plain = _wide(cache.model.project(hidden))
        if self.settings.grad_length is None or cache.written < self.settings.grad_length:
            self._move(ids, plain, cache)
        moved = _wide(cache.model.project(cache.model.step(ids, cache.moved)))
        if cache.history is not None:
            cache.history = cache.history + _wide(hidden)
        cache.written += 1
        # p_moved^g p^(1 - g) up to a factor; a past that was never moved gives the unmodified logits to the bit
        return plain + self.settings.gm_scale * (moved - plain).masked_fill(~cache.moved_rows[:, None], 0.0)

    def _strengths(self, cache: SteeredCache) -> tuple[list[float], float]:
        """The strength of each attribute now, as a share of the largest, and the largest, which scales the step: within the
        loss a strength would be divided out again, or with gamma above 1 even turned around."""
        progress = cache.written / max(1, cache.most - 1)
        names = ((self.control.strength, "strength"), *((each.strength, "strength") for each in self.control.attributes))
        common, *own = (strength_at(check_strength(strength, name), progress) for strength, name in names)
        largest = max(map(abs, own))
        if common * largest == 0.0:
            return [0.0] * len(own), 0.0
        return [strength * common / abs(common) / largest for strength in own], abs(common) * largest

    def _move(self, ids: Tensor, plain: Tensor, cache: SteeredCache) -> None:
        """Move the past before the newest ids [B]; `plain` [B, V]: the unmodified logits after them."""
        settings, past = self.settings, cache.moved
        strengths, scale = self._strengths(cache)
        step = settings.stepsize * scale
        start, mask = self._window(past)
        if step == 0.0 or not mask.numel():
            return
        kept = not self.control.imagines  # bags keep the largest norm of all tokens, so that unlikely words are not forced
        state, unmodified = past.copied(start), plain.log_softmax(-1)
        for _ in range(settings.iterations):
            with torch.enable_grad():
                state.requires_grad_()
                loss = self._loss(ids, unmodified, strengths, cache, past.joined(start, state))
                (gradient,) = torch.autograd.grad(loss.sum(), state)
            gradient = gradient * mask[:, None, :, None]
            norms = gradient.square().sum((1, 3, 4, 5)).sqrt()  # [L, B]: keys and values of a layer together
            norms = torch.maximum(cache.norms, norms + TINY * (cache.norms == 0)) if kept else norms + TINY
            cache.norms = norms
            direction = gradient / norms[:, None, :, None, None, None]  # first, as a power of a tiny norm would vanish
            state = state.detach() - step * direction * norms[:, None, :, None, None, None] ** (1 - settings.gamma)
        past.overwrite(start, state)
        cache.moved_rows = cache.moved_rows | (past.positions > 0)

    def _window(self, past: KeyValueCache) -> tuple[int, Tensor]:
        """The first slot that is moved, and how much each slot from there on is moved, [B, W]; nothing at padding."""
        settings, window = self.settings, self.settings.window
        start = past.first
        if window and not settings.released:
            start = max(start, past.used - window)
        real, dtype = past.real[:, start : past.used], past.keys[0].dtype
        if not window:
            return start, real.to(dtype)
        count = past.real[:, past.first : past.used].sum(1, keepdim=True)
        age = real.flip(1).cumsum(1).flip(1) - 1  # 0: the newest
        place = count - 1 - age if settings.released else window - 1 - age  # in the window, 0: its oldest token
        amount = (place + 1).to(dtype) / window if settings.decay else torch.ones_like(place, dtype=dtype)
        amount = amount.masked_fill((place < 0) | (place >= window), 0.0)
        if settings.released:
            amount = amount.masked_fill(count <= window, 1.0)
        return start, amount * real

    def _loss(self, ids: Tensor, unmodified: Tensor, strengths: list[float], cache: SteeredCache, past: Any) -> Tensor:
        """The loss [B] of a past whose gradient is asked for; `unmodified` [B, V]: ln p of the unmodified model."""
        count = past.positions + 1  # tokens up to the newest
        hidden = cache.model.step(ids, past)
        log_probs = _wide(cache.model.project(hidden)).log_softmax(-1)
        loss = self.settings.kl_scale * (log_probs.exp() * (log_probs - unmodified)).sum(-1)
        mean = None
        if cache.history is not None:
            newest = hidden.detach() if self.settings.released else hidden
            total = cache.history + _wide(newest) + self._imagined(log_probs, cache)
            mean = total / (count + self.settings.horizon)[:, None]
        for attribute, strength in zip(self.control.attributes, strengths):
            loss = loss - strength * attribute.log_likelihood(log_probs=log_probs, hidden=mean)
        return loss

    def _imagined(self, log_probs: Tensor, cache: SteeredCache) -> Tensor:
        """The sum [B, D] of the hidden states of tokens beyond the newest one, which are means of all tokens by their
        probability, read with the unmodified past."""
        settings, past, found = self.settings, cache.plain.joined(), []
        table = next(self._model.parameters()).dtype
        for number in range(settings.horizon):
            past.positions = past.positions.clamp(max=self.config.context - 1)  # at the end of the context there is no next one
            hidden = cache.model.step(log_probs.exp().to(table), past)
            found.append(_wide(hidden))
            if number + 1 < settings.horizon and not settings.released:
                log_probs = _wide(cache.model.project(hidden)).log_softmax(-1)
        return torch.stack(found).sum(0)


def _wide(x: Tensor) -> Tensor:
    """At least in float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
