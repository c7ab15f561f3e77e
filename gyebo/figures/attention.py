"""Attention between two texts as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gyebo.figures.curves import GRID, INK, save

MOST = 80  # pieces of a text; more could not be read
OTHER_SCRIPTS = 0x2000  # from this code point on matplotlib's own font has next to no letters
# Fonts with Hangul and Latin, as systems have them.
KOREAN = ("NanumGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic Neo", "UnDotum", "Baekmuk Gulim")


def attention_map(path: Path, weights: NDArray[Any], source: Sequence[str], target: Sequence[str]) -> None:
    """Draw weights [U, T], from each of the target's U pieces to each of the source's T; the bar says how much the darkest is.

    Pieces of a script for which this machine has no font are shown as numbers. Raises ValueError for more than `MOST` pieces.
    """
    if max(weights.shape) > MOST:
        raise ValueError(
            f"attention of {weights.shape[0]} to {weights.shape[1]} pieces is more than a picture can show ({MOST})"
        )
    installed = {font.name for font in font_manager.fontManager.ttflist}
    font = next((name for name in KOREAN if name in installed), None)
    figure = Figure(figsize=(2.3 + 0.34 * len(source), 1.4 + 0.27 * len(target)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(weights, cmap="Blues", vmin=0, aspect="auto")
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=12)
    bar.ax.tick_params(colors=INK, length=0)
    bar.outline.set_visible(False)
    for pieces, axis in ((source, axes.xaxis), (target, axes.yaxis)):
        axis.set_ticks(range(len(pieces)), [_shown(piece, number, font) for number, piece in enumerate(pieces, 1)])
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


def _shown(piece: str, number: int, font: str | None) -> str:
    """A piece as it can be written here; a dollar would begin a formula."""
    piece = piece.strip() or "_"
    return piece.replace("$", r"\$") if font or _plain(piece) else f"#{number}"
