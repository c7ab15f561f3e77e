"""The examples of a fine-tuning: to learn from, to choose by, and to be measured on, which are never the same."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions
from gyebo.data.prepare import split_key
from gyebo.data.sources import HUB, hub_name
from gyebo.tasks.data import checks, loading
from gyebo.tasks.data.checks import warnings
from gyebo.tasks.data.own_file import is_own, user_task
from gyebo.tasks.data.parallel import files_of
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.registry import find as find_task
from gyebo.tasks.task import Example, Task

CHOOSING = 0.05  # of the training examples choose the best weights where the task has no set for that
OWN_FILE = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True)
class TaskData:
    """`task` with its labels; `measured`: what `test` is, in words; `notes`: what was left out or is odd."""

    task: Task
    train: list[Example]
    valid: list[Example]
    test: list[Example]
    measured: str
    notes: list[str] = field(default_factory=list)

    @property
    def paired(self) -> bool:
        """Whether the examples have a second text."""
        return self.train[0].pair is not None

    @property
    def fingerprint(self) -> str:
        """Of all examples in their order: the same where a run learns from, chooses by and is measured on the same."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.train, self.valid, self.test):
            for example in part:
                digest.update(repr(example).encode())
            digest.update(b"\0")
        return digest.hexdigest()


@dataclass(frozen=True)
class HeldOut:
    """What a model is measured on; fields as in `TaskData`."""

    task: Task
    examples: list[Example]
    measured: str
    notes: list[str]


def open_task(options: TaskOptions) -> Task:
    """The registered task of that name, or one on a user's own data; ValueError for columns that would have no effect."""
    if is_own(options.name):
        if options.data is None:
            raise OptionError(f"{options.name} needs your data: ‹data›=FILE, and the names of its columns (‹text›, ‹label›)")
        return user_task(options.name, options.text, options.pair, options.label)
    task = find_task(options.name)
    for name in ("text", "pair", "label", "test"):
        if getattr(options, name) is not None:
            raise OptionError(f"‹{name}› has no effect on {task.name}, whose files have their own form: leave it out")
    return task


def read_task(options: TaskOptions) -> TaskData:
    """All examples of a task.

    A registered task is measured on its labelled test set, else on its dev set; what chooses the weights is then taken from
    the training examples by hash, unless there is a dev set beside a test set. One's own file is divided 8 : 1 : 1 by hash, or
    9 : 1 where another is there to test on. Raises what `gyebo.tasks.data.loading` does, and ValueError where too little is
    left.
    """
    task = open_task(options)
    data = _own(task, options) if is_own(options.name) else _registered(task, options)
    train = data.train
    if options.train_share is not None:
        border = int(options.train_share * 2**64)
        train = [example for example in train if split_key(f"share {example.text}") < border]
    _check_correlation(data)
    train = checks.checked(data.task, train, "train", f"{data.task.name}: what is left to learn from").examples
    odd = warnings(train, data.task.labels) if find_kind(data.task.kind).one_answer else []
    return replace(data, train=train, notes=[*data.notes, *odd])


def _check_correlation(data: TaskData) -> None:
    """ValueError where a part is too small for its task's score, before anything is trained."""
    if {"pearson", "spearman"} & set(data.task.metrics):
        for name, purpose in (("valid", "choose by"), ("test", "measure on")):
            if (count := len(getattr(data, name))) < 2:
                raise ValueError(f"{data.task.name}: {count} example to {purpose}, but a correlation needs two: bring more")


def read_test(options: TaskOptions, labels: Sequence[str] = ()) -> HeldOut:
    """What a task is measured on, without what is learned from: its labelled test set, else its dev set; of a file all of it.

    `labels`: the class names that a model knows, for a file of one's own. Raises what `gyebo.tasks.data.loading` does.
    """
    task = open_task(options)
    if is_own(options.name):
        named = replace(task, labels=tuple(labels) or None)
        return _whole(named, str(options.test or options.data))
    if options.data is not None and (Path(options.data).is_file() or is_stem(task, options.data)):
        return _whole(task, options.data)
    source = _source(task, options)
    for name in ("test", "dev"):
        if (part := _labelled(task, name, source)) is not None:
            return HeldOut(task, part.examples, name, part.notes)
    raise _nothing_labelled(task, source)


def is_stem(task: Task, name: str) -> bool:
    """Whether a name stands for two aligned files NAME.SOURCE and NAME.TARGET."""
    try:
        return bool(task.languages) and not Path(name).exists() and bool(files_of(name, task.languages or ("", "")))
    except FileNotFoundError:
        return False


def _whole(task: Task, file: str) -> HeldOut:
    found = loading.load(task, "dev", file)  # "dev": every row has a label, and every row counts
    return HeldOut(task, found.examples, Path(file).name, found.notes)


