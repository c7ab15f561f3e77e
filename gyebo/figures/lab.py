"""Plots for experiments: lines on linear or logarithmic axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from gyebo.figures.curves import COLORS, DASHES, INK, canvas, save

FEW = 16  # points of a line, up to which each has a dot


def lines(
    path: Path,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
    *,
    log: Literal["", "y", "xy"] = "",
) -> None:
    """Plot {name: (x, y)}.

    log: the logarithmic axes; on a logarithmic y axis, points that are not finite and positive are skipped. A logarithmic x
    axis has a tick at each x of the points, which should be few.
    """
    figure, axes = canvas(x_label, y_label)
    for number, (name, (x, y)) in enumerate(curves.items()):
        shown = [(a, b) for a, b in zip(x, y) if not log or 0 < b < math.inf]
        color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
        (line,) = axes.plot(
            [a for a, _ in shown], [b for _, b in shown], linewidth=1.6, label=name, color=color, linestyle=dash
        )
        line.set(marker="o" if len(shown) <= FEW else "", markersize=4)
    if log:
        axes.set_yscale("log")
    if log == "xy":
        ticks = sorted({a for x, _ in curves.values() for a in x})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    figure.legend(frameon=False, labelcolor=INK, loc="outside upper center", ncols=2)
    save(figure, path)
