"""GPT-2 124M (random weights), greedy: 64 tokens after prompts of 32, beside `transformers.generate` and CTranslate2.

    python benchmarks/generation.py

In every round each side has a fresh process (where its memory happens to lie changes its speed), and only one works at a
time. Loading and converting is in nobody's time, and neither is the first call of a process, which is kept apart (gyebo packs
the weights then). A call during which other processes used the machine is repeated, up to `--patience` times. A side's time
is the median over the rounds; a ratio above 1 means that gyebo is faster. The table is printed, every time kept in
`benchmarks/results/generation.json`.
"""

from __future__ import annotations

import math
import operator
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path

import ctranslate2
import tokenizers
import torch
import transformers
import typer
from report import machine, store

from gyebo.generation import GenerationOptions, decode
from gyebo.models.gpt2 import Gpt2

PROMPT, NEW, END = 32, 64, 50_256
NEEDED = {"transformers": 1.6, "ctranslate2": 1.0}  # times as fast; CTranslate2: one prompt, float32
ALONE = 0.03  # share of the machine that other processes may use

Side = Callable[[torch.Tensor], list[list[int]]]


def main(rounds: int = 5, threads: int = os.cpu_count() or 1, patience: int = 10) -> None:
    """Time all sides, print the ratios and keep the times."""
    if min(rounds, threads, patience) < 1:
        raise typer.BadParameter("rounds, threads and patience must be at least 1")
    cases = []
    torch.set_num_threads(threads)  # what `machine` will note
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder))
        for dtype in ("float32", "bfloat16"):
            names = [name for name in SIDES if name != "ctranslate2" or dtype == "float32"]
            cases += measure(names, dtype, Path(folder), threads, rounds, patience)
    show(cases)
    figures = {"command": f"python benchmarks/generation.py --rounds {rounds} --threads {threads}", "machine": machine()}
    figures["machine"] |= {"ctranslate2": ctranslate2.__version__}
    store("generation", figures | {"prompt_tokens": PROMPT, "new_tokens": NEW, "needed": NEEDED, "cases": cases})


def measure(names: list[str], dtype: str, folder: Path, threads: int, rounds: int, patience: int) -> list[dict[str, object]]:
    """One call of every side in every round, for one prompt and for eight, each after one that does not count."""
    calls: dict[int, dict[str, list[Call]]] = {batch: {name: [] for name in names} for batch in (1, 8)}
    for number in range(rounds):
        for name in names:
            wire, end = Pipe()
            process = get_context("spawn").Process(target=work, args=(name, dtype, folder, threads, end), daemon=True)
            process.start()
            wire.recv()  # ready
            for batch, found in calls.items():
                generator = torch.Generator().manual_seed(number)
                prompts = torch.randint(1000, 50_000, (batch, PROMPT), generator=generator).tolist()
                first = call(wire, prompts, 1)
                found[name].append(call(wire, prompts, patience))
                found[name][-1].first = first.seconds
            wire.send(None)
            process.join()
    return [{"dtype": dtype, "batch": batch, **summary(batch, found)} for batch, found in calls.items()]


@dataclass
class Call:
    """One answer: its seconds, and the share of the machine that other processes used meanwhile."""

    seconds: float
    others: float
    ids: list[list[int]]
    first: float = math.nan  # seconds of the call before it


def call(wire: Connection, prompts: list[list[int]], patience: int) -> Call:
    """The first try that had the machine to itself; where none of `patience` tries had, the one that had most of it."""
    tries = []
    for _ in range(patience):
        before = busy_seconds()
        wire.send(prompts)
        seconds, own, ids = wire.recv()
        others = max(0.0, busy_seconds() - before - own) / seconds / (os.cpu_count() or 1)
        if any(len(row) != NEW for row in ids):
            raise RuntimeError(f"{[len(row) for row in ids]} tokens were generated instead of {NEW} each")
        tries.append(Call(round(seconds, 4), round(others, 3), ids))
        if others < ALONE:
            break
    return min(tries, key=lambda each: each.others)


