"""What is stored of benchmarks and other experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
BENCHMARKS = DOCS.parent / "benchmarks" / "results"
LAB = DOCS / "results" / "lab"

Rows = list[list[str]]
"""A table: the first row is the heading."""


def stored(name: str, folder: Path | None = None) -> Any:
    """What a benchmark stored, or another experiment in its folder."""
    return read((folder or BENCHMARKS) / f"{name}.json")


def read(path: Path) -> Any:
    """A file of JSON."""
    return json.loads(path.read_text(encoding="utf-8"))


def compared(name: str) -> dict[str, dict[str, str]]:
    """The table of docs/results/NAME/results.md: line -> candidate -> cell."""
    lines = (DOCS / "results" / name / "results.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    names = cells[0][1:]
    return {line: dict(zip(names, values)) for line, *values in cells[2:]}
