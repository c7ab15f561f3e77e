"""Plots of training and comparisons, from arrays. Without pyplot, so without global state and display.

What these plots name is Latin; where names may be of another script, `letters.py` finds a font.
"""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from gyebo.config.durable import replacing

INK, MUTED, GRID = "#33373d", "#777d86", "#d9dce1"
COLORS = ("#1f6fb4", "#c9561f", "#23824f", "#8250b4", "#9a7300", "#b8336a", "#3e6577", "#6f6148")
DASHES = ("-", "--", "-.", ":")  # with more lines than colours, colours repeat with other dashes

Points = tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]


@dataclass(frozen=True)
class Curve:
    """One line of a comparison: a pair of sequences (x, y) for each seed; point i is at the same step for every seed.

    `finals`: (x, y) of the final, exact evaluation of each seed, plotted as a dot. `color`: index of its colour, for the same
    colour in all plots of a page; by default its index in the list.
    """

    name: str
    seeds: Sequence[Points]
    finals: Sequence[tuple[float, float]] = field(default=())
    color: int | None = None


def training_curve(
    path: Path,
    steps: Sequence[float],
    losses: Sequence[float],
    evaluations: Sequence[tuple[float, float]],
    *,
    bytes_per_token: float | None,
    floor: float | None = None,
    y_label: str = "bits per byte",
) -> None:
    """Plot one run into a PNG: training loss (raw and smoothed) and held-out evaluations, all in bits per byte or in nats.

    losses: nats per token at `steps`. evaluations: (step, value). bytes_per_token: UTF-8 bytes per token of the text, to
    convert nats per token into bits per byte; None: nats. floor: the known entropy of the held-out text, in bits per byte.
    """
    if len(steps) != len(losses):
        raise ValueError(f"a loss for every step, but there are {len(steps)} steps and {len(losses)} losses")
    if bytes_per_token is not None and not bytes_per_token > 0:
        raise ValueError(f"bytes_per_token must be positive, but is {bytes_per_token} instead")
    values = np.asarray(losses, dtype=float)
    bits = values if bytes_per_token is None else values / math.log(2) / bytes_per_token
    figure, axes = canvas("step", y_label)
    axes.plot(steps, bits, color=COLORS[0], linewidth=0.6, alpha=0.3)
    axes.plot(steps, smooth(bits), color=COLORS[0], linewidth=1.6, label="training, smoothed")
    if evaluations:
        x, y = zip(*evaluations)
        axes.plot(x, y, color=COLORS[1], linewidth=1.6, marker="o", markersize=4, label="held out")
    _floor(axes, floor)
    _limit(axes, [(steps, smooth(bits)), ([x for x, _ in evaluations], [y for _, y in evaluations])], floor)
    axes.legend(frameon=False, labelcolor=INK, loc="best")
    save(figure, path)


