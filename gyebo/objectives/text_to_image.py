"""What DALL-E learns (Ramesh et al. 2021, section 2.2): the tokens of a text, then the codes of its picture, one by one.

    1/8 x mean -ln p(token of the text)  +  7/8 x mean -ln p(code of the picture)

A row is one text with its picture, whose codes a picture tokenizer has given. Of the padding behind a text the first place
alone is predicted: that the text ends. What follows it is certain.

What helps: the text is segmented differently each time it is read (BPE-dropout, 10 % as in the paper); some pictures are
learned without their text, so that what the text changes can be exaggerated when one is drawn (`gyebo/generation/drawing.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data.batches import IGNORE
from gyebo.data.picture_plans import one_row_a_text, pictures_of
from gyebo.data.plan import DOCUMENT, SIZE, Plan
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField, Stream, streams_of
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Batch, Defaults, Draw, Setting
from gyebo.text.dropout import BpeDropoutTokenizer, is_byte_level

IMAGE = Stream("image", "image_document_ids")


class Options(BaseModel):
    """What one may choose, in the section `objective`."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    text_weight: float = Field(0.125, ge=0, lt=1, description="weight of the text; the picture has the rest")
    bpe_dropout: float | None = Field(
        None, ge=0, lt=1, description="BPE-dropout in training; by default 0.1 where the tokenizer is a byte-level BPE"
    )
    without_text: float = Field(0.0, ge=0, lt=1, description="share of pictures that are learned without their text")


@dataclass(frozen=True)
class TextToImage(Defaults):
    """`codes`: name of a split -> the codes of its pictures [P, N]; `dropping`: the tokenizer with BPE-dropout, None: texts are
    read as they are stored; `start`: the model predicts the first token of a text, too; `context`: places of a text; `rate`: of
    the dropout."""

    codes: Mapping[str, NDArray[Any]]
    dropping: BpeDropoutTokenizer | None
    text_weight: float
    without_text: float
    start: bool
    context: int
    rate: float = 0.0
    fields: ClassVar[tuple[BatchField, ...]] = (BatchField("input_ids"), BatchField("image_ids", IMAGE, 0))

    @property
    def parts(self) -> dict[str, bool]:
        """Whether pictures are learned without their text, too."""
        return {"guided": self.without_text > 0}

    @property
    def shortens(self) -> bool:
        """Dropout makes texts longer, and some are left out."""
        return self.dropping is not None or self.without_text > 0

    @property
    def image_tokens(self) -> int:
        """Codes of a picture."""
        return next(iter(self.codes.values())).shape[1]

    def lengths(self, context: int) -> dict[str, int]:
        """The text's places, and the picture's."""
        return {TOKENS.name: context, IMAGE.name: self.image_tokens}

    def describe(self) -> str:
        """The weights, and what is dropped."""
        parts = [f"the text ({self.text_weight:g}), then the codes of its picture ({1 - self.text_weight:g})"]
        parts += [f"BPE-dropout {self.rate:g}"] if self.dropping else []
        parts += [f"{self.without_text:.0%} of pictures without their text"] if self.without_text else []
        return "; ".join(parts)

    def for_evaluation(self) -> TextToImage:
        """Every text as it is stored."""
        return replace(self, dropping=None, without_text=0.0)

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """A row for each text."""
        return self.held_out(split, context)

    def held_out(self, split: Split, context: int) -> Plan:
        """The same."""
        rooms = {IMAGE.name: self.image_tokens}
        return one_row_a_text(split, context, streams=streams_of(self.fields), rooms=rooms)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids`: the text, all of it where it is to be segmented anew; `image_ids`: the codes of its picture."""
        document, size = int(piece[DOCUMENT]), int(piece[SIZE])
        count = size if self.dropping is None else int(split.documents["tokens"][document])
        ids = split.read(document, 0, count).astype(np.int64)
        codes = self.codes[split.name][pictures_of(split).of[document]].astype(np.int64)
        return {"input_ids": ids, "image_ids": codes}

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
        sizes = (batch[TOKENS.document_ids] > 0).sum(1)
        ended = ((sizes > 0) & (sizes < batch[TOKENS.document_ids].shape[1])).sum()
        first = 0 if self.start else (sizes > 0).sum()
        return {"text": int(sizes.sum() + ended - first), "image": int((batch[IMAGE.document_ids] > 0).sum())}

    def projected(self, batch: Batch) -> dict[str, int]:
        """The same: each term has a head of its name."""
        return self.counts(batch)

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"text": (sum of -ln p of the text's tokens, its weight), "image": (of the codes, the rest)}."""
        rows = rows_and_labels(model, batch)
        text, image = (cross_entropy_sum(*labelled(model, *rows[head], head)) for head in ("text", "image"))
        return {"text": (text, self.text_weight), "image": (image, 1 - self.text_weight)}


def rows_and_labels(model: Any, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """Head -> the vectors [R, n, D] from which it predicts, and what [R, n], IGNORE where nothing is: "text", "image"."""
    documents, ids = batch[TOKENS.document_ids], batch["input_ids"]
    hidden = model.encode(ids, image_ids=batch["image_ids"], document_ids=documents).hidden
    text, image = model.predicting(hidden)
    places = model.config.context
    sizes = (documents > 0).sum(1, keepdim=True)
    at = torch.arange(places, device=ids.device)[None]
    given = torch.nn.functional.pad(ids, (0, max(0, places - ids.shape[1])))[:, :places]
    ends = (at == sizes) & (sizes > 0)
    labels = torch.where(at < sizes, given, torch.where(ends, model.config.vocab_size + at, IGNORE))
    return {"text": (text, labels[:, places - text.shape[1] :]), "image": (image, batch["image_ids"])}


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
    return TextToImage(setting.codes, dropping, options.text_weight, options.without_text, config.start, config.context, rate)
