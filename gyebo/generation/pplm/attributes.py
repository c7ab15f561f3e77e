"""Attribute models: how probable it is that a text has an attribute, by a bag of words or by a discriminator (Dathathri et al.
2020, section 4.2 and 4.3).

Letters: B rows, N words, V vocabulary, D width, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from gyebo.generation.pplm.settings import Settings, Strength, check_strength, settings_from


@dataclass(frozen=True, eq=False)
class Bag:
    """A bag of words: ln p(attribute) = ln of the sum of weight x p(word next).

    `weights`: id -> weight of each word, above 0. `strength`: see `Strength`.
    """

    imagines: ClassVar[bool] = False  # whether it reads hidden states, imagined ones included
    weights: Mapping[int, float]
    strength: Strength = 1.0

    def __post_init__(self) -> None:
        check_strength(self.strength, "strength of a bag of words")
        if not self.weights:
            raise ValueError("a bag of words has no word: give at least one")
        if wrong := [weight for weight in self.weights.values() if not 0 < weight < math.inf]:
            raise ValueError(f"weights in a bag of words must be above 0, but one is {wrong[0]:g}")

    def check(self, config: Any) -> None:
        """ValueError where it does not belong to a model of that config."""
        if max(self.weights) >= config.vocab_size or min(self.weights) < 0:
            wrong = max(self.weights) if max(self.weights) >= config.vocab_size else min(self.weights)
            raise ValueError(
                f"a bag of words has the id {wrong}, but this model's vocabulary has {config.vocab_size}: it is another model's"
            )

    def log_likelihood(self, *, log_probs: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """ln p(attribute) [...] of next-token distributions [..., V]; `hidden` is not read."""
        assert log_probs is not None
        ids, weights = (part.to(log_probs.device) for part in self._table)
        return (log_probs.index_select(-1, ids) + weights.to(log_probs.dtype)).logsumexp(-1)

    @cached_property
    @torch.inference_mode(False)
    def _table(self) -> tuple[Tensor, Tensor]:
        """The ids, and the logs of their weights in float64, [N] each."""
        return torch.tensor(list(self.weights)), torch.tensor(list(self.weights.values()), dtype=torch.float64).log()


@dataclass(frozen=True, eq=False)
class Discriminator:
    """One linear layer on the mean of a text's last hidden states: ln p(attribute) = log_softmax(weight mean + bias)[target].

    `weight` [C, D], `bias` [C], `target`: the wanted class. `strength`: see `Strength`.
    """

    imagines: ClassVar[bool] = True
    weight: Tensor
    bias: Tensor
    target: int
    strength: Strength = 1.0

    def __post_init__(self) -> None:
        check_strength(self.strength, "strength of a discriminator")
        if not 0 <= self.target < len(self.weight):
            raise ValueError(f"target must be a class from 0 to {len(self.weight) - 1}, but is {self.target} instead")

    def check(self, config: Any) -> None:
        """ValueError where it does not belong to a model of that config."""
        if self.weight.shape[1] != config.width:
            raise ValueError(
                f"an attribute model reads vectors of width {self.weight.shape[1]}, but this model's width is {config.width}: "
                "train one for this model"
            )

    def log_likelihood(self, *, log_probs: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """ln p(attribute) [...] of mean hidden states [..., D]; `log_probs` is not read."""
        assert hidden is not None
        weight, bias = (part.to(hidden.device, hidden.dtype) for part in (self.weight, self.bias))
        return torch.nn.functional.linear(hidden, weight, bias).log_softmax(-1)[..., self.target]


Attribute = Bag | Discriminator


@dataclass(frozen=True, eq=False)
class Control:
    """What an answer is steered to: attributes, a `strength` that multiplies theirs, and the settings of the update.

    `Control.of([bag, discriminator], strength=(0, 2), stepsize=0.02)` fills in the settings that are not given.
    """

    attributes: tuple[Attribute, ...]
    settings: Settings
    strength: Strength = 1.0

    def __post_init__(self) -> None:
        check_strength(self.strength, "strength")
        if not self.attributes:
            raise ValueError("control has no attribute: give a bag of words or a discriminator")

    @classmethod
    def of(cls, attributes: Sequence[Attribute], *, strength: Strength = 1.0, **settings: Any) -> Control:
        """With the published settings for these attributes, but for those that are given; ValueError as `settings_from`."""
        imagines = any(attribute.imagines for attribute in attributes)
        return cls(tuple(attributes), settings_from(settings, imagines=imagines), strength)

    @property
    def imagines(self) -> bool:
        """Whether any of the attributes reads hidden states."""
        return any(attribute.imagines for attribute in self.attributes)
