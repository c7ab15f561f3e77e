"""`gyebo ssa export`: the ratings of a sheet as one table."""

from __future__ import annotations

from pathlib import Path

from gyebo.jobs.run_directory import refuse_existing
from gyebo.ssa.ratings import FIELDS, log_of, read_log
from gyebo.ssa.sheet import read_sheets, write_rows

ABOUT = ("bot", "conversation", "turn")  # of an item, beside what a rating says


def export(path: Path, out: Path, *, overwrite: bool = False) -> int:
    """Write the ratings beside a sheet to a .jsonl or .csv, in the order of the sheet; gives their number.

    `gyebo.ssa.ratings.read_ratings` reads the result again. Raises FileNotFoundError, and ValueError for what is wrong in the
    sheet or its log, or where there are no ratings yet.
    """
    refuse_existing(out, overwrite, str(path))
    sheet = read_sheets([path])
    ratings = read_log(log_of(path), sheet)
    if not ratings:
        raise ValueError(f"{log_of(path)}: no ratings yet: rate the sheet first (gyebo ssa serve)")
    items = {item.id: item for item in sheet.items}
    place = {name: number for number, name in enumerate(items)}
    found = [
        {name: getattr(rating, name) for name in FIELDS} | {name: getattr(items[rating.item], name) for name in ABOUT}
        for rating in sorted(ratings.values(), key=lambda rating: (place[rating.item], rating.rater))
    ]
    write_rows(out, found, (FIELDS[0], *ABOUT, *FIELDS[1:]))
    return len(found)
