"""Causal language modelling: each token is predicted from those before it in its document (Radford et al. 2018, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from gyebo.config.errors import OptionError
from gyebo.data import input_formats
from gyebo.data.batches import IGNORE
from gyebo.data.plan import FIRST, SIZE, Plan, stored
from gyebo.data.shards import Split
from gyebo.data.streams import TOKENS, Arrays, BatchField
from gyebo.nn import host
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.nn.state import each
from gyebo.objectives.objective import Batch, Defaults, Draw, Setting


class Options(BaseModel):
    """What holds the activations of a recurrent model (Merity et al. 2017, 4.6): weights of further terms of the loss."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    ar: float = Field(
        0.0, ge=0, description="weight of activation regularization (mean square of the last layer's output after dropout)"
    )
    tar: float = Field(
        0.0,
        ge=0,
        description="weight of temporal activation regularization (mean square of its change per token, before dropout)",
    )


@dataclass(frozen=True)
class Causal(Defaults):
    """`start`, `end`: the ids that frame a document, None where a model has none; `one_document`: attention crosses the
    borders of documents; `ar`, `tar`: weights as in `Options`."""

    start: int | None
    end: int | None
    one_document: bool = False
    ar: float = 0.0
    tar: float = 0.0
    fields: ClassVar[tuple[BatchField, ...]] = (BatchField("input_ids"), BatchField("labels", TOKENS, IGNORE, scored_once=True))

    @property
    def extra(self) -> int:
        """Positions that a document fills beyond its tokens: the first token and the end are predicted where they can be."""
        return 1 - (self.start is None) - (self.end is None)

    def describe(self) -> str:
        """Each token from those before it."""
        return "the next token"

    def for_evaluation(self) -> Causal:
        """The next token alone; held-out documents never see each other."""
        return replace(self, one_document=False, ar=0.0, tar=0.0)

    def plan(self, split: Split, context: int, seed: int, folder: Path | None = None) -> Plan:
        """The rows of an epoch."""
        key = [split.name, "continuous", self.extra, seed]
        return stored(folder, key, context, lambda: input_formats.continuous(split, context, self.extra, seed))

    def held_out(self, split: Split, context: int) -> Plan:
        """Rows that score every position once."""
        return input_formats.overlapping(split, context, self.extra)

    def read(self, split: Split, piece: NDArray[Any], number: int) -> Arrays:
        """`input_ids`: the piece with the token that follows it, size + 1 ids of [start] + tokens + [end]."""
        document, first, size = int(piece[0]), int(piece[FIRST]), int(piece[SIZE])
        count = int(split.documents["tokens"][document])
        lead = int(self.start is not None)  # token i stands at place i + lead
        ids = np.empty(size + 1, np.int64)
        low, high = max(first - lead, 0), min(first + size + 1 - lead, count)
        ids[low + lead - first : high + lead - first] = split.read(document, low, high)
        if self.start is not None and first == 0:
            ids[0] = self.start
        if self.end is not None and first + size == count + lead:
            ids[-1] = self.end
        return {"input_ids": ids}

    def corrupt(self, example: Arrays, rng: np.random.Generator, draw: Draw) -> Arrays:
        """`input_ids` [n + 1] -> inputs [n] and the labels [n] that follow them; nothing is hidden, nothing is drawn."""
        ids = example["input_ids"]
        return {"input_ids": ids[:-1], "labels": ids[1:].copy()}

    def counts(self, batch: Batch) -> dict[str, int]:
        """How many tokens each term of the loss counts: {"lm": labels}; of "ar" the tokens, of "tar" those that another one of
        their document stands before in the row."""
        found = {"lm": int((batch["labels"] != IGNORE).sum())}
        if self.ar:
            found["ar"] = int((batch["document_ids"] != 0).sum())
        if self.tar:
            found["tar"] = int(_follows(batch["document_ids"]).sum())
        return found

    def projected(self, batch: Batch) -> dict[str, int]:
        """{"lm": labels}."""
        return {"lm": self.counts(batch)["lm"]}

    def loss(self, model: Any, batch: Batch) -> dict[str, tuple[Tensor, float]]:
        """{"lm": (sum of -ln p over the labels, weight 1)}; only labelled positions are projected on the vocabulary. "ar" and
        "tar", where they have a weight: sums over tokens of the mean over the width.

        A `state` in the batch is what rows go on from; that after them takes its place, cut off from the gradient.
        """
        given = {"state": batch["state"]} if "state" in batch else {}
        encoded = model.encode(
            batch["input_ids"], document_ids=batch["document_ids"], **given, **({"return_raw": True} if self.tar else {})
        )
        if given:
            batch["state"] = each(Tensor.detach, encoded.state)
        terms = {"lm": (cross_entropy_sum(*labelled(model, encoded.hidden, batch["labels"], "lm")), 1.0)}
        if self.ar:  # at padding the output is zero
            terms["ar"] = (encoded.hidden.float().square().mean(-1).sum(), self.ar)
        if self.tar:
            raw = encoded.raw.float()
            change = (raw[:, 1:] - raw[:, :-1]).square().mean(-1)
            terms["tar"] = ((change * _follows(batch["document_ids"])).sum(), self.tar)
        return terms


def _follows(documents: Tensor) -> Tensor:
    """Which tokens but the first of each row [B, T-1] follow one of their own document."""
    return (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] != 0)


def build(options: Options, setting: Setting) -> Causal:
    """The objective for a tokenizer; documents are framed by its bos and eos.

    Raises ValueError for `ar` or `tar` where the model doesn't give its last layer's output before dropout.
    """
    for name, weight in options.model_dump().items():
        if weight and not setting.gives_raw:
            raise OptionError(f"‹objective.{name}›={weight:g} is for recurrent families: leave it out")
    ids = setting.tokenizer.role_ids
    return Causal(ids.get("bos"), ids.get("eos"), setting.across_documents, options.ar, options.tar)


def labelled(model: Any, hidden: Tensor, labels: Tensor, head: str) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """The flat rows that have a label [N, D], a head's matrix [V, D] and bias, and the labels [N]."""
    made = host.on_host(labels).flatten()
    wanted, hidden = made != IGNORE, hidden.flatten(0, 1)
    if not bool(wanted.all()):
        hidden, made = hidden.index_select(0, host.places_of(wanted, hidden.device)), made[wanted]
    rows, weight, bias = model.output_layer(hidden, head)
    return rows, weight, bias, host.to_device(made, labels.device)