def smooth(values: Sequence[float] | np.ndarray, span: int | None = None) -> np.ndarray:
    """Exponential moving average with bias correction (as in Adam, Kingma & Ba 2015): the first value is unchanged. span: its
    length in values (default: a fiftieth of them).
    """
    values = np.asarray(values, dtype=float)
    keep = 1 - 2 / ((span or max(1, len(values) // 50)) + 1)
    smoothed, average, weight = np.empty_like(values), 0.0, 0.0
    for index, value in enumerate(values):
        average, weight = keep * average + (1 - keep) * value, keep * weight + (1 - keep)
        smoothed[index] = average / weight
    return smoothed


def comparison(
    curves: Sequence[Curve],
    x_label: str,
    *,
    floor: float | None = None,
    y_label: str = "bits per byte",
    log_x: bool = False,
) -> Figure:
    """Held-out curves of the candidates: the mean over seeds as a thick line, each seed as a thin one.

    floor: the known entropy of the text, in the unit of y, as a dashed line. log_x: a logarithmic x axis.
    """
    figure, axes = canvas(x_label, y_label)
    for index, curve in enumerate(curves):
        number = index if curve.color is None else curve.color
        color, dash = COLORS[number % len(COLORS)], DASHES[number // len(COLORS) % len(DASHES)]
        for points in curve.seeds if len(curve.seeds) > 1 else ():
            axes.plot(*points, color=color, linewidth=0.7, alpha=0.5)
        axes.plot(*mean_curve(curve.seeds), color=color, linestyle=dash, linewidth=2, label=curve.name)
        if curve.finals:
            axes.plot(*zip(*curve.finals), color=color, linestyle="", marker="o", markersize=4)
    _floor(axes, floor)
    _limit(axes, [points for curve in curves for points in (*curve.seeds, *(([x], [y]) for x, y in curve.finals))], floor)
    if log_x:
        axes.set_xscale("log", base=2)
    else:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(EngFormatter(places=0 if log_x else None, sep=""))
    axes.legend(frameon=False, labelcolor=INK, loc="best")
    return figure


def mean_curve(seeds: Sequence[Points]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds of x and y of each point; ValueError where the seeds differ in the number of points."""
    if len({len(values) for points in seeds for values in points}) != 1:
        raise ValueError("the curves of all seeds of a candidate need the same number of points")
    x, y = (np.array([np.asarray(points[part], dtype=float) for points in seeds]) for part in (0, 1))  # [seeds, points]
    return x.mean(axis=0), y.mean(axis=0)


def intervals(
    rows: Sequence[tuple[str, Sequence[float], float | None, float | None]],
    x_label: str = "bits per byte",
    *,
    colors: Sequence[int] | None = None,
    mark: tuple[str, float] | None = None,
) -> Figure:
    """Final scores of the candidates: rows of (name, score of each seed, low and high of the confidence interval of the mean,
    or None).

    colors: index of the colour of each row, by default its index. mark: name and value of a dashed reference line.
    """
    figure, axes = canvas(x_label, "", height=0.75 + 0.42 * max(2, len(rows)) + (0.3 if mark else 0))
    if mark:
        axes.axvline(mark[1], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, label=mark[0])
        figure.legend(frameon=False, labelcolor=INK, loc="outside upper right")
    for index, (_, scores, low, high) in enumerate(rows):
        color = COLORS[(colors[index] if colors else index) % len(COLORS)]
        if low is not None and high is not None:
            axes.plot([low, high], [index, index], color=color, linewidth=6, alpha=0.3, solid_capstyle="butt")
        axes.plot(scores, [index] * len(scores), color=color, linestyle="", marker="o", markersize=4, alpha=0.8)
        axes.plot([float(np.mean(scores))], [index], color=color, marker="|", markersize=16, markeredgewidth=2.2)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a plot atomically; the extension determines the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = path.suffix.removeprefix(".")
    with replacing(path) as aside:
        figure.savefig(aside, format=form, dpi=160, facecolor="white", metadata=_undated(path.suffix))


def inline_svg(figure: Figure, description: str) -> str:
    """The plot as an <svg> element for a page, without external references, and with colours as CSS variables for dark mode.

    Variables: --ink, --muted, --grid, --c0 to --c7; each with the light colour as fallback.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "gyebo"}):  # the same plot gives the same bytes
        figure.savefig(buffer, format="svg", transparent=True, metadata=_undated(".svg"))
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", buffer.getvalue(), flags=re.DOTALL)
    text = text[text.index("<svg") :]
    own = f"p{zlib.crc32(description.encode())}-"  # several plots share a page, so their ids must differ
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{own}", text)
    names = {INK: "ink", MUTED: "muted", GRID: "grid"} | {color: f"c{index}" for index, color in enumerate(COLORS)}
    text = re.sub(r"#[0-9a-f]{6}\b", lambda m: f"var(--{names[m[0]]}, {m[0]})" if m[0] in names else m[0], text)
    view = re.search(r'viewBox="[^"]*"', text)
    assert view, "matplotlib writes a viewBox"
    # HTML needs no namespaces, and the page sets the size: of the root only the view box is kept
    start = f'<svg {view[0]} role="img" aria-label={quoteattr(description)} stroke-linejoin="round">'
    return (start + text[text.index(">") + 1 :]).strip()


def _undated(suffix: str) -> dict[str, None]:
    return {"Date": None} if suffix == ".svg" else {"Software": None}


def canvas(x_label: str, y_label: str, height: float = 3.1) -> tuple[Figure, Axes]:
    """A figure with one pair of axes in the common style."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, color=INK)
    axes.set_ylabel(y_label, color=INK)
    axes.tick_params(colors=INK, length=3)
    axes.grid(True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(MUTED)
    return figure, axes


def _floor(axes: Axes, floor: float | None) -> None:
    if floor is not None:
        axes.axhline(floor, color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, label="known entropy")


def _limit(axes: Axes, lines: Sequence[Points], floor: float | None) -> None:
    """Set the y range by the end of the lines: the first twentieth (an untrained model) may be cut off at the top."""
    points = [(x, y) for line in lines for x, y in zip(*line)]
    if not points:
        return
    end = max(x for x, _ in points)
    low = min([y for _, y in points] + ([] if floor is None else [floor]))
    high = max([y for x, y in points if x >= end / 20] + [low * 1.01])
    axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
