"""One optimiser step of GPT-2 124M, gyebo against transformers (eager and compiled), both sides in one run.

    python benchmarks/training.py [--rounds 5] [--batch 8] [--length 128] [--device cuda] [--sides gyebo "transformers eager"]

Same work: batch x length tokens of one document each, bfloat16 autocast, dropout 0.1 at the three places, cross-entropy over
all positions, backward, clipping at norm 1, fused AdamW. Each side has a process of its own, set up as its users have it
(gyebo tells the C library to keep freed memory; on a CPU the last side is transformers with that added); only one works at a
time. Medians over interleaved rounds; a ratio above 1 means that gyebo is faster. Writes benchmarks/results/training.json, on
CUDA training-cuda.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from report import machine, store
from sides import Work, measure, stepper

from gyebo.models.gpt2 import Gpt2
from gyebo.nn.cost import Workload
from gyebo.objectives.causal import Causal
from gyebo.training.device import matmul_rate


def ours(batch: int, length: int, vocab: int, compiled: bool = False) -> Work:
    """gyebo's step, without its data loading: the same ids at every call, as for the other side."""
    torch.manual_seed(0)
    model = Gpt2(Gpt2.sizes["base"]).train()
    ids = torch.randint(vocab, (batch, length + 1))
    inputs = {"input_ids": ids[:, :-1], "labels": ids[:, 1:], "document_ids": torch.ones(batch, length, dtype=torch.long)}

    objective = Causal(None, None)
    loss = torch.compile(objective.loss) if compiled else objective.loss

    def forward() -> torch.Tensor:
        total, weight = loss(model, inputs)["lm"]
        return weight * total / objective.counts(inputs)["lm"]

    return stepper(model, forward)


def theirs(batch: int, length: int, vocab: int, compiled: bool) -> Work:
    """The step of transformers' GPT2LMHeadModel."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config()).train()
    run = torch.compile(model) if compiled else model
    ids = torch.randint(vocab, (batch, length))
    return stepper(model, lambda: run(input_ids=ids, labels=ids, use_cache=False).loss)


SIDES: dict[str, Callable[..., Work]] = {
    "gyebo": ours,
    "transformers eager": partial(theirs, compiled=False),
    "transformers compiled": partial(theirs, compiled=True),
}
FURTHER: dict[str, dict[str, Callable[..., Work]]] = {
    "cpu": {"transformers compiled, freed memory kept": partial(theirs, compiled=True)},
    "cuda": {"gyebo compiled": partial(ours, compiled=True)},
}


def main() -> None:
    """Measure, print, store."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--length", type=int, default=128)
    options.add_argument("--device", choices=sorted(FURTHER), default="cpu")
    options.add_argument("--sides", nargs="*", default=[], metavar="NAME", help="of those there are; by default all")
    given = options.parse_args()
    sides = SIDES | FURTHER[given.device]
    if unknown := set(given.sides) - set(sides):
        options.error(f"--sides: unknown {', '.join(sorted(unknown))}; on {given.device} there are: {', '.join(sides)}")
    sides = {name: sides[name] for name in given.sides or sides}
    times = measure(sides, (given.batch, given.length, 50_257), given.rounds, device=given.device)
    middle = {name: median(values) for name, values in times.items()}
    work = Workload({"tokens": [given.length] * given.batch}, {"lm": given.batch * given.length})
    flops = 3 * Gpt2(Gpt2.sizes["base"]).flops(work)
    rate = matmul_rate(given.device, "bfloat16", seconds=2.0)
    ratios = {name: middle[name] / middle["gyebo"] for name in sides if "gyebo" in middle and name != "gyebo"}
    shares = {name: flops / seconds / rate for name, seconds in middle.items() if name.startswith("gyebo")}
    for name, seconds in middle.items():
        print(f"{name:<42} {seconds:.3f} s a step, {given.batch * given.length / seconds:,.0f} tokens/s")
    for name, ratio in ratios.items():
        print(f"gyebo against {name}: {ratio:.2f} times as fast")
    for name, share in shares.items():
        print(f"{name}: {share:.0%} of the machine's bfloat16 matrix-product rate ({rate / 1e9:,.0f} GFLOP/s)")
    store(
        "training" if given.device == "cpu" else f"training-{given.device}",
        {
            "work": f"GPT-2 124M, one step of {given.batch} x {given.length}, bfloat16 autocast, dropout 0.1, fused AdamW",
            "machine": machine(),
            "seconds": times,
            "median_seconds": middle,
            "ratio": ratios,
            "share_of_matmul_rate": shares,
        },
    )


if __name__ == "__main__":
    main()
