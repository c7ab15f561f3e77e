"""Plots of fine-tuning, from arrays: confusion matrix, scores and learning curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from gyebo.figures.curves import COLORS, GRID, INK, canvas, save, smooth
from gyebo.figures.letters import OWN, fonts_for, without_formulas

MOST = 40  # maximum number of classes in a plot


def confusion_matrix(path: Path, counts: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, str]:
    """Plot counts [true, predicted] as shares of each true class, with the counts as numbers in small matrices.

    Gives the key of what was drawn in the place of names that no font of this machine has: {"#0": name}. Raises ValueError for
    more than `MOST` classes, or counts that are not square.
    """
    table = np.asarray(counts)
    if table.shape != (len(labels), len(labels)):
        raise ValueError(f"counts must be {len(labels)} x {len(labels)}, but are {table.shape} instead")
    if len(labels) > MOST:
        raise ValueError(f"{len(labels)} classes do not fit into the plot (maximum {MOST})")
    side = max(2.6, 0.42 * len(labels) + 1.6)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("true", color=INK)
    fonts = fonts_for(labels)
    key = {} if fonts else {f"#{number}": label for number, label in enumerate(labels) if not fonts_for([label])}
    numbers = {label: number for number, label in key.items()}
    shown, family = [numbers.get(label) or without_formulas(label) for label in labels], fonts or [OWN]
    axes.set_xticks(range(len(labels)), shown, rotation=90 if len(labels) > 4 else 0, fontfamily=family)
    axes.set_yticks(range(len(labels)), shown, fontfamily=family)
    axes.tick_params(colors=INK, length=0)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    if len(labels) <= 12:
        for row, column in np.ndindex(*table.shape):
            color = "white" if shares[row, column] > 0.55 else INK
            axes.text(column, row, f"{table[row, column]:,}", ha="center", va="center", color=color, fontsize=8)
    save(figure, path)
    return key


def score_by_length(path: Path, curves: Mapping[str, Sequence[tuple[float, float]]], score: str) -> None:
    """Plot {name: (number of words, score of sentences of about that length)}."""
    figure, axes = canvas("words of the reference", score)
    for number, (name, points) in enumerate(curves.items()):
        x, y = zip(*points) if points else ((), ())
        axes.plot(x, y, color=COLORS[number % len(COLORS)], linewidth=1.6, marker="o", markersize=4, label=name)
    axes.set_ylim(bottom=0)
    if len(curves) > 1:
        figure.legend(frameon=False, labelcolor=INK, loc="outside upper center", ncols=2)
    save(figure, path)


def error_by_labels(path: Path, curves: Mapping[str, Sequence[tuple[int, Sequence[float]]]], error: str) -> None:
    """Plot {name: (labelled examples, error in percent of each seed)}: means and ranges over seeds; logarithmic axes."""
    figure, axes = canvas("labelled examples", error)
    for number, (name, points) in enumerate(curves.items()):
        x, errors = [labels for labels, _ in points], [seeds for _, seeds in points]
        color = COLORS[number % len(COLORS)]
        axes.plot(x, [float(np.mean(e)) for e in errors], color=color, linewidth=1.6, marker="o", markersize=4, label=name)
        axes.fill_between(x, [min(e) for e in errors], [max(e) for e in errors], color=color, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 12, 15, 20, 30, 40, 50) if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    if len(curves) > 1:
        figure.legend(frameon=False, labelcolor=INK, loc="outside upper center", ncols=3)
    save(figure, path)


def learning_curve(
    path: Path, losses: Sequence[tuple[float, float]], scores: Sequence[tuple[float, float]], score: str
) -> None:
    """Plot (step, loss) of training, smoothed, and (step, score) on the validation set, with its axis on the right.

    score: the name of the metric.
    """
    words = score.replace("_", " ")
    figure, axes = canvas("step", "training loss")
    if losses:
        x, y = zip(*losses)
        axes.plot(x, y, color=COLORS[0], linewidth=0.6, alpha=0.3)
        axes.plot(x, smooth(y), color=COLORS[0], linewidth=1.6, label="training loss, smoothed")
    if scores:
        right = axes.twinx()
        right.plot(*zip(*scores), color=COLORS[1], linewidth=1.6, marker="o", markersize=4, label=f"{words}, validation")
        right.set_ylabel(words, color=COLORS[1])
        right.tick_params(colors=COLORS[1], length=3)
        for spine in right.spines.values():
            spine.set_visible(False)
    figure.legend(frameon=False, labelcolor=INK, loc="outside upper center", ncols=2)
    save(figure, path)
