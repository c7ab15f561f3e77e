"""The examples of a fine-tuning: to learn from, to choose by, and to be measured on, which are never the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gyebo.config.finetune import TaskOptions
from gyebo.data.prepare import split_key
from gyebo.tasks import loading
from gyebo.tasks.registry import find as find_task
from gyebo.tasks.task import Example, Task
from gyebo.tasks.user_data import USER_KINDS, split, user_task, warnings

CHOOSING = 0.05  # of the training examples choose the best weights where the task has no set for that
OWN_FILE = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True)
class TaskData:
    """`task` with its labels; `measured`: which of the task's splits `test` is; `notes`: what was left out or is odd."""

    task: Task
    train: list[Example]
    valid: list[Example]
    test: list[Example]
    measured: str
    notes: list[str] = field(default_factory=list)


def open_task(options: TaskOptions) -> Task:
    """The registered task of that name, or one on a user's own data; ValueError for columns that would have no effect."""
    if options.name in USER_KINDS:
        if options.data is None:
            raise ValueError(f"{options.name} needs your data: --data FILE, and the names of its columns (--text, --label)")
        return user_task(options.name, options.text, options.pair, options.label)
    task = find_task(options.name)
    for flag in ("text", "pair", "label", "test"):
        if getattr(options, flag) is not None:
            raise ValueError(f"--{flag} has no effect on {task.name}, whose files have their own form: leave it out")
    return task


def read_task(options: TaskOptions) -> TaskData:
    """All examples of a task.

    A registered task is measured on its labelled test set, else on its dev set; what chooses the weights is then taken from the
    training examples by hash, unless there is a dev set beside a test set. One's own file is divided 8 : 1 : 1 by hash. Raises
    what `gyebo.tasks.loading` does.
    """
    task = open_task(options)
    data = _own(task, options) if options.name in USER_KINDS else _registered(task, options)
    train = data.train
    if options.train_share is not None:
        border = int(options.train_share * 2**64)
        train = [example for example in train if split_key(f"share {example.text}") < border]
    task = loading.with_labels(task, data.train)
    data = replace(data, task=task, train=train, notes=[*data.notes, *warnings(train, task.labels)])
    for name, part in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        if not part:
            raise ValueError(f"{task.name}: no example is left for {name}; bring more, or a larger share")
    return data


def _own(task: Task, options: TaskOptions) -> TaskData:
    found = loading.load(task, "train", options.data)
    if options.test is None:
        parts = split(found.examples, OWN_FILE)
        return TaskData(task, parts["train"], parts["valid"], parts["test"], "a tenth held out", found.notes)
    tested = loading.load(task, "dev", options.test)
    parts = split(found.examples, {"train": 0.9, "valid": 0.1})
    return TaskData(task, parts["train"], parts["valid"], tested.examples, Path(options.test).name, found.notes + tested.notes)


def _registered(task: Task, options: TaskOptions) -> TaskData:
    source: Any = options.data
    if source is None and task.world is None:
        source = loading.HUB
    train = loading.load(task, "train", source)
    found = {name: part for name in ("dev", "test") if (part := _labelled(task, name, source)) is not None}
    if not found:
        raise ValueError(f"{task.name}: neither a dev nor a test set with labels in {source}, so nothing can be measured")
    measured = "test" if "test" in found else "dev"
    notes = [*train.notes, *(note for part in found.values() for note in part.notes)]
    if len(found) == 2:
        return TaskData(task, train.examples, found["dev"].examples, found["test"].examples, "test", notes)
    parts = split(train.examples, {"train": 1 - CHOOSING, "valid": CHOOSING})
    return TaskData(task, parts["train"], parts["valid"], found[measured].examples, measured, notes)


def _labelled(task: Task, name: str, source: Any) -> loading.Loaded | None:
    """A split with labels; None where the task or the source has none."""
    if name not in task.splits:
        return None
    try:
        part = loading.load(task, name, source)
    except FileNotFoundError:
        return None
    first = part.examples[0]
    answered = first.label is not None or first.tags or first.heads or task.kind in ("spans", "dialogue-state")
    return part if answered else None
