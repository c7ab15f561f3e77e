"""Sheets: responses of chatbots in their conversations, one a row of a .jsonl or .csv file, which raters judge.

| field | meaning |
| --- | --- |
| id | name of the row, found nowhere else |
| bot | who responds |
| conversation | static: the context, which several bots may answer; interactive: the conversation, of one bot |
| context | the turns before, oldest first: a list of texts; in a .csv the same as JSON |
| response | what the bot said, "" for nothing |
| turn | interactive only: the number of the response among those of its conversation, from 1 |

Rows with a turn make an interactive sheet, rows without one a static sheet. Further fields are left alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gyebo.config.disk import disk_full
from gyebo.config.durable import replacing
from gyebo.data.encoding import UTF8, Reading
from gyebo.data.rows import any_rows, form_of

STATIC, INTERACTIVE = "static", "interactive"
SHEET_FIELDS = ("id", "bot", "conversation", "context", "response", "turn")
KEY = 16  # hexadecimal digits


@dataclass(frozen=True)
class Item:
    """One response to be judged; fields as in the table above."""

    id: str
    bot: str
    conversation: str
    context: tuple[str, ...]
    response: str
    turn: int | None = None

    @property
    def key(self) -> str:
        """What the page calls this item, as an id may tell which bot it is."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:KEY]


@dataclass(frozen=True)
class Sheet:
    """The items of one or several files, all static or all interactive."""

    items: tuple[Item, ...]

    @property
    def kind(self) -> str:
        """`STATIC` or `INTERACTIVE`."""
        return STATIC if self.items[0].turn is None else INTERACTIVE

    @property
    def bots(self) -> tuple[str, ...]:
        """The bots in the order in which they come."""
        return tuple(dict.fromkeys(item.bot for item in self.items))


def read_sheets(paths: Sequence[str | Path], reading: Reading = UTF8) -> Sheet:
    """The items of all files in order; FileNotFoundError, or ValueError with file, row and field for what is wrong."""
    places: dict[str, str] = {}
    items: list[Item] = []
    for path in map(Path, paths):
        before = len(items)
        for where, values in rows(path, reading):
            item = _item(values, where)
            if item.id in places:
                raise ValueError(f"{where}: id {item.id!r} stands in {places[item.id]} already: give each response its own")
            places[item.id] = where
            items.append(item)
        if len(items) == before:
            raise ValueError(f"{path}: no responses in it")
    _check_together(items, places)
    return Sheet(tuple(items))


def read_contexts(path: Path, reading: Reading = UTF8) -> dict[str, tuple[str, ...]]:
    """The contexts of a file to respond to, by conversation: its fields `conversation`, by default the number of the row, and
    `context`; a sheet has both. Errors as of `read_sheets`."""
    found: dict[str, tuple[str, ...]] = {}
    for number, (where, values) in enumerate(rows(path, reading), 1):
        name = word(values, "conversation", where) if values.get("conversation") not in (None, "") else str(number)
        turns = _context(values.get("context"), where)
        if found.setdefault(name, turns) != turns:
            raise ValueError(f"{where}: conversation {name!r} has another context in an earlier row: name it otherwise")
    if not found:
        raise ValueError(f"{path}: no contexts in it")
    return found


def order_of(sheet: Sheet, rater: str) -> list[Item]:
    """The items as this rater sees them: in an order that follows from the name, the same at every start, also of a sheet
    that has grown. A conversation of an interactive sheet stays together, its turns in order."""

    def chance(name: str) -> bytes:
        return hashlib.sha256(f"{rater}\0{name}".encode()).digest()

    if sheet.kind == STATIC:
        return sorted(sheet.items, key=lambda item: chance(item.id))
    return sorted(sheet.items, key=lambda item: (chance(f"{item.bot}\0{item.conversation}"), item.turn))


# ---- rows of files, also those of ratings


