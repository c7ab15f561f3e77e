"""DALL-E's order reversed: the codes of a picture, then the tokens of its text, one by one. The model writes captions.

    1/8 x mean -ln p(code of the picture)  +  7/8 x mean -ln p(token of the text)

A row is one text with its picture (`gyebo/objectives/codes.py`), as in `text_to_image.py`; here it is the text that is written
in the end, so it has the larger weight, and is read in the segmentation in which it is to be written: without BPE-dropout.

Some texts may be learned without their picture, at all of whose places nothing stands then: so that what a picture changes can
be measured, and a text can be written with nothing to see.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gyebo.data.streams import Arrays
from gyebo.nn.grid_attention import NOTHING
from gyebo.objectives.codes import TextsAndCodes, ended
from gyebo.objectives.objective import Batch, Draw, Setting


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    image_weight: float = Field(0.125, ge=0, lt=1, description="weight of the picture; the text has the rest")
    without_picture: float = Field(0.0, ge=0, lt=1, description="share of texts that are learned without their picture")


@dataclass(frozen=True)
class ImageToText(TextsAndCodes):
    """`without_picture`: share of texts."""

    without_picture: float

    @property
    def parts(self) -> dict[str, bool]:
        """The order, and whether texts are learned without their picture, too."""
        return {"image_first": True, "guided": self.without_picture > 0}

    def describe(self) -> str:
        """The weights, and what is left out."""
        text, image = self.text_weight, 1 - self.text_weight
        parts = [f"the codes of a picture ({image:g}), then its text ({text:g})"]
        parts += [f"{self.without_picture:.0%} of texts without their picture"] if self.without_picture else []
        return "; ".join(parts)

    def for_evaluation(self) -> ImageToText:
        """Every text with its picture."""
        return replace(self, without_picture=0.0)

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """The text, and its picture or nothing."""
        codes = example["image_ids"]
        if self.without_picture and rng.random() < self.without_picture:
            codes = np.full_like(codes, NOTHING)
        return {"input_ids": example["input_ids"], "image_ids": codes}

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"text": tokens of texts with the padding that ends them, "image": codes}."""
        there = batch["image_ids"] != NOTHING
        first = 0 if self.start else there[:, 0].sum()
        return {"text": int(ended(batch).sum()), "image": int(there.sum() - first)}


def build(options: Options, setting: Setting) -> ImageToText:
    """The objective for a corpus of pictures whose codes are known."""
    config = setting.config
    return ImageToText(setting.codes, 1 - options.image_weight, config.start, config.context, options.without_picture)
