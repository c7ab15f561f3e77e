"""Plot of the attention between two texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from gyebo.figures.curves import GRID, INK, save
from gyebo.figures.letters import OWN, fonts_for, without_formulas

MOST = 80  # tokens of a text; more would not be legible


def attention_map(path: Path, weights: NDArray[Any], source: Sequence[str], target: Sequence[str]) -> None:
    """Plot weights [U, T], from each of the U tokens of the target to each of the T of the source, with a colour bar.

    Tokens in a script for which this machine has no font are shown as numbers. Raises ValueError for more than `MOST` tokens.
    """
    if max(weights.shape) > MOST:
        raise ValueError(
            f"attention of {weights.shape[0]} to {weights.shape[1]} tokens does not fit into the plot (maximum {MOST})"
        )
    fonts = fonts_for([*source, *target])
    figure = Figure(figsize=(2.3 + 0.34 * len(source), 1.4 + 0.27 * len(target)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, aspect="auto")
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=12)
    bar.ax.tick_params(colors=INK, length=0)
    bar.outline.set_visible(False)
    for tokens, axis in ((source, axes.xaxis), (target, axes.yaxis)):
        shown = [_shown(token, number, fonts) for number, token in enumerate(tokens, 1)]
        axis.set_ticks(range(len(tokens)), shown, fontfamily=fonts or [OWN])
    axes.tick_params(axis="x", rotation=60)
    axes.tick_params(colors=INK, length=0)
    axes.set_xlabel("source", color=INK)
    axes.set_ylabel("translation", color=INK)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    save(figure, path)


def _shown(token: str, number: int, fonts: list[str] | None) -> str:
    """A token as a tick label: its number where no font has its letters."""
    token = token.strip() or "_"
    return without_formulas(token) if fonts or fonts_for([token]) else f"#{number}"
