"""Draws a scene: in the style `scene` filled and in its place, in the style `outline` as coloured lines on plain paper.

Drawn four times larger and averaged, so that edges are smooth.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gyebo.world.pictures import outlines
from gyebo.world.pictures.outlines import Box, Part, Point
from gyebo.world.pictures.scenes import THINGS, Scene, Thing

if TYPE_CHECKING:
    from PIL import ImageDraw

Colour = tuple[int, int, int]
FINER = 4
LEAST, MOST = 16, 512  # pixels of a side
# In the order of `lexicon.COLOURS`.
COLOURS: tuple[Colour, ...] = (
    (215, 40, 40), (40, 90, 215), (245, 215, 50), (250, 250, 250), (30, 30, 32), (35, 150, 70), (125, 60, 170),
    (245, 150, 190), (125, 80, 45), (140, 142, 146), (240, 130, 30),
)  # fmt: skip
MATERIALS = {"wood": (110, 76, 52), "leaf": (70, 140, 60), "ink": (34, 34, 38), "metal": (196, 200, 206)}
PAPER: Colour = (206, 214, 218)
SHAKEN = 9  # most by which a channel of a colour differs from picture to picture
LINE_WIDTH = {"scene": 1 / 80, "outline": 1 / 40}  # of the picture's side

# Place -> its background: rectangles in shares of the picture, and their colours.
BACKGROUNDS: dict[str, tuple[tuple[Box, Colour], ...]] = {
    "park": (((0, 0, 1, 0.6), (188, 222, 244)), ((0, 0.6, 1, 1), (168, 212, 148)), ((0, 0.52, 1, 0.6), (140, 192, 130))),
    "beach": (((0, 0, 1, 0.45), (208, 232, 248)), ((0, 0.45, 1, 0.64), (112, 178, 214)), ((0, 0.64, 1, 1), (238, 224, 178))),
    "forest": (
        ((0, 0, 1, 1), (122, 158, 122)),
        *(((x, 0, x + 0.07, 0.8), (92, 98, 78)) for x in (0.04, 0.24, 0.5, 0.71, 0.9)),
        ((0, 0.78, 1, 1), (104, 132, 92)),
    ),
    "square": (
        ((0, 0, 1, 0.55), (226, 228, 232)),
        ((0, 0.55, 1, 1), (200, 192, 184)),
        *(((x, 0.55, x + 0.012, 1), (172, 164, 158)) for x in (0.2, 0.4, 0.6, 0.8)),
        *(((0, y, 1, y + 0.012), (172, 164, 158)) for y in (0.7, 0.85)),
    ),
    "library": (
        ((0, 0, 1, 1), (214, 184, 150)),
        *(((0, y, 1, y + 0.03), (156, 116, 84)) for y in (0.2, 0.45, 0.7)),
        *(((x, y - 0.15, x + 0.05, y), (186, 150, 122)) for y in (0.2, 0.45, 0.7) for x in (0.06, 0.16, 0.3, 0.52, 0.66, 0.86)),
        ((0, 0.86, 1, 1), (178, 140, 106)),
    ),
    "theater": (
        ((0, 0, 1, 0.8), (150, 74, 84)),
        *(((x, 0, x + 0.05, 0.8), (128, 56, 68)) for x in (0.08, 0.26, 0.44, 0.62, 0.8)),
        ((0, 0.8, 1, 1), (182, 146, 108)),
    ),
}


def tight_box(thing: Thing) -> Box:
    """The box around what is drawn of a thing, as shares of the picture."""
    x0, y0, x1, y1 = outlines.extent(THINGS[thing.thing][1], thing.shape)
    (left, top), (right, bottom) = outlines.within(((x0, y0), (x1, y1)), thing.box)
    return left, top, right, bottom


def draw(scene: Scene, size: int, style: str, rng: random.Random, place_name: str) -> NDArray[np.uint8]:
    """A scene as pixels [size, size, 3]. `rng` shakes the colours a little. ValueError for a size that is not drawn."""
    from PIL import Image, ImageDraw

    if not LEAST <= size <= MOST:
        raise ValueError(f"pictures of the world are drawn with {LEAST} to {MOST} pixels a side, not {size}")
    side = size * FINER
    canvas = Image.new("RGB", (side, side), PAPER)
    pen = ImageDraw.Draw(canvas)
    if style == "scene":
        for box, colour in BACKGROUNDS[place_name]:
            x0, y0, x1, y1 = (round(v * side) for v in box)
            pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=_shaken(colour, rng))
    width = max(1, round(LINE_WIDTH[style] * side))
    for thing in scene.things:
        _Brush(pen, side, thing, style, width, _shaken(COLOURS[thing.colour], rng)).draw()
    return np.asarray(canvas.reduce(FINER), np.uint8)


def _shaken(colour: Colour, rng: random.Random) -> Colour:
    red, green, blue = (max(0, min(255, c + rng.randint(-SHAKEN, SHAKEN))) for c in colour)
    return red, green, blue


def _mixed(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other))
    return red, green, blue


class _Brush:
    """Draws the parts of one thing."""

    def __init__(self, pen: ImageDraw.ImageDraw, side: int, thing: Thing, style: str, width: int, colour: Colour) -> None:
        self.pen, self.side, self.thing, self.style, self.width = pen, side, thing, style, width
        bright = sum(colour) > 600
        self.tones: dict[str, Colour] = {
            **MATERIALS,
            "main": colour,
            "dark": _mixed(colour, (0, 0, 0), 0.2 if bright else 0.38),
            "light": _mixed(colour, (0, 0, 0), 0.1) if bright else _mixed(colour, (255, 255, 255), 0.45),
        }
        self.edge = _mixed(colour, (0, 0, 0), 0.55) if sum(colour) > 150 else (96, 96, 100)

    def draw(self) -> None:
        """All parts, from the bottom to the top."""
        for form, tone, numbers in outlines.PARTS[THINGS[self.thing.thing][1]]:
            if form == "face":
                assert self.thing.mood is not None
                ink = self.tones["light"] if sum(self.tones["main"]) < 240 else self.tones["ink"]
                for line in outlines.face(self.thing.mood, numbers):
                    self._line(line, ink)
            elif form == "line":
                self._line(numbers, self.tones[tone])
            else:
                self._area((form, tone, numbers))

    def _placed(self, points: tuple[Point, ...]) -> list[tuple[int, int]]:
        found = outlines.within(points, self.thing.box)
        return [(round(x * (self.side - 1)), round(y * (self.side - 1))) for x, y in found]

    def _line(self, points: tuple[Point, ...], colour: Colour) -> None:
        shown = colour if self.style == "scene" else self.tones["main"]
        self.pen.line(self._placed(points), fill=shown, width=self.width, joint="curve")

    def _area(self, part: Part) -> None:
        form, tone, numbers = part
        shape = self.thing.shape
        if form == "body" and shape is not None:
            self._polygon(outlines.within(outlines.SHAPES[shape], numbers), tone)
            if shape == len(outlines.SHAPES) - 1:
                x0, y0, x1, y1 = outlines.PIT
                (left, top), (right, bottom) = outlines.within(((x0, y0), (x1, y1)), numbers)
                self._polygon(_ellipse(left, top, right, bottom), outlines.WOOD)
        elif form == "oval":
            self._polygon(_ellipse(*numbers), tone)
        elif form == "rect":
            x0, y0, x1, y1 = numbers
            self._polygon(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), tone)
        else:
            self._polygon(numbers, tone)

    def _polygon(self, points: tuple[Point, ...], tone: str) -> None:
        placed = self._placed(points)
        if self.style == "scene":
            self.pen.polygon(placed, fill=self.tones[tone])
            self.pen.line([*placed, placed[0]], fill=self.edge, width=self.width)
        else:
            self.pen.line([*placed, *placed[:2]], fill=self.tones["main"], width=self.width, joint="curve")


def _ellipse(x0: float, y0: float, x1: float, y1: float) -> tuple[Point, ...]:
    return outlines.within(outlines.turned(0.5, 24, 0.0), (x0, y0, x1, y1))
