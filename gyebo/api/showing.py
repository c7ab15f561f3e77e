"""How the results of verbs show themselves: a few lines in a terminal, a table in a notebook."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_ROWS = 20  # of a table in a notebook
WIDEST = 160  # characters of a text in a table


class Shown:
    """A result with a title and lines (what, figure); in a notebook also with pictures."""

    def title(self) -> str:
        """What it is, in a line."""
        raise NotImplementedError

    def lines(self) -> list[tuple[str, str]]:
        """What is said of it: (what, figure)."""
        raise NotImplementedError

    def image_files(self) -> list[Path]:
        """Files that a notebook shows below; those that are gone are left out."""
        return []

    def __repr__(self) -> str:
        lines = self.lines()
        widest = max((len(what) for what, _ in lines), default=0)
        return "\n".join([self.title(), *(f"  {what:<{widest}}  {figure}" for what, figure in lines)])

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th style='text-align:left'>{_text(a)}</th><td>{_text(b)}</td></tr>" for a, b in self.lines())
        shown = "".join(_image(path) for path in self.image_files() if path.is_file())
        return f"<p><b>{_text(self.title())}</b></p><table>{rows}</table>{shown}"


class Written(Shown, os.PathLike[str]):
    """A result whose model lies in the directory `out`, and which may stand wherever that may be named."""

    out: Path

    def __fspath__(self) -> str:
        return str(self.out)


def figure(value: Any) -> str:
    """A figure as text: 1,234 or 0.1234."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4f}"


def counted(count: int, thing: str) -> str:
    """1 prediction, 1,234 predictions."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as people say it."""
    for least, size, unit in ((7200, 3600, "h"), (120, 60, "min")):
        if seconds >= least:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.1f} s"


def table(names: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """A table as HTML, whose texts are escaped and cut."""
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_text(_short(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    said = f"<caption>{_text(caption)}</caption>" if caption else ""
    return f"<table>{said}<tr>{head}</tr>{body}</table>"


def columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of all values of some rows, in the order of their first appearance."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _short(cell: Any) -> str:
    text = figure(cell) if not isinstance(cell, Mapping) else ", ".join(f"{name} {figure(each)}" for name, each in cell.items())
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _text(value: Any) -> str:
    return html.escape(str(value)).replace("\n", "<br>")


def _image(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<p><img alt='{_text(path.name)}' style='max-width:640px' src='data:image/png;base64,{data}'></p>"
