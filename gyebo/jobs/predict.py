"""`gyebo predict`: predictions of a fine-tuned model for the texts of a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gyebo.config.errors import OptionError
from gyebo.data.encoding import Reading
from gyebo.data.json_rows import Row, is_blank
from gyebo.data.rows import any_rows, form_of, lines
from gyebo.data.values import ABSENT, find
from gyebo.jobs.finetuned_model import FinetunedModel, open_named
from gyebo.jobs.opened import Given, check_place
from gyebo.jobs.run_directory import refuse_existing
from gyebo.jobs.text_files import reading_of
from gyebo.tasks.data.own_file import is_own, user_task
from gyebo.tasks.prediction import as_rows
from gyebo.tasks.prediction_files import check_form, write_rows
from gyebo.tasks.splits import open_task
from gyebo.tasks.task import Columns, Example, Task

IDS = ("id", "guid")  # columns that name a row


def predict(
    name: Given,
    file: str,
    out: Path | None = None,
    *,
    task: str | None = None,
    text: str | None = None,
    pair: str | None = None,
    image: str | None = None,
    features: str | None = None,
    encoding: str | None = None,
    bad_bytes: str | None = None,
    keep: bool = False,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
    notes: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Predictions of a fine-tuned model for each row of a file, as `gyebo.tasks.prediction` writes them: one text per line of a
    `.txt`, otherwise columns, by default named as in training. `task`: which one, of a model that learned several.

    `encoding`, `bad_bytes`: how the bytes of the file become text, as in `DataOptions`. A row has the id that the file gives it
    in a column `id` or `guid`, otherwise its place there; with `keep` also the file's other columns, before the prediction.
    Predictions are written to `out`, if it is given, in the form that its ending says; remarks are added to `notes`. Raises
    ValueError for a kind without a file format, and for errors in the file.
    """
    check_place(name, device, precision)
    refuse_existing(out, overwrite, file)
    check_form(out)
    opened = open_named(name, task)
    reading = reading_of(encoding, bad_bytes)
    asked = Asked(text, pair, image, features)
    read = list(_examples(opened, Path(file), reading, asked))
    if not read:
        raise ValueError(f"{file} contains no text")
    examples = [example for example, _ in read]
    answers = opened.predict(examples, device=device, precision=precision, max_length=None)
    found = as_rows(opened.kind, examples, answers, probability_key=opened.probability_key)
    found = [_joined(row, values, keep, file) for row, (_, values) in zip(found, read, strict=True)]
    if notes is not None:
        notes += [*reading.said(), *opened.notes]
    if out is not None:
        write_rows(out, found)
    return found


def _joined(row: dict[str, Any], values: dict[str, Any], keep: bool, file: str) -> dict[str, Any]:
    """A prediction with the id of the row that was read, and with `keep` its columns."""
    named = next((name for name in IDS if values.get(name) not in (None, "")), None)
    beginning = {"id": values[named] if named else row["id"]}
    if keep:
        beginning |= {name: value for name, value in values.items() if name != named}
        for name in row.keys() - {"id", "label"}:
            if name in values:
                raise OptionError(f"{file} has a column {name!r} already, beside which none can stand: rename it for ‹keep›")
    return beginning | {name: value for name, value in row.items() if name != "id" and name not in beginning}


Read = Iterator[tuple[Example, dict[str, Any]]]  # examples, and the row that each was read from


class Asked(NamedTuple):
    """Names of columns, and of a file with the regions of pictures; None: as in training."""

    text: str | None
    pair: str | None
    image: str | None
    features: str | None


def _examples(opened: FinetunedModel, file: Path, reading: Reading, asked: Asked) -> Read:
    kind, trained = opened.kind, opened.trained
    if kind.command == "translate":
        raise ValueError(f"{opened.name} is a model for {kind.name}: use gyebo translate {opened.name} {file}")
    if kind.command == "evaluate":
        raise OptionError(
            f"{opened.name} is a model for {kind.name}, whose examples are more than texts: use gyebo evaluate "
            f"{opened.name} TASK"
        )
    relation = trained is not None and not is_own(trained.task.name) and open_task(trained.task).entity_markers
    if relation and (form_of(file) == "txt" or asked.text or asked.pair):
        raise OptionError(
            f"{file}: {opened.name} classifies the relation of two entities, which the file must mark: give a file in the "
            f"format of {trained.task.name}, without ‹text› and ‹pair›"  # type: ignore[union-attr]
        )
    for option, value in (("image", asked.image), ("features", asked.features)):
        if value and not (kind.head and kind.head.sees):
            raise OptionError(f"‹{option}›={value} has no effect on {opened.name}, a model for {kind.name}: leave it out")
    if form_of(file) != "txt":
        return _columns(opened, file, reading, asked)
    for name, value in (("text", asked.text), ("pair", asked.pair)):
        if value is not None:
            raise OptionError(f"‹{name}› has no effect on {file}, whose lines are the texts: leave it out")
    if not kind.lines or (trained and trained.paired) or (opened.texts and "pair" in dict(opened.texts.task.columns)):
        what = "two texts" if kind.lines else kind.name
        raise ValueError(
            f"{file}: {opened.name} reads {what}, which a file of lines cannot contain: give a .csv, .tsv, .jsonl or .parquet"
        )
    found = enumerate(lines(file, reading), 1)
    return ((Example(f"line {number}", line), {"text": line}) for number, line in found if not is_blank(line))


def _columns(opened: FinetunedModel, file: Path, reading: Reading, asked: Asked) -> Read:
    """The examples of a file: from the columns of the registered task, if the file has them."""
    known = opened.trained
    if known and not is_own(known.task.name) and not any(asked):
        own = open_task(known.task)
        first = next((values for _, values in any_rows(file, reading) if isinstance(values, dict)), {})
        if own.needs and own.needs <= first.keys():
            return _with_rows(own, file, reading)
        if isinstance(own.convert, Columns) and any(find(first, name) is not ABSENT for name in own.convert.text):
            return _with_rows(replace(own, rows=any_rows), file, reading)
    return _with_rows(_task_of(opened, asked), file, reading)


def _with_rows(task: Task, file: Path, reading: Reading) -> Read:
    """The examples that a task reads from a file, each with its row: an example is made before the next row is read."""
    assert task.rows is not None
    read, last = task.rows, dict[str, Any]()

    def rows(path: Path, reading: Reading) -> Iterator[Row]:
        for where, values in read(path, reading):
            last["row"] = values if isinstance(values, dict) else {}
            yield where, values

    found = replace(task, rows=rows).read(file, labelled=False, reading=reading)
    return ((example, last["row"]) for example in found)


def _task_of(opened: FinetunedModel, asked: Asked) -> Task:
    """The task that reads the columns of a file: as given, otherwise named as in training, otherwise the default names."""
    known = opened.trained
    if known and is_own(known.task.name):
        given = {name: value for name, value in asked._asdict().items() if value}
        return open_task(known.task.model_copy(update=given))
    if known and open_task(known.task).entity_markers and not (asked.text or asked.pair):
        return open_task(known.task)  # its files mark the entities, text columns don't
    called = dict(opened.texts.task.columns) if opened.texts and not known else {}
    if opened.kind.lines and "pair" in called:  # as in training, where that is not recorded but in what is read
        return user_task(opened.kind.name, asked.text or called["text"], asked.pair or called["pair"])
    paired = known is not None and known.paired and opened.kind.lines
    pair = asked.pair or ("pair" if paired else None)
    return user_task(opened.kind.name, asked.text, pair, None, asked.image, asked.features)


def as_lines(rows: list[dict[str, Any]]) -> str:
    """Predictions as JSON lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
