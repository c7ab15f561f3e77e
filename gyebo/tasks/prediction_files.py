"""Predictions as a file: JSON lines, CSV or parquet, by the ending of its name."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gyebo.config.disk import disk_full
from gyebo.config.durable import replacing
from gyebo.config.errors import OptionError

FORMS = (".jsonl", ".csv", ".parquet")
Row = dict[str, Any]


def check_form(out: Path | None) -> None:
    """OptionError, before anything is computed, for a file that none of the forms can be chosen for."""
    if out is None:
        return
    if out.suffix.lower() not in FORMS:
        raise OptionError(f"‹out›={out}: the ending says which form the file has: {', '.join(FORMS)}")
    if out.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise OptionError(f'‹out›={out}: writing parquet needs the extra "data": pip install "gyebo[data]"') from None


def write_rows(out: Path, rows: Sequence[Row]) -> None:
    """Write the file in one step. In CSV, what has parts has a column for each (`probabilities.good`), and lists are JSON."""
    form = out.suffix.lower()
    with disk_full(out, "free some space and start again"), replacing(out) as aside:
        if form == ".csv":
            _write_csv(aside, [_flat(row) for row in rows])
        elif form == ".parquet":
            _write_parquet(aside, [_flat(row) for row in rows], out)
        else:
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            aside.write_text(text, encoding="utf-8")


def _flat(row: Row) -> Row:
    """A row without dicts: their entries are columns of their own."""
    found: Row = {}
    for name, value in row.items():
        found |= {f"{name}.{part}": entry for part, entry in value.items()} if isinstance(value, dict) else {name: value}
    return found


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, names)
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | dict) else value


def _write_parquet(path: Path, rows: Sequence[Row], out: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            columns[name] = pyarrow.array(values)
        except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError):
            raise ValueError(f"{out}: the column {name!r} holds values of several kinds: write .jsonl or .csv") from None
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