def rows(path: Path, reading: Reading = UTF8) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, values) of the rows of a .jsonl or .csv; ValueError that names the place for one that can't be read."""
    if form_of(path) not in ("jsonl", "csv"):
        raise ValueError(f"{path}: not one of .jsonl, .csv")
    for where, values in any_rows(path, reading):
        if isinstance(values, str):
            raise ValueError(f"{path}: {where}: {values}")
        yield f"{path}: {where}", values


def write_rows(path: Path, found: Iterable[dict[str, Any]], fields: Sequence[str]) -> None:
    """Write rows with these fields to a .jsonl or .csv, atomically; in a .csv a list is JSON, yes and no are true and false,
    and what is not known is empty."""
    if path.suffix not in (".jsonl", ".csv"):
        raise ValueError(f"{path}: must end in .jsonl or .csv")
    with (
        disk_full(path, "free some space and start again"),
        replacing(path) as aside,
        aside.open("w", encoding="utf-8", newline="") as file,
    ):
        if path.suffix == ".csv":
            file.write(as_csv(found, fields))
        else:
            file.writelines(json.dumps({name: row[name] for name in fields}, ensure_ascii=False) + "\n" for row in found)


def as_csv(found: Iterable[dict[str, Any]], fields: Sequence[str]) -> str:
    """The text of a .csv with these columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_cell(row[name]) for name in fields] for row in found)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)


def word(values: dict[str, Any], field: str, where: str) -> str:
    """A field that holds a name: text or a whole number; ValueError for anything else, and for none."""
    value = values.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        found = "is missing" if field not in values else f"must be a name, but is {value!r} instead"
        raise ValueError(f"{where}: {field} {found}")
    return value.strip()


# ---- one item


def _item(values: dict[str, Any], where: str) -> Item:
    response = values.get("response")
    if not isinstance(response, str):
        raise ValueError(f"{where}: response must be a text, but is {response!r} instead")
    names = {field: word(values, field, where) for field in ("id", "bot", "conversation")}
    return Item(**names, context=_context(values.get("context"), where), response=response, turn=_turn(values, where))


def _context(value: Any, where: str) -> tuple[str, ...]:
    turns = value
    if isinstance(value, str):  # a cell of a .csv
        try:
            turns = json.loads(value)
        except json.JSONDecodeError:
            turns = None
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) for turn in turns):
        raise ValueError(f'{where}: context must be a list of texts, as ["Hi!", "Hello."], but is {value!r} instead')
    if any(not turn.strip() for turn in turns):
        raise ValueError(f"{where}: context has an empty turn: leave it out, or write what was said")
    return tuple(turns)


def _turn(values: dict[str, Any], where: str) -> int | None:
    value = values.get("turn")
    if value is None or value == "":
        return None
    number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{where}: turn must be a whole number from 1 on, but is {value!r} instead")
    return number


def _check_together(items: Sequence[Item], places: dict[str, str]) -> None:
    """What no single row shows: a sheet of one kind, contexts that are what they are called, turns that stand once."""
    contexts: dict[str, Item] = {}
    turns: dict[tuple[str, str, int], Item] = {}
    for item in items:
        where, conversation = places[item.id], f"conversation {item.conversation!r}"
        if (item.turn is None) != (items[0].turn is None):
            has, first = ("no turn" if item.turn is None else "a turn"), places[items[0].id]
            raise ValueError(f"{where}: has {has}, unlike {first}: a sheet is static (without) or interactive (with turns)")
        if item.turn is None:
            known = contexts.setdefault(item.conversation, item)
            if known.context != item.context:
                raise ValueError(f"{where}: context of {conversation} is not that of {places[known.id]}: name it otherwise")
        else:
            known = turns.setdefault((item.bot, item.conversation, item.turn), item)
            if known is not item:
                raise ValueError(
                    f"{where}: turn {item.turn} of {conversation} of {item.bot} stands in {places[known.id]} already"
                )
