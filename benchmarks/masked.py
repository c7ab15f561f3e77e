"""One masked-LM step of BERT-base, gyebo against transformers, both sides in one run.

    python benchmarks/masked.py [--rounds 7]

Two works, each in bfloat16 autocast with dropout 0.1 at the three places, 15 % of the pieces to predict, clipping, fused AdamW:
"mixed": 32 short texts with the lengths of Korean reviews (16 pieces on average), transformers pads to the longest of the
batch; "fixed": 8 x 128 without padding, transformers also compiled. Medians over interleaved rounds, a side a process; a ratio
above 1 means that gyebo is faster. Writes benchmarks/results/masked.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from report import machine, store
from sides import Work, measure, stepper

from gyebo.models.bert import Bert, BertConfig
from gyebo.nn.cost import Workload
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.causal import labelled
from gyebo.training.device import matmul_rate

IGNORE, MASK, BATCHES = -100, 103, 8
Batch = dict[str, torch.Tensor]


def batches(kind: str) -> list[Batch]:
    """The same batches for every side: ids, mask and labels [B, T]."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(BATCHES):
        rows = 8 if kind == "fixed" else 32
        lengths = np.full(rows, 128) if kind == "fixed" else review_lengths(rng, rows)
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.where(mask, rng.integers(1000, 30_000, mask.shape), 0)
        hidden = mask & (rng.random(mask.shape) < 0.15)
        hidden[:, 1] = True  # at least one a text
        labels = np.where(hidden, ids, IGNORE)
        arrays = {"input_ids": np.where(hidden, MASK, ids), "attention_mask": mask.astype(np.int64), "labels": labels}
        found.append({name: torch.from_numpy(values) for name, values in arrays.items()})
    return found


def review_lengths(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Pieces of Korean reviews, roles included."""
    return np.clip(np.exp(rng.normal(2.6, 0.65, rows)).astype(int) + 2, 4, 128)


def over(data: list[Batch], model: torch.nn.Module, loss: Callable[[Batch], torch.Tensor]) -> Work:
    """One step for each batch."""
    left = iter(())

    def forward() -> torch.Tensor:
        return loss(next(left))

    step = stepper(model, forward)

    def work() -> None:
        nonlocal left
        left = iter(data)
        for _ in data:
            step()

    return work


def ours(kind: str) -> Work:
    """gyebo's step over all batches."""
    torch.manual_seed(0)
    model = Bert(BertConfig(nsp=False, pooler=False)).train()

    def loss(batch: Batch) -> torch.Tensor:
        hidden = model.encode(batch["input_ids"], document_ids=batch["attention_mask"]).hidden
        return cross_entropy_sum(*labelled(model, hidden, batch["labels"], "mlm")) / (batch["labels"] != IGNORE).sum()

    return over(batches(kind), model, loss)


def theirs(kind: str, compiled: bool) -> Work:
    """The step of transformers' BertForMaskedLM."""
    from transformers import BertConfig as Config
    from transformers import BertForMaskedLM

    torch.manual_seed(0)
    model = BertForMaskedLM(Config()).train()
    run = torch.compile(model) if compiled else model
    return over(batches(kind), model, lambda batch: run(**batch).loss)


def eager(kind: str) -> Work:
    """transformers as its scripts run it."""
    return theirs(kind, compiled=False)


def compiled(kind: str) -> Work:
    """transformers through torch.compile."""
    return theirs(kind, compiled=True)


SIDES = {
    "mixed": {"gyebo": ours, "transformers, dynamic padding": eager},
    "fixed": {"gyebo": ours, "transformers eager": eager, "transformers compiled": compiled},
}


def main() -> None:
    """Measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    rate = matmul_rate("cpu", "bfloat16", seconds=2.0)
    with torch.device("meta"):
        model = Bert(BertConfig(nsp=False, pooler=False))
    works = {}
    for kind, sides in SIDES.items():
        times = measure(sides, (kind,), given.rounds, warm=1)
        data = batches(kind)
        lengths = torch.cat([batch["attention_mask"].sum(1) for batch in data])
        tokens, masked = int(lengths.sum()), sum(int((batch["labels"] != IGNORE).sum()) for batch in data)
        middle = {name: median(values) for name, values in times.items()}
        share = 3 * model.flops(Workload({"tokens": lengths}, {"mlm": masked})) / middle["gyebo"] / rate
        ratios = {name: seconds / middle["gyebo"] for name, seconds in middle.items() if name != "gyebo"}
        for name, seconds in middle.items():
            print(f"{kind:<6} {name:<32} {tokens / seconds:>8,.0f} real tokens/s")
        for name, ratio in ratios.items():
            print(f"{kind:<6} gyebo against {name}: {ratio:.2f} times as fast")
        print(f"{kind:<6} share of the machine's bfloat16 matrix-product rate ({rate / 1e9:,.0f} GFLOP/s): {share:.0%}")
        works[kind] = {"real_tokens": tokens, "seconds": times, "median_seconds": middle, "ratio": ratios, "share": share}
    store("masked", {"work": "BERT-base, masked-LM steps, bfloat16 autocast", "machine": machine(), "works": works})


if __name__ == "__main__":
    main()
