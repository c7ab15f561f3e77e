"""How a task is put into words for a model that answers by text: its prefix and what its texts are called. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.task import Columns, Example, Task
from gyebo.tasks.text_task import TextTask

LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "tr": "Turkish",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""Languages by their codes; others are named by what the user calls them."""


def text_task(task: Task, train: Sequence[Example] = (), *, prefixes: bool) -> TextTask:
    """The task in words. `train`: its training examples, from which a step of numbers follows. `prefixes`: whether the family
    reads what the task is; without, a text that stands alone is read as it is. ValueError where text does not answer it."""
    kind = find_kind(task.kind)
    if kind.text is None:
        raise ValueError(f"{task.name} is a {kind.name} task, which is not answered by text")
    columns = task.columns or _columns(task, kind)
    if task.languages is not None:
        source, target = (LANGUAGES.get(name, name) for name in task.languages)
        columns = tuple((part, f"translate {source} to {target}") for part, _ in columns)
    found = TextTask(
        name=task.name,
        kind=task.kind,
        prefix=task.name if task.prefix is None else task.prefix,
        columns=columns,
        labels=task.labels or (),
        step=kind.text.step(train) if kind.text.step and train else None,
        turns=kind.text.turns,
    )
    return found if prefixes else bare(found)


def bare(task: TextTask) -> TextTask:
    """The task as a family reads it that knows one task only: no prefix, and no name of a text that stands alone."""
    alone = len(task.columns) == 1
    return replace(task, prefix="", columns=tuple((part, "" if alone else called) for part, called in task.columns))


def _columns(task: Task, kind: Kind) -> tuple[tuple[str, str], ...]:
    """What the texts are called in the files of the task, else as usual for its kind."""
    assert kind.text is not None
    if not isinstance(task.convert, Columns):
        return kind.text.columns
    called = {"text": task.convert.text[-1:], "pair": task.convert.pair[-1:]}
    return tuple((part, name) for part, names in called.items() for name in names)
