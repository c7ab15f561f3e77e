"""Ratings: what raters say of a sheet's items, one a row of a .jsonl or .csv file.

| field | meaning |
| --- | --- |
| item | the item's id, or its key, as the page exports it |
| rater | who says so |
| sensible | does the response make sense in its conversation: true, false, yes, no, 1, 0 |
| specific | is it specific to it; empty where it was not asked, as of what is not sensible |
| kind | human (default) or automatic |
| description | what an automatic rater is; a human one needs none |

A row without an answer is no rating. Of several rows of a rater about an item the last one counts, as a rater may go back.
`log_of` is the file beside a sheet to which the page writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.config.disk import disk_full
from gyebo.config.durable import append_json, mend
from gyebo.config.errors import OptionError
from gyebo.data.encoding import UTF8, Reading
from gyebo.data.lock import sole_writer
from gyebo.ssa.sheet import Sheet, rows, word

HUMAN, AUTOMATIC, BOTH = "human", "automatic", "both"
ANSWERS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
FIELDS = ("item", "rater", "sensible", "specific", "kind", "description")
Who = tuple[str, str]  # item, rater


@dataclass(frozen=True)
class Rating:
    """One rater's answers about one item. `specific` None: not known."""

    item: str
    rater: str
    sensible: bool
    specific: bool | None = None
    kind: str = HUMAN
    description: str = ""


def log_of(sheet: Path) -> Path:
    """The file beside a sheet that the page adds ratings to: sheet.jsonl -> sheet.ratings.jsonl."""
    return sheet.with_suffix(".ratings.jsonl")


def record(log: Path, rating: Rating) -> None:
    """Add a rating to a log; it is on the disk when this returns. Several threads and processes may do so at once."""
    row = {"item": rating.item, "rater": rating.rater, "sensible": rating.sensible, "specific": rating.specific}
    with sole_writer(log, wait=True), disk_full(log, "free some space and answer again"):
        append_json(log, row)


def read_log(log: Path, sheet: Sheet) -> dict[Who, Rating]:
    """The ratings of a log, none where it does not exist yet."""
    if not log.exists():
        return {}
    with sole_writer(log, wait=True):
        mend(log)
        return read_ratings(log, sheet)


def read_ratings(path: Path, sheet: Sheet, reading: Reading = UTF8) -> dict[Who, Rating]:
    """The ratings of a file by (item, rater); FileNotFoundError, or ValueError with file, row and field for what is wrong."""
    names = {item.key: item.id for item in sheet.items} | {item.id: item.id for item in sheet.items}
    found: dict[Who, Rating] = {}
    for where, values in rows(path, reading):
        rating = _rating(values, where, names)
        if rating is not None:
            found[rating.item, rating.rater] = rating
    return found


def gather(
    sheet: Sheet, logs: Iterable[Path], files: Sequence[Path], raters: str | None = None, reading: Reading = UTF8
) -> list[Rating]:
    """The ratings of all files by the raters of one kind, or of both; ratings of the same item by the same rater in two files
    are an error unless they agree.

    `reading`: of the files; logs are UTF-8. `raters`: human, automatic or both; None: those there are, an OptionError where
    there are both kinds, as their average is neither what people say nor what a program says.
    """
    known = (HUMAN, AUTOMATIC, BOTH)
    if raters not in (None, *known):
        raise OptionError(f"‹raters› must be one of {', '.join(known)}, but is {raters!r} instead")
    found: dict[Who, Rating] = {}
    source: dict[Who, Path] = {}
    of_logs = ((log, read_log(log, sheet)) for log in logs)
    of_files = ((file, read_ratings(file, sheet, reading)) for file in files)
    for path, read in [*of_logs, *of_files]:
        for who, rating in read.items():
            if who in found and found[who] != rating:
                raise ValueError(f"{path}: {rating.rater} answers otherwise about {rating.item!r} than in {source[who]}")
            found[who], source[who] = rating, path
    kinds = _kinds(found.values())
    if raters is None and len(set(kinds.values())) > 1:
        counts = [sum(kind == one for kind in kinds.values()) for one in (HUMAN, AUTOMATIC)]
        raise OptionError(f"{counts[0]} human and {counts[1]} automatic raters: choose with ‹raters› human, automatic or both")
    chosen = [rating for rating in found.values() if raters in (None, BOTH, rating.kind)]
    if not chosen:
        raise ValueError(f"no ratings{f' by {raters} raters' if found else ''}: rate the sheet first (gyebo ssa serve)")
    return chosen


def automatic(ratings: Iterable[Rating]) -> dict[str, str]:
    """The automatic raters among those who rated, with their descriptions."""
    return {rating.rater: rating.description for rating in ratings if rating.kind == AUTOMATIC}


def rater_name(text: str) -> str:
    """The name of a rater as it is kept, without spaces around it; ValueError for an empty, an overlong or an unprintable
    one."""
    name = " ".join(text.split())
    if not name or len(name) > 100 or not name.isprintable():
        raise ValueError(f"a rater's name must have 1 to 100 printable characters, but is {text!r} instead")
    return name


def _kinds(ratings: Iterable[Rating]) -> dict[str, str]:
    kinds: dict[str, str] = {}
    for rating in ratings:
        if kinds.setdefault(rating.rater, rating.kind) != rating.kind:
            raise ValueError(f"rater {rating.rater!r} is human in one row and automatic in another: give each one name")
    return kinds


def _rating(values: dict[str, Any], where: str, names: dict[str, str]) -> Rating | None:
    sensible, specific = (_answer(values.get(field), f"{where}: {field}") for field in ("sensible", "specific"))
    item = word(values, "item", where)
    if item not in names:
        raise ValueError(f"{where}: item {item!r} is not in the sheet")
    if sensible is None:
        if specific is not None:
            raise ValueError(f"{where}: specific is answered, but not sensible: answer both, or neither")
        return None
    kind = values.get("kind") or HUMAN
    if kind not in (HUMAN, AUTOMATIC):
        raise ValueError(f"{where}: kind must be {HUMAN} or {AUTOMATIC}, but is {kind!r} instead")
    description = values.get("description") or ""
    if kind == AUTOMATIC and not description:
        raise ValueError(f"{where}: description is missing: say what the automatic rater is")
    rater = rater_name(word(values, "rater", where))
    return Rating(names[item], rater, sensible, specific, kind, str(description))


def _answer(value: Any, where: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text and text not in ANSWERS:
        raise ValueError(f"{where} must be one of {', '.join(ANSWERS)}, or empty, but is {value!r} instead")
    return ANSWERS.get(text)