def busy_seconds() -> float:
    """Processor time that all processes of the machine have used (0 where the system does not say)."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    return sum(map(int, stat.read_text(encoding="utf-8").split()[1:4])) / os.sysconf("SC_CLK_TCK")


def summary(batch: int, calls: dict[str, list[Call]]) -> dict[str, object]:
    """What is kept of a case; the medians are over the rounds."""
    median = {name: statistics.median(each.seconds for each in found) for name, found in calls.items()}
    others = [name for name in calls if name != "gyebo"]
    ids = {name: [row for each in found for row in each.ids] for name, found in calls.items()}
    same = {other: sum(map(operator.eq, ids[other], ids["gyebo"])) / len(ids["gyebo"]) for other in others}
    return {
        "seconds": {name: [each.seconds for each in found] for name, found in calls.items()},
        "seconds_of_the_call_before": {name: [each.first for each in found] for name, found in calls.items()},
        "share_of_other_processes": {name: [each.others for each in found] for name, found in calls.items()},
        "median_seconds": median,
        "tokens_per_second": {name: round(batch * NEW / time, 1) for name, time in median.items()},
        "gyebo_times_as_fast": {other: round(median[other] / median["gyebo"], 2) for other in others},
        "rows_with_equal_ids": {other: round(share, 2) for other, share in same.items()},
    }


def work(name: str, dtype: str, folder: Path, threads: int, wire: Connection) -> None:
    """One side's process: prompts come over the wire; seconds, processor seconds and ids go back."""
    torch.set_num_threads(threads)
    side = SIDES[name](folder, getattr(torch, dtype), threads)
    wire.send("ready")
    while prompts := wire.recv():
        batch = torch.tensor(prompts)
        started, used = time.perf_counter(), time.process_time()
        answer = side(batch)
        wire.send((time.perf_counter() - started, time.process_time() - used, answer))


def gyebo_side(folder: Path, dtype: torch.dtype, threads: int) -> Side:
    model = same_weights(load(folder)).to(dtype)
    options = GenerationOptions(greedy=True, max_new_tokens=NEW)

    def run(prompts: torch.Tensor) -> list[list[int]]:
        steps = [step.ids for step in decode(model, prompts.tolist(), options, forbidden=[END])]
        return torch.stack(steps, 1).tolist()

    return run


def transformers_side(folder: Path, dtype: torch.dtype, threads: int) -> Side:
    model = load(folder).to(dtype)
    settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": END}

    def run(prompts: torch.Tensor) -> list[list[int]]:
        found = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
        return found[:, PROMPT:].tolist()

    return run


def ctranslate2_side(folder: Path, dtype: torch.dtype, threads: int) -> Side:
    kind = str(dtype).removeprefix("torch.")
    model = ctranslate2.Generator(str(folder / "ctranslate2"), compute_type=kind, inter_threads=1, intra_threads=threads)
    settings = {"max_length": NEW, "min_length": NEW, "beam_size": 1, "sampling_topk": 1, "include_prompt_in_result": False}

    def run(prompts: torch.Tensor) -> list[list[int]]:
        results = model.generate_batch([[f"t{id}" for id in row] for row in prompts.tolist()], **settings)
        return [result.sequences_ids[0] for result in results]

    return run


SIDES: dict[str, Callable[[Path, torch.dtype, int], Side]] = {
    "gyebo": gyebo_side,
    "transformers": transformers_side,
    "ctranslate2": ctranslate2_side,
}


def save(folder: Path) -> None:
    """Random weights in transformers' form and in CTranslate2's, whose converter wants a tokenizer: one of t0, t1, ..."""
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
    names = {f"t{id}": id for id in range(model.config.vocab_size)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(names, unk_token="t0"))
    ends = {"bos_token": f"t{END}", "eos_token": f"t{END}", "unk_token": "t0"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends).save_pretrained(folder)
    transformers.logging.disable_progress_bar()
    model.save_pretrained(folder)
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(folder / "ctranslate2"))


def load(folder: Path) -> transformers.GPT2LMHeadModel:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers.GPT2LMHeadModel.from_pretrained(folder).eval()


def same_weights(theirs: transformers.GPT2LMHeadModel) -> Gpt2:
    """Ours with their weights (theirs keep matrices as [in, out])."""
    names = {"attention_norm": "ln_1", "attention.qkv": "attn.c_attn", "attention.out": "attn.c_proj"}
    names |= {"mlp_norm": "ln_2", "mlp.up": "mlp.c_fc", "mlp.down": "mlp.c_proj"}
    ours = Gpt2(Gpt2.sizes["base"]).eval()
    source = theirs.state_dict()
    state = {"token_embedding.weight": source["transformer.wte.weight"], "lm_head.weight": source["lm_head.weight"]}
    state["position_embedding.weight"] = source["transformer.wpe.weight"]
    for part in ("weight", "bias"):
        state[f"final_norm.{part}"] = source[f"transformer.ln_f.{part}"]
        for layer in range(ours.config.layers):
            for name, other in names.items():
                tensor = source[f"transformer.h.{layer}.{other}.{part}"]
                state[f"blocks.{layer}.{name}.{part}"] = tensor.T if tensor.dim() == 2 else tensor
    ours.load_state_dict(state)
    return ours


def show(cases: list[dict]) -> None:
    for case in cases:
        rates = ", ".join(f"{name} {rate}" for name, rate in case["tokens_per_second"].items())
        ratios = ", ".join(f"{ratio:.2f} x {name}" for name, ratio in case["gyebo_times_as_fast"].items())
        print(f"{case['dtype']:<10}batch {case['batch']}   tokens per second: {rates:<58}   gyebo is {ratios}")


if __name__ == "__main__":
    typer.run(main)
