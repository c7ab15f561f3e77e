"""The search of learning rates by short trials."""

from __future__ import annotations

from statistics import mean

from result_tables.files import Rows, stored


def _search() -> dict[float, dict[str, float]]:
    """Rate -> length and kind of a run -> bits per byte, of GPT's one seed."""
    scores = stored("learning-rate-search")["families"]["gpt"]["scores"]
    return {rate: scores[name]["0"] for rate, name in sorted((float(name), name) for name in scores)}


def _rate(rate: float) -> str:
    return f"{rate * 1e4:.3g}e-4" if rate < 1e-3 else f"{rate * 1e3:.3g}e-3"


def whole_runs() -> Rows:
    """The score of whole runs by learning rate."""
    found = _search()
    return [
        ["whole run, rate", *map(_rate, found)],
        ["bits per byte", *(f"{scores['whole 400']:.3f}" for scores in found.values())],
    ]


def short_trials() -> Rows:
    """The rate that each kind and length of trial chooses, what that costs, and how far the order is that of whole runs."""
    titles = {
        "cooled": "the whole run's beginning, with a cool-down (`wsd` in `[sweep]`)",
        "constant": "the whole run's beginning, without a cool-down",
        "own": "a small `wsd` run with its own share of warm-up",
        "cosine": "a small cosine run (`[sweep]` before)",
    }
    found = _search()
    whole = {rate: scores["whole 400"] for rate, scores in found.items()}

    def cell(kind: str, steps: int) -> str:
        trials = {rate: scores[f"{kind} {steps}"] for rate, scores in found.items()}
        chosen = min(trials, key=trials.__getitem__)
        pairs = [(a, b) for a in found for b in found if a < b]
        tau = mean(1 if (trials[a] < trials[b]) == (whole[a] < whole[b]) else -1 for a, b in pairs)
        lost = whole[chosen] - min(whole.values())
        return f"{_rate(chosen)} ({f'{lost:.3f}' if lost else '0'}, {tau:.2f})"

    lengths = (60, 120, 200)
    heading = ["trials of", "60 steps: choice (loss, tau)", "120 steps", "200 steps"]
    return [heading] + [[title, *(cell(kind, steps) for steps in lengths)] for kind, title in titles.items()]


TABLES = (
    whole_runs,
    short_trials,
)
