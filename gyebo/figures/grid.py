"""Pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GAP, WHITE = 2, 255  # pixels between pictures
LEAST = 96  # pixels of a side as it is shown


def picture_grid(path: Path, lines: Sequence[NDArray[np.uint8]]) -> None:
    """Write pictures as a PNG: in each line [n, S, S, 3], enlarged where they are small, without smoothing."""
    from matplotlib.image import imsave

    times = max(1, -(-LEAST // lines[0].shape[1]))
    enlarged = [line.repeat(times, 1).repeat(times, 2) for line in lines]
    side, most = enlarged[0].shape[1], max(map(len, enlarged))
    sheet = np.full((len(lines) * (side + GAP) + GAP, most * (side + GAP) + GAP, 3), WHITE, np.uint8)
    for row, line in enumerate(enlarged):
        for column, picture in enumerate(line):
            top, left = (GAP + place * (side + GAP) for place in (row, column))
            sheet[top : top + side, left : left + side] = picture
    path.parent.mkdir(parents=True, exist_ok=True)
    imsave(path, sheet)
