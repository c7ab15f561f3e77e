"""What a model learns that reads a source and writes a target: each token of the target from the source and the target so far.

Shared by all objectives that have both; they differ in where source and target come from. The three architectures that Raffel
et al. 2020 compare (section 3.2.1) learn the same from the same text:

    encoder-decoder   the source is a stream of its own, which the encoder reads
    decoder           source and target are one stream, read from left to right; the loss is on the target alone
    prefix-decoder    the same, but the tokens of the source are seen by all of it
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data.batches import IGNORE
from gyebo.data.plan import DOCUMENT, FIRST, SIZE, Plan, stored
from gyebo.data.shards import Split
from gyebo.data.streams import SOURCE, TARGET, TOKENS, Arrays, BatchField, streams_of
from gyebo.nn import host
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.objective import Defaults, Draw, Setting

Ids = NDArray[np.int64]

FIELDS = (BatchField("input_ids", SOURCE), BatchField("decoder_input_ids", TARGET), BatchField("labels", TARGET, IGNORE))
ENCODER_DECODER, DECODER, PREFIX_DECODER = "encoder-decoder", "decoder", "prefix-decoder"
_ONE_STREAM = (BatchField("input_ids"), BatchField("labels", TOKENS, IGNORE))
# Architecture -> the fields of a batch; `prefix` is 1 at the tokens of the source.
FIELDS_OF = {
    ENCODER_DECODER: FIELDS,
    DECODER: _ONE_STREAM,
    PREFIX_DECODER: (*_ONE_STREAM, BatchField("prefix", TOKENS, 0)),
}


@dataclass(frozen=True)
class TargetLoss:
    """-ln p(token) of the labels of the target, as the term `term` of the loss. `smoothing`: label smoothing (Vaswani et al.
    2017, section 5.4). The fields of a batch are those of one of `FIELDS_OF`."""

    term: str
    smoothing: float = 0.0
    scheduled: ClassVar[bool] = False

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
    labels [N]. The fields of a batch are those of one of `FIELDS_OF`."""
    if TARGET.document_ids in batch:
        batch = one_document_a_row(batch, FIELDS)
        given = (batch["document_ids"], batch["decoder_input_ids"], batch["decoder_document_ids"])
        hidden = model.encode(batch["input_ids"], *given).hidden
    else:
        prefix = {"prefix": batch["prefix"]} if "prefix" in batch else {}
        hidden = model.encode(batch["input_ids"], document_ids=batch["document_ids"], **prefix).hidden
    labels = batch["labels"].flatten()
    places = host.places_of(host.on_host(batch["labels"]) != IGNORE, labels.device)
    return *model.output_layer(hidden.flatten(0, 1).index_select(0, places), "lm"), labels[places]


@dataclass(frozen=True)
class SourceTarget(ABC, TargetLoss, Defaults):
    """What is learned from the documents of a corpus, each of which gives a source and a target. An objective says which, how
    long they are, and which texts share a row.

    `architecture`: one of `FIELDS_OF`. `start`: the first id of an encoder-decoder's target; `end`: of a target. `fixed`: how a
    text is divided is a function of its place in the corpus alone, so that all architectures are measured on the same targets.
    """

    architecture: str = ENCODER_DECODER
    start: int = 0
    end: int = 0
    fixed: bool = False

    @property
    def fields(self) -> tuple[BatchField, ...]:
        """What stands in a batch."""
        return FIELDS_OF[self.architecture]

    @property
    def parts(self) -> dict[str, bool]:
        """Whether a decoder alone sees all of what it goes on from."""
        return {"prefix": self.architecture == PREFIX_DECODER}

    @property
    @abstractmethod
    def planned_by(self) -> tuple[Any, ...]:
        """What the rows of an epoch depend on, beside text, context and seed."""

    @abstractmethod
    def lengths(self, context: int) -> dict[str, int]:
        """How many places a row has in each stream, by the stream's name."""

    @abstractmethod
    def rows(self, split: Split, context: int, seed: int) -> Plan:
        """Which texts share a row."""

    @abstractmethod
    def source_and_target(self, ids: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
        """A text as the ids of a source and of a target, both as they are read or predicted."""

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        key, streams = [split.name, *self.planned_by, seed], streams_of(self.fields)
        return stored(
            folder, key, context, lambda: self.rows(split, context, seed), streams=streams, lengths=self.lengths(context)
        )

    def held_out(self, split: Split, context: int) -> Plan:
        """Every text once."""
        return self.rows(split, context, 0)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids` [n], and where they stand: `document`, `first` [1] each."""
        document, first, size = int(piece[DOCUMENT]), int(piece[FIRST]), int(piece[SIZE])
        ids = split.read(document, first, first + size).astype(np.int64)
        return {"input_ids": ids, "document": np.array([document]), "first": np.array([first])}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """Source and target of a text, as the architecture reads them."""
        if self.fixed:
            rng = np.random.default_rng([int(example["document"][0]), int(example["first"][0])])
        source, target = self.source_and_target(example["input_ids"], rng)
        if self.architecture == ENCODER_DECODER:
            return {"input_ids": source, "decoder_input_ids": np.append(self.start, target[:-1]), "labels": target}
        return in_one_stream(source, target, prefix=self.architecture == PREFIX_DECODER)


def in_one_stream(source: Ids, target: Ids, *, prefix: bool) -> Arrays:
    """A source and a target as a decoder alone reads them: `input_ids` and `labels` [len(source) + len(target) - 1], of which
    those of the target count; with `prefix` also which of them are of the source."""
    ids, places = np.concatenate([source, target]), np.arange(len(source) + len(target) - 1)
    found = {"input_ids": ids[:-1], "labels": np.where(places < len(source) - 1, IGNORE, ids[1:])}
    return found | ({"prefix": (places < len(source)).astype(np.int64)} if prefix else {})


def architecture_of(setting: Setting, prefix: bool | None, usual: bool) -> str:
    """The architecture of a model: a decoder alone sees its source in both directions where `prefix` says so, None: as `usual`.

    OptionError for `prefix` where the model has an encoder.
    """
    if not setting.encodes_source:
        return PREFIX_DECODER if (usual if prefix is None else prefix) else DECODER
    if prefix is not None:
        raise OptionError("‹objective.prefix› is for a decoder alone, and this family has an encoder: leave it out")
    return ENCODER_DECODER


def one_document_a_row(batch: dict[str, Tensor], fields: Iterable[BatchField]) -> dict[str, Tensor]:
    """A batch whose rows [B, length] hold several documents, as one whose rows hold one each; as it is where they do already.

    A document may be empty in one of the streams. Rows are padded at the end up to the longest document of their stream.
    """
    fields, device = tuple(fields), batch["labels"].device
    streams = {field.stream.name: field.stream.document_ids for field in fields if field.stream}
    given, batch = batch, {name: host.on_host(values) for name, values in batch.items() if isinstance(values, Tensor)}
    most = 1 + max(int(batch[name].max()) for name in streams.values())
    if most <= 2:
        return given
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
    return {name: host.to_device(values, device) for name, values in out.items()}


def _numbers(documents: Tensor, most: int) -> Tensor:
    """One number for each row and document in it, of the real positions in order; documents [B, T] below `most`."""
    rows, _ = (documents != 0).nonzero(as_tuple=True)
    return rows * most + documents[documents != 0]
