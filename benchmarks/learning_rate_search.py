"""Which short trials find the learning rate that is best for a whole run? On the built-in world, as `[sweep]` searches.

    python benchmarks/learning_rate_search.py [--families gpt] [--steps 400] [--seeds 0] [--rates 2.5e-4 ... 8e-3]

Every rate is trained for a whole run (warm-up, constant rate, cool-down: the schedule "wsd"), and tried for shorter horizons:

    cooled      the beginning of that same run, with a cool-down of its own (as `[sweep]` does)
    constant    the beginning of that same run, without a cool-down
    own         a small whole run: its own share of warm-up steps, then as above
    cosine      a small whole run by the cosine schedule (as `[sweep]` did before)

Of each kind of trial and horizon: the rate that it chooses, its regret (by how much the whole run with that rate is worse than
the best whole run, in bits per byte or nats per masked token), and Kendall's tau between its order and that of the whole runs.
With several seeds, a trial is compared with the whole runs of the other seeds, as in a search. Writes
benchmarks/results/learning-rate-search.json.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from report import machine, store

from gyebo.config.run import RunOptions
from gyebo.evaluation import measures
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.pretraining.setup import Setup
from gyebo.training.schedule import COOLDOWN
from gyebo.training.trainer import NotFinite, Trainer

WARMUP = 0.1
DIVERGED = 99.0


def setup_of(family: str, rate: float, seed: int, schedule: str, warmup: float, out: Path) -> Setup:
    """A tiny run on the world."""
    still = {} if family in ("lstm", "rnn") else {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}
    values: dict[str, Any] = {
        "family": family,
        "size": "tiny",
        "model": still,
        "vocab_size": 2000,
        "context": 128,
        "seed": seed,
        "data": {"corpus": ["world:"]},
        "optim": {"lr": rate, "schedule": schedule, "warmup": warmup},
        "budget": {"steps": 1},
        "train": {"batch_tokens": 2048, "precision": "float32", "device": "cpu"},
    }
    return set_up(RunOptions(**values), out, None)


def score(setup: Setup, trainer: Trainer) -> float:
    """The reported metric on a part of the held-out text."""
    trainer.model.eval()
    found = measures.evaluate(setup.facts, trainer.model, setup.valid, tokens=32_768, autocast=setup.autocast("float32"))
    trainer.model.train()
    return found[setup.facts.metric]


def train(setup: Setup, trainer: Trainer, until: int) -> float:
    """The score after that step; a rate that diverges has the worst one."""
    try:
        while trainer.step < until:
            trainer.advance()
    except NotFinite:
        return DIVERGED
    return score(setup, trainer)


def prefixes(setup: Setup, steps: int, horizons: list[int], warm: int) -> dict[tuple[str, int], float]:
    """The whole run, and on its way each horizon with and without a cool-down."""
    trainer = setup.trainer("float32", steps)
    found: dict[tuple[str, int], float] = {}
    begins = {warm + round((1 - COOLDOWN) * (horizon - warm)): horizon for horizon in horizons}
    for stop in sorted({*begins, *horizons}):
        value = train(setup, trainer, stop)
        if value == DIVERGED:
            return dict.fromkeys(
                [*found, *(("cooled", h) for h in horizons), *(("constant", h) for h in horizons), ("whole", steps)], DIVERGED
            )
        if stop in horizons:
            found["constant", stop] = value
        if stop in begins:
            kept = copy.deepcopy((trainer.model.state_dict(), trainer.optimizer.state_dict(), trainer.state()))
            trainer.steps = begins[stop]
            found["cooled", begins[stop]] = train(setup, trainer, begins[stop])
            trainer.steps = steps
            trainer.model.load_state_dict(kept[0])
            trainer.optimizer.load_state_dict(kept[1])
            trainer.restore(kept[2])
    found["whole", steps] = train(setup, trainer, steps)
    return found


def trials(family: str, rate: float, seed: int, steps: int, horizons: list[int], out: Path) -> dict[tuple[str, int], float]:
    """All that is tried with one rate."""
    warm = round(WARMUP * steps)
    found = prefixes(setup_of(family, rate, seed, "wsd", warm, out), steps, horizons, warm)
    for kind, schedule in (("own", "wsd"), ("cosine", "cosine")):
        for horizon in horizons:
            setup = setup_of(family, rate, seed, schedule, WARMUP, out)
            found[kind, horizon] = train(setup, setup.trainer("float32", horizon), horizon)
    return found


def tau(first: list[float], second: list[float]) -> float:
    """Kendall's tau-a between two lists."""
    pairs = [(a, b) for a in range(len(first)) for b in range(a)]
    signs = [
        ((first[a] > first[b]) - (first[a] < first[b])) * ((second[a] > second[b]) - (second[a] < second[b])) for a, b in pairs
    ]
    return sum(signs) / len(pairs)


def table(
    found: dict[float, dict[int, dict[tuple[str, int], float]]], rates: list[float], seeds: list[int]
) -> list[dict[str, Any]]:
    """A row a kind of trial and horizon: means over (seed of the trials, the other seeds' whole runs)."""
    kinds = next(iter(found[rates[0]].values()))
    lines = []
    for kind, horizon in kinds:
        regrets, taus, chosen = [], [], []
        for seed in seeds:
            others = [other for other in seeds if other != seed] or seeds
            whole = [
                mean(next(v for k, v in found[rate][other].items() if k[0] == "whole") for other in others) for rate in rates
            ]
            tried = [found[rate][seed][kind, horizon] for rate in rates]
            best = min(range(len(rates)), key=tried.__getitem__)
            regrets.append(whole[best] - min(whole))
            taus.append(tau(tried, whole))
            chosen.append(rates[best])
        lines.append({"trial": kind, "horizon": horizon, "chosen": chosen, "regret": mean(regrets), "tau": mean(taus)})
    return lines


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--families", nargs="+", default=["gpt"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--horizons", type=float, nargs="+", default=[0.15, 0.3, 0.5], help="as shares of the steps")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rates", type=float, nargs="+", default=[2.5e-4, 5e-4, 1e-3, 2e-3, 4e-3, 8e-3])
    asked = parser.parse_args()
    horizons = [round(share * asked.steps) for share in asked.horizons]
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for family in asked.families:
            found: dict[float, dict[int, dict[tuple[str, int], float]]] = {}
            for rate in asked.rates:
                for seed in asked.seeds:
                    found.setdefault(rate, {})[seed] = trials(family, rate, seed, asked.steps, horizons, Path(folder))
                    shown = {f"{kind} {horizon}": round(v, 4) for (kind, horizon), v in found[rate][seed].items()}
                    print(family, f"{rate:g}", seed, shown, flush=True)
            lines = table(found, asked.rates, asked.seeds)
            for line in lines:
                print(line, flush=True)
            scores = {
                f"{rate:g}": {str(s): {f"{k} {h}": v for (k, h), v in one.items()} for s, one in runs.items()}
                for rate, runs in found.items()
            }
            results[family] = {"scores": scores, "trials": lines}
    store("learning-rate-search", {"steps": asked.steps, "families": results, "machine": machine()})


if __name__ == "__main__":
    main()
