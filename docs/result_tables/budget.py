"""What a budget buys: shapes and batches of a small budget, and what each choice of training gives."""

from __future__ import annotations

from typing import Any

from result_tables.files import Rows, stored

FAMILIES = {"gpt2": "GPT-2", "lstm": "LSTM", "bert": "BERT"}


def _runs(part: str) -> list[dict[str, Any]]:
    return [run for run in stored("budget")["runs"] if run["part"] == part]


def _flops(value: float) -> str:
    return f"{value:.1e}".replace("e+", "e").replace(".0e", "e")


def shapes() -> Rows:
    """Shapes at each budget."""
    heading = ["FLOPs", "tokens a step", "width x layers", "parameters", "million tokens", "bits per byte"]
    return [heading] + [
        [
            _flops(run["budget"]),
            f"{run['batch_tokens']:,}",
            f"{run['width']} x {run['layers']}",
            f"{run['parameters']:,}",
            f"{run['tokens'] / 1e6:.2f}",
            f"{run['bits_per_byte']:.3f}",
        ]
        for run in sorted(_runs("shapes"), key=lambda run: (run["budget"], run["width"]))
    ]


def batches() -> Rows:
    """Tokens of a step of one shape at one budget."""
    runs = sorted(_runs("batches"), key=lambda run: run["batch_tokens"])
    return [
        ["tokens a step", *(f"{run['batch_tokens']:,}" for run in runs)],
        ["steps", *(f"{run['steps']:,}" for run in runs)],
        ["bits per byte", *(f"{run['bits_per_byte']:.3f}" for run in runs)],
    ]


def ablations() -> Rows:
    """What each choice gives beside the defaults, by family."""
    found = stored("ablations")["families"]
    arms = list(dict.fromkeys(arm for arms in found.values() for arm in arms if arm != "plain"))
    heading = ["choice", *(f"{FAMILIES[family]}, bits per byte less by" for family in found)]
    return [heading] + [
        [arm, *(f"{arms[arm]['gain_percent']:.1f} %" if arm in arms else "" for arms in found.values())] for arm in arms
    ]


TABLES = (
    shapes,
    batches,
    ablations,
)
