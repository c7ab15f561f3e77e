"""What models learn: text of Shakespeare, translation."""

from __future__ import annotations

from statistics import mean, median, stdev
from typing import Any

from result_tables.files import Rows, stored


def shakespeare() -> Rows:
    """The loss of each side over its seeds."""
    titles = {
        "gyebo": "gyebo, nanoGPT's optimiser settings (peak rate 1e-3)",
        "gyebo, rate 2e-3": "gyebo, peak rate 2e-3",
        "nanoGPT": "nanoGPT (its README states 1.88)",
        "gyebo, own settings": "gyebo, own settings in nanoGPT's time",
    }
    rows = [["implementation", "nats per character", "seeds", "seconds, mean"]]
    for side, title in titles.items():
        runs = [run for run in stored("shakespeare")["runs"] if run["side"] == side]
        losses = [run["loss"] for run in runs]
        each = ", ".join(f"{loss:.4f}" for loss in losses)
        rows.append([title, f"{mean(losses):.3f} ± {stdev(losses):.3f}", each, f"{mean(run['seconds'] for run in runs):.1f}"])
    return rows


def translators() -> Rows:
    """Target tokens per second in training and translating, and ratios."""
    titles = {
        "gyebo float32": "gyebo, float32",
        "gyebo bfloat16": "gyebo, bfloat16",
        "jadore": "attention-is-all-you-need-pytorch",
        "joeynmt": "JoeyNMT",
    }
    works = [stored("translators-mini")["works"][name] for name in ("train", "translate")]

    def cells(work: Any, side: str, places: int) -> list[str]:
        speed = f"{work['target_tokens'] / median(work['seconds'][side]):,.0f}"
        found = work["gyebo_times_as_fast"].values()
        ratios = [f"{times[side]:.{places}f}" for times in found if side in times]
        return [speed, f"{', '.join(ratios)} times" if ratios else ""]

    heading = ["", "training", "gyebo float32, bfloat16 faster by", "translating", "faster by"]
    return [heading] + [
        [title, *(cell for work, places in zip(works, (2, 1)) for cell in cells(work, side, places))]
        for side, title in titles.items()
    ]


TABLES = (
    shakespeare,
    translators,
)
