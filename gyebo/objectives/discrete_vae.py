"""Pictures through mixtures of codes and back (Ramesh et al. 2021, section 2.1, appendix A.2): a bound of their likelihood.

    -ln p(x | a mixture of codes)  +  kl x KL(codes at each place || uniform)

both divided by the number of pixel values. In training a place holds a mixture of codes, drawn by gumbel-softmax, whose
temperature falls so that it becomes a single code; the weight of KL grows from 0, or all places would take to the uniform
distribution before codes are of any use. Both follow half a cosine wave; where they end is given as a share of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gyebo.data.picture_plans import pictures_of
from gyebo.data.streams import TOKENS
from gyebo.nn.logit_laplace import nats
from gyebo.objectives.objective import Batch, Setting
from gyebo.objectives.picture_autoencoding import PictureAutoencoding, pixels_of


class Options(BaseModel):
    """The weight of KL, the temperatures, and over which share of the run each changes."""

    model_config = ConfigDict(extra="forbid")
    kl: float = Field(6.6, ge=0, description="weight of the divergence of codes from the uniform distribution, at last")
    kl_over: float = Field(0.1, ge=0, le=1, description="share of the run over which that weight grows from 0")
    temperature: float = Field(1.0, gt=0, description="temperature of mixtures of codes, at first")
    final_temperature: float = Field(1 / 16, gt=0, description="and at last")
    temperature_over: float = Field(0.5, ge=0, le=1, description="share of the run over which the temperature falls")


@dataclass(frozen=True)
class DiscreteVae(PictureAutoencoding):
    """The bound of the likelihood, with the options of a run."""

    options: Options

    @property
    def scheduled(self) -> bool:
        """Yes: weight and temperature depend on how much of the run is done."""
        return True

    def describe(self) -> str:
        """Where weight and temperature end."""
        o = self.options
        return (
            f"pictures from their codes; weight of KL 0 to {o.kl:g} over {o.kl_over:.2%} of the run, "
            f"temperature {o.temperature:g} to {o.final_temperature:g} over {o.temperature_over:.2%}"
        )

    def counts(self, batch: Batch) -> dict[str, int]:
        """How many values are restored, and how many places have codes."""
        places = int((batch[TOKENS.document_ids] > 0).sum())
        return {"restored": places * 3 * self.factor**2, "kl": places}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"restored": (sum of -ln p of the values, 1), "kl": (sum over places of KL, its weight per value)}."""
        o, progress = self.options, float(batch["progress"])
        temperature = changed(o.temperature, o.final_temperature, progress, o.temperature_over)
        found = model.autoencode(pixels_of(batch), temperature=temperature)
        dtype = found.values.dtype
        restored = nats(found.values, found.location.to(dtype), found.log_scale.to(dtype)).sum()
        weight = changed(0.0, o.kl, progress, o.kl_over) / (3 * self.factor**2)
        return {"restored": (restored, 1.0), "kl": (divergence(found.logits).sum(), weight)}


def changed(before: float, after: float, progress: float, over: float) -> float:
    """A value on its way, from the beginning to the share `over` of the run."""
    if progress >= over:
        return after
    return after + (before - after) * (1 + math.cos(math.pi * progress / over)) / 2


def divergence(logits: Tensor) -> Tensor:
    """KL of the codes from the uniform distribution, in nats: logits [B, K, G, G] -> [B, G, G]."""
    logs = torch.log_softmax(logits, 1)
    return (logs.exp() * logs).sum(1) + math.log(logits.shape[1])


def build(options: Options, setting: Setting) -> DiscreteVae:
    """The objective for a corpus with pictures; ValueError where it has none."""
    return DiscreteVae(pictures_of(setting.split).size, setting.factor, options)
