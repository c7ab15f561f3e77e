"""A model that hands on keys and values, as small as can be, over lanes."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from gyebo.config.run import OptimOptions
from gyebo.data.batches import Rows
from gyebo.data.lanes import lanes
from gyebo.nn.outputs import Encoded
from gyebo.objectives.causal import Causal
from gyebo.training.trainer import Trainer
from tests.data.test_plan_and_order import Fake

IDS, WIDTH, CONTEXT, LANES = 50, 8, 6, 5
LENGTHS = torch.randint(2, 30, (60,), generator=torch.Generator().manual_seed(1)).tolist()


class Remembering(nn.Module):
    """Attention to the window's tokens up to each, and to the keys and values of the window before."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(width=WIDTH)
        self.table = nn.Embedding(IDS, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))

    def fresh_state(self, rows):
        memory = {name: torch.zeros(rows, CONTEXT, WIDTH) for name in ("keys", "values")}
        return {"memory": memory, "filled": torch.zeros(rows, CONTEXT, dtype=torch.bool)}

    def reset(self, state, which):
        return {**state, "filled": state["filled"] & ~which[:, None]}

    def encode(self, input_ids, document_ids, state=None):
        x = self.table(input_ids)
        keys, values, rows = self.key(x), self.value(x), len(x)
        first = document_ids[:, :1]  # what is remembered belongs to the first document
        old = self.fresh_state(rows) if state is None else state
        before = old["filled"][:, None] & (document_ids == first)[..., None]
        here = (document_ids[:, :, None] == document_ids[:, None]) & torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        scores = self.query(x) @ torch.cat([old["memory"]["keys"], keys], 1).mT
        weights = scores.masked_fill(~torch.cat([before, here], 2), -1e9).softmax(-1)
        hidden = x + weights @ torch.cat([old["memory"]["values"], values], 1)
        room = CONTEXT - x.shape[1]
        last = document_ids.max(1, keepdim=True).values
        new = {
            "memory": {"keys": nn.functional.pad(keys, (0, 0, 0, room)), "values": nn.functional.pad(values, (0, 0, 0, room))},
            "filled": nn.functional.pad((document_ids == last) & (last > 0), (0, room)),
        }
        return Encoded(hidden * (document_ids > 0)[..., None], state=new)

    def output_layer(self, hidden, head):
        return hidden, self.table.weight, None


class Framed(Fake):
    """Ids inside the vocabulary."""

    def read(self, document, start, stop):
        return super().read(document, start, stop) * 7 % (IDS - 3)


def trainer_of(micro_rows=LANES):
    torch.manual_seed(0)
    objective = Causal(IDS - 1, IDS - 2)
    split = Framed(LENGTHS)
    return Trainer(
        Remembering(),
        objective,
        Rows(split, lanes(split, CONTEXT, extra=objective.extra, count=LANES, plan_seed=0, seed=0), objective, IDS - 3),
        options=OptimOptions(lr=0.01, warmup=0),
        steps=20,
        batch_rows=LANES,
        micro_rows=micro_rows,
        seed=0,
        device=torch.device("cpu"),
        precision="float32",
    )
