"""Plots with a logarithmic axis, for experiments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from gyebo.figures.curves import COLORS, DASHES, INK, canvas, save


def log_lines(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
) -> None:
    """Plot {name: (x, y)} with a logarithmic y axis; points that are not finite and positive are skipped.

    log_x: the x axis is logarithmic too, with a tick and a dot at each of the points, which are few.
    """
    figure, axes = canvas(x_label, y_label)
    for number, (name, (x, y)) in enumerate(curves.items()):
        shown = [(a, b) for a, b in zip(x, y) if 0 < b < math.inf]
        color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
        (line,) = axes.plot(
            [a for a, _ in shown], [b for _, b in shown], linewidth=1.6, label=name, color=color, linestyle=dash
        )
        line.set(marker="o" if log_x else "", markersize=4)
    axes.set_yscale("log")
    if log_x:
        ticks = sorted({a for x, _ in curves.values() for a in x})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    figure.legend(frameon=False, labelcolor=INK, loc="outside upper center", ncols=2)
    save(figure, path)
