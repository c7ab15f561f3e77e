"""The time of answers under a guard, as a multiple of their time without it.

    python benchmarks/guard_cost.py runs/chatbot guard.toml [--prompts prompts.txt] [--rounds 7] [--max-new-tokens 64]

Both answer the same prompts one by one, streamed, with the same seeds, in interleaved rounds; the guard warns instead of
blocking, so both write the same text. Asked: at most 1.2. Writes benchmarks/results/guard-cost.json.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

from report import machine, store

import gyebo
from gyebo.generation.guard import Guard

PROMPTS = [
    "오늘 뭐 해?",
    "배고프다",
    "여행 가고 싶어",
    "회사 다니기 싫다",
    "영화 추천해 줘",
    "잠이 안 와",
    "친구랑 싸웠어",
    "날씨 좋다",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("guard", type=Path)
    parser.add_argument("--prompts", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--max-new-tokens", type=int, default=64)
    given = parser.parse_args()
    model, tokenizer = gyebo.load(given.model)
    model.eval()
    guard = replace(gyebo.open_guard(given.guard, mode="warn", device="cpu"), log=lambda decision: None)
    prompts = given.prompts.read_text(encoding="utf-8").splitlines() if given.prompts else PROMPTS

    def seconds(under: Guard | None) -> tuple[float, int]:
        start, characters = time.perf_counter(), 0
        for seed, prompt in enumerate(prompts):
            parts = gyebo.stream(model, tokenizer, prompt, max_new_tokens=given.max_new_tokens, seed=seed, guard=under)
            characters += sum(map(len, parts))
        return time.perf_counter() - start, characters

    assert seconds(None)[1] == seconds(guard)[1], "both write the same"
    rounds = [(seconds(None)[0], seconds(guard)[0]) for _ in range(given.rounds)]
    ratio = median(with_guard / without for without, with_guard in rounds)
    print(f"{median(first for first, _ in rounds):.3f} s without, ratio {ratio:.3f} (asked: at most 1.2)")
    store("guard-cost", {"machine": machine(), "rounds": rounds, "ratio": ratio, "checks": [rule.name for rule in guard.rules]})


if __name__ == "__main__":
    main()
