"""An objective that gyebo does not have: tokens are replaced by others, and each position says what stood there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from gyebo.data import input_formats
from gyebo.data.batches import IGNORE
from gyebo.data.plan import DOCUMENT, FIRST, SIZE, stored
from gyebo.data.streams import TOKENS, BatchField
from gyebo.evaluation.measures import Evaluation
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.causal import labelled
from gyebo.objectives.objective import Defaults


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    rate: float = Field(0.2, gt=0, lt=1, description="share of the tokens that are replaced")


@dataclass(frozen=True)
class Denoising(Defaults):
    options: Options
    vocab_size: int
    fields: ClassVar[tuple[BatchField, ...]] = (BatchField("input_ids"), BatchField("labels", TOKENS, IGNORE))

    def describe(self) -> str:
        return f"the tokens that were replaced, {self.options.rate:.0%}"

    def for_evaluation(self) -> Denoising:
        return replace(self, options=Options())

    def plan(self, split, context, seed, folder=None):
        key = [split.name, "toy", seed]
        return stored(folder, key, context, lambda: input_formats.continuous(split, context, -1, seed))

    def held_out(self, split, context):
        return input_formats.continuous(split, context, -1, 0)

    def read(self, split, piece, number):
        document, first, size = int(piece[DOCUMENT]), int(piece[FIRST]), int(piece[SIZE])
        return {"input_ids": split.read(document, first, first + size).astype(np.int64)}

    def corrupt(self, example, rng, draw):
        ids = example["input_ids"]
        other = rng.random(len(ids)) < self.options.rate
        return {"input_ids": np.where(other, rng.integers(self.vocab_size, size=len(ids)), ids), "labels": ids}

    def counts(self, batch) -> dict[str, int]:
        return {"denoising": int((batch["labels"] != IGNORE).sum())}

    def projected(self, batch) -> dict[str, int]:
        return {"lm": self.counts(batch)["denoising"]}

    def loss(self, model: Any, batch):
        hidden = model.encode(batch["input_ids"], document_ids=batch["document_ids"]).hidden
        return {"denoising": (cross_entropy_sum(*labelled(model, hidden, batch["labels"], "lm")), 1.0)}


def build(options: Options, setting) -> Denoising:
    return Denoising(options, setting.tokenizer.vocab_size)


@torch.no_grad()
def evaluate(model, rows, *, tokens=None, autocast=None) -> Evaluation:
    """Nats per token on the first held-out rows."""
    numbers = np.arange(min(4, len(rows.plan)))
    batch = {name: torch.from_numpy(array) for name, array in rows.batch(numbers, [[0]] * len(numbers)).items()}
    total, _ = rows.objective.loss(model, batch)["denoising"]
    count = rows.objective.counts(batch)["denoising"]
    return Evaluation(metrics={"denoising_loss": float(total) / count}, parts=np.array([[float(total), count]]))


def sample(model, tokenizer, rows, count) -> list[str]:
    return ["a toy has nothing to say"][:count]
