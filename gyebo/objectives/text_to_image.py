"""What DALL-E learns (Ramesh et al. 2021, section 2.2): the tokens of a text, then the codes of its picture, one by one.

    1/8 x mean -ln p(token of the text)  +  7/8 x mean -ln p(code of the picture)

A row is one text with its picture (`gyebo/objectives/codes.py`).

What helps: the text is segmented differently each time it is read (BPE-dropout, 10 % as in the paper); some pictures are
learned without their text, so that what the text changes can be exaggerated when one is drawn (`gyebo/generation/drawing.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gyebo.config.errors import OptionError
from gyebo.data.plan import DOCUMENT
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays
from gyebo.objectives.codes import IMAGE, TextsAndCodes, ended
from gyebo.objectives.objective import Batch, Draw, Setting
from gyebo.text.dropout import BpeDropoutTokenizer, is_byte_level


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    text_weight: float = Field(0.125, ge=0, lt=1, description="weight of the text; the picture has the rest")
    bpe_dropout: float | None = Field(
        None, ge=0, lt=1, description="BPE-dropout in training; by default 0.1 where the tokenizer is a byte-level BPE"
    )
    without_text: float = Field(0.0, ge=0, lt=1, description="share of pictures that are learned without their text")


@dataclass(frozen=True)
class TextToImage(TextsAndCodes):
    """`dropping`: the tokenizer with BPE-dropout, None: texts are read as they are stored; `rate`: of the dropout."""

    dropping: BpeDropoutTokenizer | None
    without_text: float
    rate: float = 0.0

    @property
    def parts(self) -> dict[str, bool]:
        """Whether pictures are learned without their text, too."""
        return {"guided": self.without_text > 0}

    @property
    def shortens(self) -> bool:
        """Dropout makes texts longer, and some are left out."""
        return self.dropping is not None or self.without_text > 0

    def describe(self) -> str:
        """The weights, and what is dropped."""
        parts = [f"the text ({self.text_weight:g}), then the codes of its picture ({1 - self.text_weight:g})"]
        parts += [f"BPE-dropout {self.rate:g}"] if self.dropping else []
        parts += [f"{self.without_text:.0%} of pictures without their text"] if self.without_text else []
        return "; ".join(parts)

    def for_evaluation(self) -> TextToImage:
        """Every text as it is stored."""
        return replace(self, dropping=None, without_text=0.0)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """The same, with all of the text where it is to be segmented anew."""
        example, document = super().read(split, piece, number), int(piece[DOCUMENT])
        if self.dropping is None:
            return example
        whole = split.read(document, 0, int(split.documents["tokens"][document])).astype(np.int64)
        return {**example, "input_ids": whole}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """The text in pieces that are drawn, or left out."""
        ids = example["input_ids"]
        if self.without_text and rng.random() < self.without_text:
            ids = ids[:0]
        elif self.dropping is not None:
            drawn = self.dropping.encode_by(self.dropping.decode(ids.tolist()), rng)
            ids = np.array(drawn[: self.context], np.int64)
        return {"input_ids": ids, "image_ids": example["image_ids"]}

    def counts(self, batch: Batch) -> dict[str, int]:
        """{"text": tokens of texts with the padding that ends them, "image": codes}."""
        first = 0 if self.start else (batch[TOKENS.document_ids] > 0).any(1).sum()
        return {"text": int(ended(batch).sum() - first), "image": int((batch[IMAGE.document_ids] > 0).sum())}


def build(options: Options, setting: Setting) -> TextToImage:
    """The objective for a corpus of pictures whose codes are known.

    Raises OptionError for `bpe_dropout` with a tokenizer that is no byte-level BPE.
    """
    able, rate = is_byte_level(setting.tokenizer), options.bpe_dropout
    if rate and not able:
        raise OptionError(
            f"‹objective.bpe_dropout›={rate:g} needs a byte-level BPE tokenizer, but this one is of another kind "
            f"({setting.tokenizer.kind}): leave it out"
        )
    rate = (0.1 if able else 0.0) if rate is None else rate
    dropping = BpeDropoutTokenizer(setting.tokenizer, rate, "") if rate else None
    config = setting.config
    return TextToImage(setting.codes, options.text_weight, config.start, config.context, dropping, options.without_text, rate)
