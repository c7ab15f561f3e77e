"""The task of a kind on a user's own file: default columns, metrics and maximum length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gyebo.data.encoding import Reading
from gyebo.data.rows import any_rows
from gyebo.tasks.task import Columns, Example, Row, Task

Convert = Callable[[dict[str, Any], str, bool], Iterable[Example]]


def column_task(
    kind: str,
    *,
    name: str = "",
    text: str = "text",
    pair: str | None = None,
    label: str,
    metrics: tuple[str, ...],
    max_length: int = 128,
    number: bool = False,
    target: bool = False,
    rows: Callable[[Path, Reading], Iterator[Row]] = any_rows,
    convert: Callable[[str, str | None, str], Convert] | None = None,
    pairs: bool = True,
    prefix: str | None = None,
) -> Callable[[str | None, str | None, str | None], Task]:
    """A function (text, pair, label) -> task of this kind on a user's own file; each is the name of a column, or None for the
    default given here.

    `rows`: reads the file; `convert`: names of the columns -> a function from a row to its examples, by default `Columns`
    (`number`: labels are scores; `target`: they are texts). `pairs` False: the function raises ValueError where a second column
    is named. `prefix`: as in `Task`.
    """

    def task(given_text: str | None, given_pair: str | None, given_label: str | None) -> Task:
        if given_pair and not pairs:
            raise ValueError(f"{kind} has one text: leave the second column out")
        columns = given_text or text, given_pair or pair, given_label or label
        make = convert or (lambda text, pair, label: Columns(text, pair or (), label, number=number, target=target))
        return Task(
            name=name or kind,
            title=f"{name or kind} on your own data",
            kind=kind,
            labels=None,
            metrics=metrics,
            score=metrics[0],
            rows=rows,
            convert=make(*columns),
            max_length=max_length,
            prefix=prefix,
        )

    return task
