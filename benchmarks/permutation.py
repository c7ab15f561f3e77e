"""One permutation-LM step of XLNet-base, gyebo against transformers, both sides in one run.

    python benchmarks/permutation.py [--rounds 5]

Two works, each in bfloat16 autocast with the published dropout, one token in six to predict, clipping, fused AdamW: "fixed":
4 x 128 without padding; "mixed": 16 short texts with the lengths of Korean reviews (16 pieces on average), which transformers
pads to the longest of the batch. transformers is given its own inputs, `perm_mask` and `target_mapping`, so that it too
computes the query stream for the predicted tokens only. Medians over interleaved rounds, a side a process; a ratio above 1
means that gyebo is faster. Writes benchmarks/results/permutation.json.
"""

from __future__ import annotations

import argparse
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from denoising import over
from masked import review_lengths
from report import machine, store
from sides import Work, measure

from gyebo.models.xlnet import Xlnet
from gyebo.nn.cost import Workload
from gyebo.nn.cross_entropy import cross_entropy_sum
from gyebo.objectives.causal import labelled
from gyebo.training.device import matmul_rate

IGNORE, BATCHES = -100, 4
Batch = dict[str, torch.Tensor]


def batches(kind: str) -> list[Batch]:
    """The same batches for every side: ids, mask, labels of the predicted tokens, and ranks in the order, [B, T] each."""
    rng, found = np.random.default_rng(0), []
    for _ in range(BATCHES):
        lengths = np.full(4, 128) if kind == "fixed" else review_lengths(rng, 16)
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.where(mask, rng.integers(1000, 30_000, mask.shape), 5)
        predicted = mask & (rng.random(mask.shape) < 1 / 6)
        predicted[:, 1] = True  # at least one a text
        ranks = np.where(predicted, rng.random(mask.shape).argsort(1), -1)
        arrays = {"input_ids": ids, "mask": mask.astype(np.int64), "ranks": ranks, "labels": np.where(predicted, ids, IGNORE)}
        found.append({name: torch.from_numpy(values) for name, values in arrays.items()})
    return found


def ours(kind: str) -> Work:
    """gyebo's step over all batches."""
    torch.manual_seed(0)
    model = Xlnet(Xlnet.sizes["base"]).train()

    def loss(batch: Batch) -> torch.Tensor:
        wanted = batch["labels"] != IGNORE
        hidden = model.encode(batch["input_ids"], document_ids=batch["mask"], ranks=batch["ranks"], targets=wanted).hidden
        return cross_entropy_sum(*labelled(model, hidden, batch["labels"], "lm")) / wanted.sum()

    return over(batches(kind), model, loss)


def their_inputs(batch: Batch) -> dict[str, torch.Tensor]:
    """What `XLNetLMHeadModel` takes: 1 in `perm_mask` [B, T, T] where i must not see j; `target_mapping` [B, P, T]."""
    ranks, wanted = batch["ranks"], batch["labels"] != IGNORE
    count = int(wanted.sum(1).max())
    # A token sees those that are not predicted, and those before it in the order; one that is not predicted sees no other.
    hidden = (ranks[:, None, :] >= ranks[:, :, None]) & wanted[:, None, :]
    places = torch.zeros(len(ranks), count, ranks.shape[1])
    labels = torch.full((len(ranks), count), IGNORE)
    for row, here in enumerate(wanted):
        at = here.nonzero().squeeze(1)
        places[row, torch.arange(len(at)), at] = 1
        labels[row, : len(at)] = batch["labels"][row, at]
    given = {"input_ids": batch["input_ids"], "attention_mask": batch["mask"], "perm_mask": hidden.float()}
    return given | {"target_mapping": places, "labels": labels}


def theirs(compiled: bool, kind: str) -> Work:
    """The step of transformers."""
    from transformers import XLNetConfig, XLNetLMHeadModel

    torch.manual_seed(0)
    model = XLNetLMHeadModel(XLNetConfig(d_model=768, n_layer=12, n_head=12, d_inner=3072)).train()
    run = torch.compile(model) if compiled else model
    return over([their_inputs(batch) for batch in batches(kind)], model, lambda given: run(**given, use_mems=False).loss)


SIDES = {
    "mixed": {"gyebo": ours, "transformers, dynamic padding": partial(theirs, False)},
    "fixed": {"gyebo": ours, "transformers eager": partial(theirs, False), "transformers compiled": partial(theirs, True)},
}


def figures(kind: str, rounds: int, rate: float) -> dict[str, Any]:
    """Measure one work, and print it."""
    times = measure(SIDES[kind], (kind,), rounds, warm=1)
    data = batches(kind)
    lengths = torch.cat([batch["mask"].sum(1) for batch in data])
    predicted, tokens = sum(int((batch["labels"] != IGNORE).sum()) for batch in data), int(lengths.sum())
    middle = {name: median(values) for name, values in times.items()}
    with torch.device("meta"):
        model = Xlnet(Xlnet.sizes["base"])
    share = 3 * model.flops(Workload({"tokens": lengths}, {"lm": predicted})) / middle["gyebo"] / rate
    ratios = {name: seconds / middle["gyebo"] for name, seconds in middle.items() if name != "gyebo"}
    for name, seconds in middle.items():
        print(f"{kind:<6} {name:<32} {tokens / seconds:>8,.0f} real tokens/s")
    for name, ratio in ratios.items():
        print(f"{kind:<6} gyebo against {name}: {ratio:.2f} times as fast")
    print(f"{kind:<6} share of the machine's bfloat16 matrix-product rate ({rate / 1e9:,.0f} GFLOP/s): {share:.0%}")
    return {"real_tokens": tokens, "seconds": times, "median_seconds": middle, "ratio": ratios, "share": share}


def main() -> None:
    """Measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    rate = matmul_rate("cpu", "bfloat16", seconds=2.0)
    works = {kind: figures(kind, rounds, rate) for kind in SIDES}
    store("permutation", {"work": "XLNet-base, permutation-LM steps, bfloat16 autocast", "machine": machine(), "works": works})


if __name__ == "__main__":
    main()
