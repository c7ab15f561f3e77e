"""What DALL-E learns in either order: rows of one text and the codes of its picture, which a picture tokenizer has given.

Of the padding behind a text the first place alone is predicted: that the text ends. What follows it is certain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.data.picture_plans import one_row_a_text, pictures_of
from gyebo.data.plan import DOCUMENT, SIZE, Plan
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField, Stream, streams_of
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.nn.grid_attention import NOTHING
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Batch, Defaults

IMAGE = Stream("image", "image_document_ids")


@dataclass(frozen=True)
class TextsAndCodes(Defaults, ABC):
    """`codes`: name of a split -> the codes of its pictures [P, N]; `text_weight`: the picture has the rest; `start`: the model
    predicts what comes first, too; `context`: places of a text."""

    codes: Mapping[str, NDArray[Any]]
    text_weight: float
    start: bool
    context: int
    fields: ClassVar[tuple[BatchField, ...]] = (BatchField("input_ids"), BatchField("image_ids", IMAGE, 0))

    @property
    def image_tokens(self) -> int:
        """Codes of a picture."""
        return next(iter(self.codes.values())).shape[1]

    def lengths(self, context: int) -> dict[str, int]:
        """The text's places, and the picture's."""
        return {TOKENS.name: context, IMAGE.name: self.image_tokens}

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """A row for each text."""
        return self.held_out(split, context)

    def held_out(self, split: Split, context: int) -> Plan:
        """The same."""
        rooms = {IMAGE.name: self.image_tokens}
        return one_row_a_text(split, context, streams=streams_of(self.fields), rooms=rooms)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids`: the text; `image_ids`: the codes of its picture."""
        document = int(piece[DOCUMENT])
        ids = split.read(document, 0, int(piece[SIZE])).astype(np.int64)
        return {"input_ids": ids, "image_ids": self.codes[split.name][pictures_of(split).of[document]].astype(np.int64)}

    def projected(self, batch: Batch) -> dict[str, int]:
        """The same as is counted: each term has a head of its name."""
        return self.counts(batch)

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, int]:
        """As in `Objective`."""

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"text": (sum of -ln p of the text's tokens, its weight), "image": (of the codes, the rest)}."""
        rows = rows_and_labels(model, batch)
        text, image = (cross_entropy_sum(*labelled(model, *rows[head], head)) for head in ("text", "image"))
        return {"text": (text, self.text_weight), "image": (image, 1 - self.text_weight)}


def ended(batch: Batch) -> Any:
    """Tokens of each text, with the padding that ends it, where it has a place."""
    sizes = (batch[TOKENS.document_ids] > 0).sum(1)
    return sizes + ((sizes > 0) & (sizes < batch[TOKENS.document_ids].shape[1]))


def rows_and_labels(model: Any, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """Head -> the vectors [R, n, D] from which it predicts, and what [R, n], IGNORE where nothing is: "text", "image"."""
    documents, ids, codes = batch[TOKENS.document_ids], batch["input_ids"], batch["image_ids"]
    hidden = model.encode(ids, image_ids=codes, document_ids=documents).hidden
    text, image = model.predicting(hidden)
    places = model.config.context
    sizes = (documents > 0).sum(1, keepdim=True)
    at = torch.arange(places, device=ids.device)[None]
    given = torch.nn.functional.pad(ids, (0, max(0, places - ids.shape[1])))[:, :places]
    ends = (at == sizes) & (sizes > 0)
    labels = torch.where(at < sizes, given, torch.where(ends, model.config.vocab_size + at, IGNORE))
    codes = codes.masked_fill(codes == NOTHING, IGNORE)
    if model.config.image_first:
        return {"text": (text, labels[:, : text.shape[1]]), "image": (image, codes[:, codes.shape[1] - image.shape[1] :])}
    return {"text": (text, labels[:, places - text.shape[1] :]), "image": (image, codes)}
