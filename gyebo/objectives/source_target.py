"""What a model learns that reads a source and writes a target: each token of the target from the source and the target so far.

Shared by all objectives of encoder-decoders; they differ in where source and target come from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gyebo.data.batches import IGNORE
from gyebo.data.streams import SOURCE, TARGET, BatchField
from gyebo.nn.cross_entropy import cross_entropy_sum

FIELDS = (BatchField("input_ids", SOURCE), BatchField("decoder_input_ids", TARGET), BatchField("labels", TARGET, IGNORE))


@dataclass(frozen=True)
class TargetLoss:
    """-ln p(token) of the labels of the target, as the term `term` of the loss. `smoothing`: label smoothing (Vaswani et al.
    2017, section 5.4). The fields of a batch are `FIELDS`."""

    term: str
    smoothing: float = 0.0

    def counts(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{term: tokens to be predicted}."""
        return {self.term: int((batch["labels"] != IGNORE).sum())}

    def projected(self, batch: dict[str, Tensor]) -> dict[str, int]:
        """{"lm": tokens to be predicted}."""
        return {"lm": self.counts(batch)[self.term]}

    def loss(self, model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, float]]:
        """{term: (sum over the tokens, 1)}; nothing is projected where nothing is to be predicted."""
        rows, matrix, bias, labels = before_output(model, batch)
        return {self.term: (cross_entropy_sum(rows, matrix, bias, labels, smoothing=self.smoothing), 1.0)}


def before_output(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """What stands before the output layer where the target has labels: rows [N, D], matrix [V, D], bias [V] or None; and the
    labels [N]. The fields of a batch are `FIELDS`."""
    alone = one_document_a_row(batch, FIELDS)
    hidden = model.encode(
        alone["input_ids"], alone["document_ids"], alone["decoder_input_ids"], alone["decoder_document_ids"]
    ).hidden.flatten(0, 1)
    labels = alone["labels"].flatten()
    places = (labels != IGNORE).nonzero().squeeze(1)
    return *model.output_layer(hidden.index_select(0, places)), labels[places]


def one_document_a_row(batch: dict[str, Tensor], fields: Iterable[BatchField]) -> dict[str, Tensor]:
    """A batch whose rows [B, length] hold several documents, as one whose rows hold one each; as it is where they do already.

    A document may be empty in one of the streams. Rows are padded at the end up to the longest document of their stream.
    """
    fields = tuple(fields)
    streams = {field.stream.name: field.stream.document_ids for field in fields if field.stream}
    most = 1 + max(int(batch[name].max()) for name in streams.values())
    if most <= 2:
        return batch
    numbers = {stream: _numbers(batch[name], most) for stream, name in streams.items()}
    there = torch.cat([*numbers.values()]).bincount(minlength=len(batch["labels"]) * most) > 0
    row_of = there.cumsum(0) - 1  # number of a document -> its row
    out: dict[str, Tensor] = {}
    for stream, name in streams.items():
        ids, rows = batch[name], row_of[numbers[stream]]
        sizes = rows.bincount(minlength=int(there.sum()))
        places = rows.new_ones(len(rows)).cumsum(0) - 1 - (sizes.cumsum(0) - sizes)[rows]
        shape = (len(sizes), max(1, int(sizes.max())))
        out[name] = ids.new_zeros(shape).index_put((rows, places), ids.new_ones(()))
        for field in fields:
            if field.stream and field.stream.name == stream:
                values = batch[field.name]
                fill = 0 if field.fill is None else field.fill
                out[field.name] = values.new_full(shape, fill).index_put((rows, places), values[ids != 0])
    return out


def _numbers(documents: Tensor, most: int) -> Tensor:
    """One number for each row and document in it, of the real positions in order; documents [B, T] below `most`."""
    rows, _ = (documents != 0).nonzero(as_tuple=True)
    return rows * most + documents[documents != 0]
