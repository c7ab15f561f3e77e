"""GPT-2 124M (random weights), greedy: 64 tokens after prompts of 32, beside `transformers.generate` and CTranslate2.

    python benchmarks/generation.py

All sides run in this process, one after the other in every round; the time of a side is its median over the rounds.
Loading and converting is in nobody's time. `gyebo` is given the model as it was trained, so packing its weights is in the
time of every call; `gyebo, prepared` is given `decoding_copy(model)`, made once, as CTranslate2's model is. The table is
printed, every single time kept in `benchmarks/results/generation.json`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import ctranslate2
import tokenizers
import torch
import transformers
import typer
from report import machine, store

from gyebo.generation import GenerationOptions, decode, decoding_copy
from gyebo.models.gpt2 import Gpt2

PROMPT, NEW, END = 32, 64, 50_256
NEEDED = {"transformers": 1.6, "ctranslate2": 1.0}  # times as fast; CTranslate2: one prompt, float32

MINE = ("gyebo", "gyebo, prepared")

Side = Callable[[torch.Tensor], list[list[int]]]


def main(rounds: int = 5, threads: int = os.cpu_count() or 1) -> None:
    """Time all sides, print the ratios and keep the times."""
    if rounds < 1 or threads < 1:
        raise typer.BadParameter("rounds and threads must be at least 1")
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"warning: the load is {load:.1f} before the start; the times of a busy machine say little", file=sys.stderr)
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        theirs = transformers.GPT2LMHeadModel(transformers.GPT2Config()).eval()
        ours = same_weights(theirs)
        converted = convert(theirs, Path(folder))
        for dtype in (torch.float32, torch.bfloat16):
            sides = dict(zip(MINE, (gyebo_side(ours.to(dtype)), gyebo_side(decoding_copy(ours)))))
            sides["transformers"] = transformers_side(theirs.to(dtype))
            if dtype == torch.float32:
                sides["ctranslate2"] = ctranslate2_side(converted, threads)
            cases += [measure(sides, dtype, batch, rounds) for batch in (1, 8)]
    show(cases)
    figures = {"command": f"python benchmarks/generation.py --rounds {rounds} --threads {threads}", "machine": machine()}
    figures["machine"] |= {"ctranslate2": ctranslate2.__version__, "load_before": round(load, 2)}
    store("generation", figures | {"prompt_tokens": PROMPT, "new_tokens": NEW, "needed": NEEDED, "cases": cases})


def measure(sides: dict[str, Side], dtype: torch.dtype, batch: int, rounds: int) -> dict[str, object]:
    """Seconds of every side in every round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    same: dict[str, float] = dict.fromkeys(sides, 0.0)
    for number in range(rounds + 1):
        prompts = torch.randint(1000, 50_000, (batch, PROMPT), generator=torch.Generator().manual_seed(number))
        answers = {}
        for name, side in sides.items():
            started = time.perf_counter()
            answers[name] = side(prompts)
            if number:
                seconds[name].append(round(time.perf_counter() - started, 4))
        for name, answer in answers.items():
            if any(len(row) != NEW for row in answer):
                raise RuntimeError(f"{name} gave {[len(row) for row in answer]} tokens instead of {NEW} each")
            if number:
                same[name] += sum(map(int, (row == other for row, other in zip(answer, answers["gyebo"])))) / batch / rounds
    median = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "dtype": str(dtype).removeprefix("torch."),
        "batch": batch,
        "seconds": seconds,
        "median_seconds": median,
        "tokens_per_second": {name: round(batch * NEW / time, 1) for name, time in median.items()},
        "times_as_fast": {
            mine: {other: round(median[other] / median[mine], 2) for other in median if other not in MINE} for mine in MINE
        },
        "rows_with_equal_ids": {name: round(share, 2) for name, share in same.items() if name != "gyebo"},
    }


def gyebo_side(model: Gpt2) -> Side:
    options = GenerationOptions(greedy=True, max_new_tokens=NEW)

    def run(prompts: torch.Tensor) -> list[list[int]]:
        steps = [step.ids for step in decode(model, prompts.tolist(), options, forbidden=[END])]
        return torch.stack(steps, 1).tolist()

    return run


def transformers_side(model: transformers.GPT2LMHeadModel) -> Side:
    settings = {"max_new_tokens": NEW, "min_new_tokens": NEW, "do_sample": False, "pad_token_id": END}

    def run(prompts: torch.Tensor) -> list[list[int]]:
        found = model.generate(prompts, attention_mask=torch.ones_like(prompts), **settings)
        return found[:, PROMPT:].tolist()

    return run


def ctranslate2_side(folder: Path, threads: int) -> Side:
    model = ctranslate2.Generator(str(folder), compute_type="float32", inter_threads=1, intra_threads=threads)
    settings = {"max_length": NEW, "min_length": NEW, "beam_size": 1, "sampling_topk": 1, "include_prompt_in_result": False}

    def run(prompts: torch.Tensor) -> list[list[int]]:
        results = model.generate_batch([[f"t{id}" for id in row] for row in prompts.tolist()], **settings)
        return [result.sequences_ids[0] for result in results]

    return run


def convert(model: transformers.GPT2LMHeadModel, folder: Path) -> Path:
    """CTranslate2's form of a model; its converter wants a tokenizer, so one whose pieces are called t0, t1, ... is made."""
    names = {f"t{id}": id for id in range(model.config.vocab_size)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(names, unk_token="t0"))
    ends = {"bos_token": "t50256", "eos_token": "t50256", "unk_token": "t0"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **ends).save_pretrained(folder)
    model.save_pretrained(folder)
    converted = folder / "ctranslate2"
    ctranslate2.converters.TransformersConverter(str(folder)).convert(str(converted))
    return converted


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
        rates = ", ".join(f"{name} {rate}" for name, rate in case["tokens_per_second"].items() if name not in MINE)
        print(f"{case['dtype']}, batch {case['batch']} (tokens per second: {rates})")
        for mine in MINE:
            ratios = ", ".join(f"{ratio:.2f} x {name}" for name, ratio in case["times_as_fast"][mine].items())
            print(f"    {mine:<16}{case['tokens_per_second'][mine]:>8}   {ratios}")


if __name__ == "__main__":
    typer.run(main)
