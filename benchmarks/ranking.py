"""Sample-and-rank: 20 candidates beside one answer, and beside 20 answers one after the other (random weights).

    python benchmarks/ranking.py

Prompts of 64 tokens, or sources where a model reads one; 32 new tokens at temperature 0.88 among the 40 most probable, the end
never. Scores are kept up, as for ranking; texts are not made. The rounds alternate between the three, after one that does not
count (weights are packed then); a time is the median over the rounds. All times are kept in `benchmarks/results/ranking.json`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import typer
from report import machine, store

from gyebo.generation import GenerationOptions, decode
from gyebo.generation.translating import sources_of
from gyebo.models.family import model_class
from gyebo.nn.decoding import decoding_copy

PROMPT, NEW, CANDIDATES = 64, 32, 20
MODELS = [("gpt2", "mini"), ("gpt2", "base"), ("lstm", "mini"), ("transformer", "mini"), ("bart", "mini")]


def main(rounds: int = 7, threads: int = os.cpu_count() or 1) -> None:
    """Time one answer, all candidates at once and as many answers for each model; print the ratios and keep the times."""
    if min(rounds, threads) < 1:
        raise typer.BadParameter("rounds and threads must be at least 1")
    torch.set_num_threads(threads)
    cases = []
    for family, size in MODELS:
        cases.append({"model": f"{family} {size}"} | measure(build(family, size), rounds))
        medians, ratios = cases[-1]["median_seconds"], cases[-1]["times_one_answer"]
        print(
            f"{family} {size:<6} one answer {medians['one'] * 1e3:7.1f} ms   {CANDIDATES} candidates: "
            f"{ratios['candidates']:.1f} times as long   {CANDIDATES} answers: {ratios['answers']:.1f} times"
        )
    figures = {"command": f"python benchmarks/ranking.py --rounds {rounds} --threads {threads}", "machine": machine()}
    store("ranking", figures | {"prompt": PROMPT, "new": NEW, "candidates": CANDIDATES, "cases": cases})


def build(family: str, size: str) -> Any:
    torch.manual_seed(0)
    cls: Any = model_class(family)
    config = cls.sizes[size]
    config.pad_id, config.bos_id, config.eos_id = 0, 1, 2
    return cls(config).eval()


def measure(model: Any, rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"one": [], "candidates": [], "answers": []}
    calls: dict[str, Callable[[list[int]], object]] = {
        "one": lambda prompt: write(model, prompt, 1),
        "candidates": lambda prompt: write(model, prompt, CANDIDATES),
        "answers": lambda prompt: [write(model, prompt, 1, seed) for seed in range(CANDIDATES)],
    }
    for number in range(rounds + 1):
        generator = torch.Generator().manual_seed(number)
        prompt = torch.randint(3, model.config.vocab_size, (PROMPT,), generator=generator).tolist()
        for name, call in calls.items():
            started = time.perf_counter()
            call(prompt)
            if number:
                seconds[name].append(round(time.perf_counter() - started, 5))
    median = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {name: round(median[name] / median["one"], 2) for name in ("candidates", "answers")}
    return {"seconds": seconds, "median_seconds": median, "times_one_answer": ratios}


def write(model: Any, prompt: list[int], samples: int, seed: int = 0) -> None:
    """Sample so many answers of NEW tokens."""
    options = GenerationOptions(max_new_tokens=NEW, temperature=0.88, top_k=40, samples=samples, seed=seed)
    with torch.inference_mode():
        if model.encodes_source:
            model, prompt = sources_of(decoding_copy(model, NEW), [prompt], False), [model.start_id]
        scores = torch.zeros(samples)
        steps = 0
        for step in decode(model, [prompt], options, forbidden=[model.config.eos_id]):
            scores += step.log_probs
            steps += 1
    if steps != NEW:
        raise RuntimeError(f"{steps} tokens were generated instead of {NEW}")


if __name__ == "__main__":
    typer.run(main)
