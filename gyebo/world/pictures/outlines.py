"""How things look: each is a list of parts in the unit square, x to the right and y down.

A part is (form, tone, numbers): a polygon's points, an oval's or a rectangle's box, a line's points; `body` is the thing's
shape in a box (round, square, ...), `face` is a face in a box, which shows the mood. Later parts lie above earlier ones.
"""

from __future__ import annotations

import math

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Part = tuple[str, str, tuple]

# Tones: the colour itself, darker, lighter; and materials, which are the same whatever the colour.
MAIN, DARK, LIGHT, WOOD, LEAF, INK, METAL = "main", "dark", "light", "wood", "leaf", "ink", "metal"


def _poly(tone: str, *points: Point) -> Part:
    return "poly", tone, points


def _oval(tone: str, *box: float) -> Part:
    return "oval", tone, box


def _rect(tone: str, *box: float) -> Part:
    return "rect", tone, box


def _line(tone: str, *points: Point) -> Part:
    return "line", tone, points


def _body(*box: float) -> Part:
    return "body", MAIN, box


def _face(*box: float) -> Part:
    return "face", INK, box


def turned(radius: float, count: int, start: float, centre: Point = (0.5, 0.5)) -> tuple[Point, ...]:
    """`count` points on a circle, the first at the angle `start` (turns; 0 is to the right, 0.25 down)."""
    angles = [2 * math.pi * (start + n / count) for n in range(count)]
    return tuple((centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles)


def _filling(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Points stretched so that they fill the unit square."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return tuple(((x - min(xs)) / (max(xs) - min(xs)), (y - min(ys)) / (max(ys) - min(ys))) for x, y in points)


def _star() -> tuple[Point, ...]:
    outer, inner = turned(1.0, 5, -0.25, (0, 0)), turned(0.45, 5, -0.15, (0, 0))
    return _filling(tuple(point for pair in zip(outer, inner) for point in pair))


def _heart() -> tuple[Point, ...]:
    found = []
    for n in range(28):
        t = 2 * math.pi * n / 28
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        found.append((16 * math.sin(t) ** 3, -y))
    return _filling(tuple(found))


def _avocado() -> tuple[Point, ...]:
    """A circle that narrows upwards."""
    found = []
    for n in range(28):
        t = 2 * math.pi * n / 28
        found.append((math.sin(t) * (0.72 - 0.28 * math.cos(t)), -math.cos(t)))
    return _filling(tuple(found))


# In the order of `lexicon.SHAPES`.
SHAPES: tuple[tuple[Point, ...], ...] = (
    turned(0.5, 28, 0.0),
    ((0.04, 0.04), (0.96, 0.04), (0.96, 0.96), (0.04, 0.96)),
    ((0.5, 0.0), (1.0, 0.98), (0.0, 0.98)),
    _star(),
    _heart(),
    _avocado(),
)
PIT: Box = (0.28, 0.46, 0.72, 0.84)  # the avocado's stone

_PETALS = tuple(_oval(MAIN, x - 0.17, y - 0.17, x + 0.17, y + 0.17) for x, y in turned(0.21, 6, 0.0, (0.5, 0.34)))

PARTS: dict[str, tuple[Part, ...]] = {
    "house": (_rect(MAIN, 0.12, 0.42, 0.88, 1.0), _poly(DARK, (0.0, 0.46), (0.5, 0.0), (1.0, 0.46)),
              _rect(WOOD, 0.54, 0.62, 0.74, 1.0), _rect(LIGHT, 0.24, 0.58, 0.42, 0.76)),
    "tree": (_rect(WOOD, 0.42, 0.6, 0.58, 1.0), _oval(MAIN, 0.12, 0.24, 0.6, 0.72), _oval(MAIN, 0.42, 0.24, 0.9, 0.72),
             _oval(MAIN, 0.24, 0.0, 0.78, 0.54)),
    "umbrella": (_line(WOOD, (0.5, 0.1), (0.5, 0.88), (0.56, 0.98), (0.66, 0.98), (0.7, 0.88)),
                 _poly(MAIN, *((0.5 + 0.5 * math.cos(math.pi * (1 + n / 12)), 0.52 + 0.48 * math.sin(math.pi * (1 + n / 12)))
                               for n in range(13))),
                 _line(DARK, (0.5, 0.05), (0.33, 0.5)), _line(DARK, (0.5, 0.05), (0.67, 0.5))),
    "hat": (_poly(MAIN, (0.26, 0.72), (0.3, 0.2), (0.7, 0.2), (0.74, 0.72)), _rect(DARK, 0.26, 0.56, 0.74, 0.7),
            _oval(MAIN, 0.0, 0.62, 1.0, 0.86)),
    "book": (_poly(LIGHT, (0.06, 0.22), (0.5, 0.3), (0.94, 0.22), (0.94, 0.78), (0.5, 0.88), (0.06, 0.78)),
             _poly(MAIN, (0.0, 0.16), (0.47, 0.26), (0.47, 0.84), (0.0, 0.74)),
             _poly(MAIN, (1.0, 0.16), (0.53, 0.26), (0.53, 0.84), (1.0, 0.74))),
    "pencil": (_poly(MAIN, (0.68, 0.0), (0.94, 0.22), (0.36, 0.84), (0.12, 0.62)),
               _poly(LIGHT, (0.12, 0.62), (0.36, 0.84), (0.02, 0.98)), _poly(INK, (0.06, 0.84), (0.14, 0.93), (0.02, 0.98)),
               _poly(DARK, (0.68, 0.0), (0.94, 0.22), (0.84, 0.33), (0.58, 0.11))),
    "key": (_oval(MAIN, 0.0, 0.26, 0.46, 0.74), _oval(LIGHT, 0.13, 0.39, 0.33, 0.61), _rect(MAIN, 0.42, 0.44, 1.0, 0.56),
            _rect(MAIN, 0.72, 0.5, 0.8, 0.74), _rect(MAIN, 0.88, 0.5, 0.96, 0.7)),
    "ball": (_oval(MAIN, 0.02, 0.02, 0.98, 0.98), _line(DARK, (0.02, 0.5), (0.3, 0.6), (0.7, 0.6), (0.98, 0.5)),
             _oval(LIGHT, 0.24, 0.16, 0.44, 0.34)),
    "bell": (_oval(METAL, 0.4, 0.8, 0.6, 1.0), _oval(DARK, 0.42, 0.0, 0.58, 0.16),
             _poly(MAIN, (0.06, 0.84), (0.2, 0.62), (0.26, 0.24), (0.42, 0.1), (0.58, 0.1), (0.74, 0.24), (0.8, 0.62),
                   (0.94, 0.84)), _line(DARK, (0.19, 0.66), (0.81, 0.66))),
    "drum": (_rect(MAIN, 0.06, 0.3, 0.94, 0.82), _oval(MAIN, 0.06, 0.68, 0.94, 0.98), _oval(LIGHT, 0.06, 0.12, 0.94, 0.44),
             _line(DARK, (0.08, 0.4), (0.28, 0.86), (0.5, 0.46), (0.72, 0.86), (0.92, 0.4))),
    "vase": (_poly(MAIN, (0.34, 0.0), (0.66, 0.0), (0.6, 0.22), (0.86, 0.52), (0.78, 0.82), (0.64, 1.0), (0.36, 1.0),
                   (0.22, 0.82), (0.14, 0.52), (0.4, 0.22)), _line(LIGHT, (0.18, 0.52), (0.5, 0.6), (0.82, 0.52)),
             _line(DARK, (0.24, 0.74), (0.5, 0.8), (0.76, 0.74))),
    "flag": (_rect(WOOD, 0.08, 0.0, 0.18, 1.0),
             _poly(MAIN, (0.18, 0.04), (0.5, 0.12), (0.96, 0.04), (0.96, 0.54), (0.5, 0.62), (0.18, 0.54))),
    "flower": (_line(LEAF, (0.5, 0.5), (0.5, 1.0)), _oval(LEAF, 0.5, 0.72, 0.78, 0.88), *_PETALS,
               _oval(LIGHT, 0.38, 0.22, 0.62, 0.46)),
    "fish": (_poly(DARK, (0.68, 0.5), (1.0, 0.22), (1.0, 0.78)), _oval(MAIN, 0.0, 0.2, 0.8, 0.8),
             _oval(INK, 0.14, 0.38, 0.24, 0.48), _line(DARK, (0.34, 0.28), (0.4, 0.5), (0.34, 0.72))),
    "car": (_poly(MAIN, (0.2, 0.5), (0.32, 0.22), (0.7, 0.22), (0.84, 0.5)),
            _poly(LIGHT, (0.29, 0.48), (0.37, 0.29), (0.5, 0.29), (0.5, 0.48)), _rect(MAIN, 0.0, 0.48, 1.0, 0.74),
            _oval(INK, 0.12, 0.62, 0.36, 0.86), _oval(INK, 0.64, 0.62, 0.88, 0.86)),
    "sailboat": (_rect(WOOD, 0.47, 0.0, 0.53, 0.74), _poly(MAIN, (0.53, 0.04), (0.94, 0.62), (0.53, 0.62)),
                 _poly(LIGHT, (0.47, 0.14), (0.14, 0.62), (0.47, 0.62)),
                 _poly(MAIN, (0.0, 0.7), (1.0, 0.7), (0.82, 0.98), (0.18, 0.98))),
    "cup": (_oval(DARK, 0.62, 0.28, 1.0, 0.72), _oval(LIGHT, 0.72, 0.38, 0.9, 0.62),
            _poly(MAIN, (0.02, 0.12), (0.78, 0.12), (0.7, 0.94), (0.1, 0.94)), _oval(LIGHT, 0.02, 0.04, 0.78, 0.22)),
    "sock": (_poly(MAIN, (0.3, 0.0), (0.74, 0.0), (0.74, 0.62), (0.66, 0.86), (0.28, 1.0), (0.04, 0.94), (0.04, 0.74),
                   (0.3, 0.58)), _rect(DARK, 0.3, 0.0, 0.74, 0.16), _line(DARK, (0.5, 0.9), (0.74, 0.66))),
    "avocado": (_poly(MAIN, *((0.08 + 0.84 * x, y) for x, y in SHAPES[5])), _oval(WOOD, 0.3, 0.46, 0.7, 0.84)),
    "chair": (_rect(WOOD, 0.16, 0.6, 0.26, 1.0), _rect(WOOD, 0.74, 0.6, 0.84, 1.0), _body(0.14, 0.0, 0.86, 0.64),
              _rect(DARK, 0.06, 0.62, 0.94, 0.76)),
    "watch": (_rect(WOOD, 0.38, 0.0, 0.62, 1.0), _body(0.12, 0.16, 0.88, 0.84), _line(INK, (0.5, 0.34), (0.5, 0.54),
              (0.64, 0.6))),
    "bag": (_line(WOOD, (0.26, 0.4), (0.3, 0.1), (0.42, 0.02), (0.58, 0.02), (0.7, 0.1), (0.74, 0.4)),
            _body(0.04, 0.22, 0.96, 1.0), _line(DARK, (0.3, 0.62), (0.7, 0.62))),
    "kite": (_line(INK, (0.5, 0.66), (0.42, 0.78), (0.56, 0.88), (0.46, 1.0)), _body(0.12, 0.0, 0.88, 0.72),
             _line(DARK, (0.5, 0.04), (0.5, 0.7)), _line(DARK, (0.2, 0.44), (0.8, 0.44))),
    "mirror": (_rect(WOOD, 0.42, 0.6, 0.58, 1.0), _body(0.1, 0.0, 0.9, 0.74),
               _poly(METAL, *turned(0.18, 12, 0.0, (0.5, 0.44)))),
    "plate": (_body(0.0, 0.0, 1.0, 1.0), _oval(LIGHT, 0.3, 0.4, 0.7, 0.8)),
    "lantern": (_line(INK, (0.3, 0.18), (0.38, 0.02), (0.62, 0.02), (0.7, 0.18)), _rect(INK, 0.36, 0.9, 0.64, 1.0),
                _body(0.1, 0.12, 0.9, 0.92), _poly(LIGHT, (0.5, 0.44), (0.6, 0.66), (0.5, 0.76), (0.4, 0.66))),
    "button": (_body(0.0, 0.0, 1.0, 1.0), *(_oval(INK, x, y, x + 0.12, y + 0.12) for x in (0.36, 0.54) for y in (0.44, 0.62))),
    "cushion": (*(_oval(WOOD, x, y, x + 0.16, y + 0.16) for x in (0.0, 0.84) for y in (0.0, 0.84)),
                _body(0.06, 0.06, 0.94, 0.94), _line(DARK, (0.4, 0.54), (0.6, 0.74)), _line(DARK, (0.6, 0.54), (0.4, 0.74))),
    "signboard": (_rect(WOOD, 0.44, 0.5, 0.56, 1.0), _body(0.06, 0.0, 0.94, 0.68), _line(INK, (0.36, 0.38), (0.64, 0.38)),
                  _line(INK, (0.36, 0.5), (0.64, 0.5))),
    "doll": (_poly(DARK, (0.5, 0.5), (0.84, 1.0), (0.16, 1.0)), _oval(MAIN, 0.16, 0.0, 0.84, 0.64),
             _face(0.26, 0.14, 0.74, 0.54)),
    "toy robot": (_line(INK, (0.5, 0.12), (0.5, 0.0)), _rect(DARK, 0.26, 0.62, 0.74, 1.0), _rect(METAL, 0.06, 0.66, 0.24, 0.8),
                  _rect(METAL, 0.76, 0.66, 0.94, 0.8), _rect(MAIN, 0.12, 0.1, 0.88, 0.62), _face(0.24, 0.16, 0.76, 0.56)),
    "cat": (_poly(MAIN, (0.06, 0.46), (0.08, 0.0), (0.42, 0.24)), _poly(MAIN, (0.94, 0.46), (0.92, 0.0), (0.58, 0.24)),
            _oval(MAIN, 0.02, 0.16, 0.98, 0.98), _face(0.2, 0.36, 0.8, 0.86)),
    "rabbit": (_oval(MAIN, 0.2, 0.0, 0.44, 0.56), _oval(MAIN, 0.56, 0.0, 0.8, 0.56), _oval(MAIN, 0.08, 0.34, 0.92, 1.0),
               _face(0.22, 0.46, 0.78, 0.92)),
}  # fmt: skip


def face(mood: int, box: Box) -> tuple[tuple[Point, ...], ...]:
    """The lines of a face in a box: two eyes and a mouth. In the order of `lexicon.DRAWN_MOODS`: it smiles, it looks sad, its
    eyes are shut."""
    x0, y0, x1, y1 = box

    def at(*points: Point) -> tuple[Point, ...]:
        return tuple((x0 + (x1 - x0) * x, y0 + (y1 - y0) * y) for x, y in points)

    bend = (0.22, -0.22, 0.0)[mood]
    mouth = at(*((0.2 + 0.06 * n, 0.78 + bend * (1 - ((n - 5) / 5) ** 2) - bend / 2) for n in range(11)))
    if mood == 2:
        return at((0.02, 0.25), (0.34, 0.25)), at((0.66, 0.25), (0.98, 0.25)), at((0.4, 0.8), (0.6, 0.8))
    return at((0.18, 0.12), (0.18, 0.36)), at((0.82, 0.12), (0.82, 0.36)), mouth


def extent(name: str, shape: int | None) -> Box:
    """The smallest box around the parts of a thing, in the unit square."""
    xs: list[float] = []
    ys: list[float] = []
    for form, _, numbers in PARTS[name]:
        if form in ("poly", "line"):
            points = numbers
        elif form == "body":
            assert shape is not None
            points = within(SHAPES[shape], numbers)
        else:
            points = (numbers[:2], numbers[2:])
        xs += [x for x, _ in points]
        ys += [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def within(points: tuple[Point, ...], box: Box) -> tuple[Point, ...]:
    """Points of the unit square, in a box."""
    return tuple((box[0] + x * (box[2] - box[0]), box[1] + y * (box[3] - box[1])) for x, y in points)