def same_source(first: str | None, second: str | None) -> bool:
    """Whether two names stand for the same examples: the same file, or the same split of a data set of the hub."""
    if not first or not second:
        return False
    if first.startswith(HUB) and second.startswith(HUB):
        (*one, split), (*other, part) = hub_name(first), hub_name(second)
        return one == other and (split or "train") == (part or "train")
    return Path(first).resolve() == Path(second).resolve()


def _own(task: Task, options: TaskOptions) -> TaskData:
    if options.test and options.test.startswith(HUB) and not hub_name(options.test)[2]:
        raise OptionError(f"‹test›={options.test}: say which of its splits to measure on, as in ‹test›={options.test}:test")
    if same_source(options.data, options.test):
        raise OptionError(f"‹test›={options.test} is what is learned from: name other examples, or leave it out")
    found = loading.load(task, "train", options.data)
    task = checks.with_labels(task, found.examples)
    if options.test is None:
        parts = split(found.examples, OWN_FILE)
        return TaskData(task, parts["train"], parts["valid"], parts["test"], "a tenth held out", found.notes)
    tested = loading.load(task, "dev", options.test)
    parts = split(found.examples, {"train": 0.9, "valid": 0.1})
    notes = found.notes + tested.notes
    return TaskData(task, parts["train"], parts["valid"], tested.examples, Path(options.test).name, notes)


def _registered(task: Task, options: TaskOptions) -> TaskData:
    if options.data is not None and Path(options.data).is_file():
        raise OptionError(
            f"‹data›={options.data}: {task.name} is learned from its folder, which holds a file for each split; to learn from"
            f" one file, name a kind of task, as in: gyebo finetune MODEL classification --data FILE --text NAME --label NAME"
        )
    source = _source(task, options)
    train = loading.load(task, "train", source)
    task = checks.with_labels(task, train.examples)
    found = {name: part for name in ("dev", "test") if (part := _labelled(task, name, source)) is not None}
    if not found:
        raise _nothing_labelled(task, source)
    measured = "test" if "test" in found else "dev"
    notes = [*train.notes, *(note for part in found.values() for note in part.notes)]
    if len(found) == 2:
        return TaskData(task, train.examples, found["dev"].examples, found["test"].examples, measured, notes)
    parts = split(train.examples, {"train": 1 - CHOOSING, "valid": CHOOSING})
    return TaskData(task, parts["train"], parts["valid"], found[measured].examples, measured, notes)


def _source(task: Task, options: TaskOptions) -> str | None:
    """Where a registered task's data are. FileNotFoundError where a folder is missing."""
    if task.world:
        return options.data  # it takes none, and loading says so
    if options.data is None:
        return loading.HUB
    if options.data != loading.HUB and not Path(options.data).exists():
        raise FileNotFoundError(f"{options.data}: no such folder")
    return options.data


def _labelled(task: Task, name: str, source: str | None) -> checks.Loaded | None:
    """A split with labels; None where the task or the source has none."""
    there = task.hub.splits if task.hub and source == loading.HUB else task.splits
    if name not in there:
        return None
    try:
        part = loading.load(task, name, source)
    except FileNotFoundError:
        return None
    return part if any(_answered(task, example) for example in part.examples) else None


def _answered(task: Task, example: Example) -> bool:
    return find_kind(task.kind).answered(example)


def _nothing_labelled(task: Task, source: str | None) -> ValueError:
    return ValueError(f"{task.name}: neither a dev nor a test set with labels in {source}, so nothing can be measured")


def split(examples: Sequence[Example], shares: Mapping[str, float], seed: int = 0) -> dict[str, list[Example]]:
    """The examples by split, drawn by a hash of the first text and the seed, in their order.

    Examples with one text up to case, composition and white space (a premise with several hypotheses, a context with
    several questions) fall on one side. `shares`: split -> its share; together 1. Raises ValueError for other shares, or
    where a split would be empty.
    """
    if not shares or any(not share > 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-9):
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise ValueError(f"shares must be above 0 and together 1, but are: {said or 'none'}")
    borders: list[tuple[float, str]] = []
    for name, share in shares.items():
        borders.append(((borders[-1][0] if borders else 0.0) + share, name))
    parts: dict[str, list[Example]] = {name: [] for name in shares}
    for example in examples:
        digest = hashlib.blake2b(f"{seed} {split_key(example.text)}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "little") / 2**64
        parts[next((name for border, name in borders if place < border), borders[-1][1])].append(example)
    if empty := [name for name, part in parts.items() if not part]:
        texts = len({split_key(example.text) for example in examples})
        raise ValueError(
            f"{' and '.join(empty)} would be empty: {len(examples):,} examples have {texts:,} different texts; "
            "give more of them, larger shares, or files of their own"
        )
    return parts
