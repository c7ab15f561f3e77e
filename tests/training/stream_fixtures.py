"""What no family here has yet, as small as can be: a source and a target of different lengths, and pictures beside tokens.

Run as a script under torchrun: `stream_fixtures.py OUT` trains both, and a model with a memory, with all processes; OUT.json
is what they log, OUT.safetensors what the memory is in the end.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from gyebo.config.run import OptimOptions
from gyebo.data.batches import IGNORE, Rows
from gyebo.data.input_formats import windows
from gyebo.data.plan import ROOM, SIZE, pack, stored
from gyebo.data.streams import SOURCE, TARGET, TOKENS, BatchField, Stream, streams_of
from gyebo.nn.state import leaves
from gyebo.training import distributed
from gyebo.training.trainer import Trainer
from tests.data.test_plan_and_order import Fake
from tests.training import memory_model

CONTEXT, IDS, WIDTH, PICTURE = 24, 60, 16, (3, 32, 32)
HIDDEN, PAD = 59, 58  # the id that stands for a hidden span, and the one that pads
IMAGE = Stream("image", "image_document_ids", counted=False)
LENGTHS = np.random.default_rng(3).integers(2, 40, 60).tolist()


@dataclass(frozen=True)
class SpanCorruption:
    """A third of a document, at a drawn place, is taken out of the source and is the target (Raffel et al. 2020, 3.1.4)."""

    one_document: bool = False
    scheduled: bool = False
    repeats: None = None
    fields: ClassVar = (
        BatchField("input_ids", SOURCE),
        BatchField("decoder_input_ids", TARGET),
        BatchField("labels", TARGET, IGNORE),
    )

    def lengths(self, context):
        return {"source": context, "target": context // 2}

    def plan(self, split, context, seed, folder=None):
        def make():
            pieces = windows(split, context, 0)
            size = pieces[:, SIZE]
            pieces = np.column_stack([pieces[:, :ROOM], size - hidden(size) + 1, hidden(size) + 1])
            return pack(pieces, context, np.random.default_rng(seed), streams, self.lengths(context))

        streams = streams_of(self.fields)
        return stored(folder, ["spans", seed], context, make, streams=streams, lengths=self.lengths(context))

    def read(self, split, piece, number):
        return {"input_ids": split.read(int(piece[0]), int(piece[1]), int(piece[1] + piece[2])) % HIDDEN}

    def corrupt(self, example, rng, draw):
        ids = example["input_ids"]
        count = int(hidden(len(ids)))
        first = int(rng.integers(len(ids) - count + 1))
        span = ids[first : first + count]
        source = np.concatenate([ids[:first], [HIDDEN], ids[first + count :]])
        return {
            "input_ids": source,
            "decoder_input_ids": np.concatenate([[HIDDEN], span]),
            "labels": np.concatenate([span, [HIDDEN]]),
        }

    def counts(self, batch):
        return {"lm": int((batch["labels"] != IGNORE).sum())}

    def loss(self, model, batch):
        logits = model(batch["decoder_input_ids"], batch["decoder_document_ids"], batch["input_ids"], batch["document_ids"])
        total = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE, reduction="sum")
        return {"lm": (total, 1.0)}


def hidden(size):
    """How many of so many tokens are hidden."""
    return np.maximum(1, size // 3)


@dataclass(frozen=True)
class Captions:
    """The next token of a document from the one before it and the document's picture, mirrored half of the time."""

    one_document: bool = False
    scheduled: bool = False
    repeats: None = None
    fields: ClassVar = (
        BatchField("input_ids"),
        BatchField("labels", TOKENS, IGNORE),
        BatchField("pixels", IMAGE, 0, "uint8", PICTURE),
    )

    def lengths(self, context):
        return {"tokens": context, "image": 3}

    def plan(self, split, context, seed, folder=None):
        pieces = windows(split, context, -1)
        pieces = np.column_stack([pieces, np.ones(len(pieces), np.int64)])
        return pack(pieces, context, np.random.default_rng(seed), streams_of(self.fields), self.lengths(context))

    def read(self, split, piece, number):
        first, last = int(piece[1]), int(piece[1] + piece[2])
        pixels = np.random.default_rng(int(piece[0])).integers(0, 256, PICTURE).astype(np.uint8)
        return {"input_ids": split.read(int(piece[0]), first, last + 1) % PAD, "pixels": pixels[None]}

    def corrupt(self, example, rng, draw):
        ids, pixels = example["input_ids"], example["pixels"]
        return {"input_ids": ids[:-1], "labels": ids[1:].copy(), "pixels": pixels[..., ::-1] if rng.random() < 0.5 else pixels}

    counts = SpanCorruption.counts

    def loss(self, model, batch):
        logits = model(batch["input_ids"], batch["document_ids"], batch["pixels"], batch["image_document_ids"])
        total = F.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE, reduction="sum")
        return {"lm": (total, 1.0)}


class Toy(nn.Module):
    """Logits from a token's vector and the mean of what another stream holds of its document, ids or pictures."""

    def __init__(self, pictures):
        super().__init__()
        self.config = SimpleNamespace(width=WIDTH)
        self.table = nn.Embedding(IDS, WIDTH)
        self.eye = nn.Linear(int(np.prod(PICTURE)), WIDTH) if pictures else None
        self.out = nn.Linear(WIDTH, IDS)

    def forward(self, ids, documents, beside, beside_documents):
        there = self.eye(beside.flatten(2).float() / 255) if self.eye else self.table(beside)
        same = ((documents[:, :, None] == beside_documents[:, None]) & (documents[:, :, None] > 0)).float()
        mean = same @ there / same.sum(-1, keepdim=True).clamp(min=1)
        return self.out(F.dropout(torch.tanh(self.table(ids) + mean), 0.0))


CASES = {"spans": SpanCorruption(), "pictures": Captions()}


def rows_of(case, folder=None):
    split, objective = Fake(LENGTHS), CASES[case]
    return Rows(split, objective.plan(split, CONTEXT, 0, folder), objective, PAD)


def trainer_of(case, steps=8, micro_rows=7):
    torch.manual_seed(0)
    rows = rows_of(case)
    return Trainer(
        Toy(case == "pictures"),
        rows.objective,
        rows,
        options=OptimOptions(lr=0.02, warmup=0),
        steps=steps,
        batch_rows=7,
        micro_rows=micro_rows,
        seed=0,
        device=torch.device("cpu"),
        precision="float32",
    )


def main(out):
    with distributed.process_group(torch.device("cpu")):
        found = {}
        for case in (*CASES, "memory"):
            trainer = memory_model.trainer_of(2) if case == "memory" else trainer_of(case, micro_rows=2)
            found[case] = [trainer.advance() for _ in range(2)]
            trainer.restore(trainer.state(), trainer.all_carried())  # as from a checkpoint: each process takes its rows
            found[case] += [trainer.advance() for _ in range(2)]
            carried = trainer.all_carried()
            del trainer
        if distributed.rank() == 0:
            save_file(leaves(carried), f"{out}.safetensors")
            Path(f"{out}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
