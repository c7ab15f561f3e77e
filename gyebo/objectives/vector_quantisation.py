"""Pictures through a codebook and back (van den Oord et al. 2017, section 3.2): the squared error of pixel values, and what
brings the encoder's vectors and their codes together.

    |x - x'|^2 / variance of x  +  commitment x |z - sg(e)|^2  +  |sg(z) - e|^2

each a mean over values; sg: without a gradient. The last term is left out where codes are running means of their vectors. The
error is in units of the variance, as in the authors' code, so that the weights mean the same for all pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gyebo.data.picture_plans import pictures_of
from gyebo.data.streams import TOKENS
from gyebo.objectives.objective import Batch, Setting
from gyebo.objectives.picture_autoencoding import PictureAutoencoding, pixels_of, variance_of


class Options(BaseModel):
    """The weights."""

    model_config = ConfigDict(extra="forbid")
    commitment: float = Field(0.25, ge=0, description="weight of the distance of vectors from their codes")


@dataclass(frozen=True)
class VectorQuantisation(PictureAutoencoding):
    """`variance` of the pixel values of the training pictures."""

    commitment: float = 0.25
    variance: float = 1.0

    def describe(self) -> str:
        """The weights."""
        return f"pictures from their codes; commitment {self.commitment:g}, variance of pixels {self.variance:.4f}"

    def counts(self, batch: Batch) -> dict[str, int]:
        """How many values are restored, and how many vectors have codes."""
        places = int((batch[TOKENS.document_ids] > 0).sum())
        return {"restored": places * 3 * self.factor**2, "commitment": places, "codebook": places}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"restored": (sum of squared errors, 1 / variance), "commitment": (sum over places of the mean squared distance of
        the vector from its code, its weight), "codebook": (likewise, 1)}, the last one where a loss is to move the codes."""
        found = model.autoencode(pixels_of(batch))
        errors = (found.predicted.to(found.values.dtype) - found.values).square().sum()
        vectors, codes = found.vectors.to(found.codes.dtype), found.codes
        terms = {
            "restored": (errors, 1 / self.variance),
            "commitment": ((vectors - codes.detach()).square().mean(1).sum(), self.commitment),
        }
        if codes.requires_grad:
            terms["codebook"] = ((vectors.detach() - codes).square().mean(1).sum(), 1.0)
        return terms


def build(options: Options, setting: Setting) -> VectorQuantisation:
    """The objective for a corpus with pictures; ValueError where it has none."""
    size = pictures_of(setting.split).size
    return VectorQuantisation(size, setting.factor, options.commitment, variance_of(setting.split))
