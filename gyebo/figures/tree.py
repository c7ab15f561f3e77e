"""Plot of the family tree: time runs downwards, one row per family, one lane per line of descent."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Line

from gyebo.figures.curves import COLORS, INK, MUTED, save

# Inches: height of a row, distance between lanes, room for the years, a letter of 9 points, the widest figure.
ROW, LANE, YEARS, LETTER, WIDEST = 0.62, 0.34, 0.75, 0.068, 11.5


@dataclass(frozen=True)
class Member:
    """One family. `parents`: names of members; the line to the first is solid, those to others are dashed."""

    name: str
    title: str
    year: int
    parents: Sequence[str] = ()
    novelty: str = ""


def draw_tree(members: Sequence[Member], path: Path) -> None:
    """Plot the members into `path` (.svg or .png); text is Latin, black on white.

    Raises ValueError for no members, a duplicate name, a parent that is unknown or younger, or a cycle of parents.
    """
    rows = order(members)
    lanes = assign_lanes(rows)
    place = {member.name: (lanes[member.name], index) for index, member in enumerate(rows)}
    text = max(lanes.values()) + 1
    taken = YEARS + LANE * text
    room = int((WIDEST - taken) / LETTER)  # letters
    novelties = [textwrap.shorten(re.sub(r"\s+", " ", member.novelty), room, placeholder=" ...") for member in rows]
    width = taken + LETTER * max(20, *map(len, novelties))
    figure = Figure(figsize=(width, ROW * len(rows) + 0.3))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-YEARS / LANE, (width - YEARS) / LANE)
    axes.set_ylim(len(rows) - 0.5 + 0.15 / ROW, -0.5 - 0.15 / ROW)
    for member, novelty in zip(rows, novelties, strict=True):
        lane, row = place[member.name]
        color = COLORS[lane % len(COLORS)]
        for index, parent in enumerate(member.parents):
            _branch(axes, place[parent], (lane, row), color, dashed=index > 0)
        axes.plot([lane], [row], marker="o", markersize=9, color=color, markeredgecolor="white", markeredgewidth=1.5, zorder=3)
        axes.text(-0.75, row, str(member.year), ha="right", va="center", color=MUTED, fontsize=9)
        axes.text(text, row - 0.2, member.title, ha="left", va="center", color=INK, fontsize=11.5, fontweight="bold")
        axes.text(text, row + 0.2, novelty, ha="left", va="center", color=MUTED, fontsize=9)
    with matplotlib.rc_context({"svg.hashsalt": "gyebo"}):
        save(figure, path)


def order(members: Sequence[Member]) -> list[Member]:
    """Oldest first, every member after its parents, otherwise as given."""
    names = [member.name for member in members]
    if not names:
        raise ValueError("a tree needs at least one member")
    waiting = sorted(members, key=lambda member: member.year)
    for member in members:
        if names.count(member.name) > 1:
            raise ValueError(f"{member.name} occurs in the tree twice")
        for parent in member.parents:
            if parent not in names:
                raise ValueError(f"{member.name}: its parent {parent!r} is not in the tree")
    rows: list[Member] = []
    while waiting:
        done = {member.name for member in rows}
        ready = next((member for member in waiting if done.issuperset(member.parents)), None)
        if ready is None:
            raise ValueError(f"{' and '.join(member.name for member in waiting)} descend from each other")
        if rows and ready.year < rows[-1].year:
            raise ValueError(f"{ready.name} ({ready.year}) is older than its parent ({rows[-1].year})")
        rows.append(ready)
        waiting.remove(ready)
    return rows


def assign_lanes(rows: Sequence[Member]) -> dict[str, int]:
    """A lane for each member, parents first: that of its parent if nothing else continues there, otherwise the first free
    one."""
    row = {member.name: index for index, member in enumerate(rows)}
    busy: dict[int, int] = {}  # lane -> the last row in which it is used
    lanes: dict[str, int] = {}
    for index, member in enumerate(rows):
        start = row[member.parents[0]] if member.parents else index - 1
        own = lanes[member.parents[0]] if member.parents else None
        if own is not None and busy[own] == start:
            lane = own
        else:
            kept = _kept(rows, lanes, index)
            lane = next(lane for lane in range(len(rows) + 1) if busy.get(lane, -1) <= start and lane not in kept)
        lanes[member.name], busy[lane] = lane, index
    return lanes


def _kept(rows: Sequence[Member], lanes: dict[str, int], index: int) -> set[int]:
    """Lanes whose last member has children in later rows only."""
    coming = {member.parents[0] for member in rows[index + 1 :] if member.parents}
    last = {lanes[member.name]: member.name for member in rows[:index]}
    return {lane for lane, name in last.items() if name in coming}


def _branch(axes: Axes, parent: tuple[int, int], child: tuple[int, int], color: str, dashed: bool) -> None:
    """The line to the first parent changes lanes at the parent; lines to further parents change at the child."""
    (x0, y0), (x1, y1) = parent, child
    if dashed:
        side = x0 + (0.2 if x1 >= x0 else -0.2)
        points = [(x0, y0), (side, y0 + 0.4), (side, y1 - 0.9), (side, y1 - 0.3), (x1, y1 - 0.7), (x1, y1)]
        codes = [Line.MOVETO, Line.LINETO, Line.LINETO, Line.CURVE4, Line.CURVE4, Line.CURVE4]
        style: dict[str, Any] = {"linewidth": 1.1, "linestyle": (0, (3, 2)), "alpha": 0.8, "zorder": 1}
    else:
        points = [(x0, y0), (x0, y0 + 0.6), (x1, y0 + 0.4), (x1, y0 + 1), (x1, y1)]
        codes = [Line.MOVETO, Line.CURVE4, Line.CURVE4, Line.CURVE4, Line.LINETO]
        style = {"linewidth": 2.2, "zorder": 2}
    axes.add_patch(PathPatch(Line(points, codes), facecolor="none", edgecolor=color, **style))
