"""Plot of the attention between two texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gyebo.figures.curves import GRID, INK, save

MOST = 80  # tokens of a text; more would not be legible
OTHER_SCRIPTS = 0x2000  # from this code point on, matplotlib's default font has hardly any letters
# Common fonts with Hangul and Latin.
KOREAN = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "UnDotum", "Baekmuk Gulim")


def attention_map(path: Path, weights: NDArray[Any], source: Sequence[str], target: Sequence[str]) -> None:
    """Plot weights [U, T], from each of the U tokens of the target to each of the T of the source, with a colour bar.

    Tokens in a script for which this machine has no font are shown as numbers. Raises ValueError for more than `MOST` tokens.
    """
    if max(weights.shape) > MOST:
        raise ValueError(
            f"attention of {weights.shape[0]} to {weights.shape[1]} tokens does not fit into the plot (maximum {MOST})"
        )
    installed = {font.name for font in font_manager.fontManager.ttflist}
    font = next((name for name in KOREAN if name in installed), None)
    figure = Figure(figsize=(2.3 + 0.34 * len(source), 1.4 + 0.27 * len(target)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, aspect="auto")
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=12)
    bar.ax.tick_params(colors=INK, length=0)
    bar.outline.set_visible(False)
    for tokens, axis in ((source, axes.xaxis), (target, axes.yaxis)):
        axis.set_ticks(range(len(tokens)), [_shown(token, number, font) for number, token in enumerate(tokens, 1)])
        for label in axis.get_ticklabels():
            if font and not _plain(label.get_text()):
                label.set_fontfamily(font)
    axes.tick_params(axis="x", rotation=60)
    axes.tick_params(colors=INK, length=0)
    axes.set_xlabel("source", color=INK)
    axes.set_ylabel("translation", color=INK)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    save(figure, path)


def _plain(text: str) -> bool:
    return all(ord(character) < OTHER_SCRIPTS for character in text)


def _shown(token: str, number: int, font: str | None) -> str:
    """A token as a tick label; a dollar sign would start a formula."""
    token = token.strip() or "_"
    return token.replace("$", r"\$") if font or _plain(token) else f"#{number}"
