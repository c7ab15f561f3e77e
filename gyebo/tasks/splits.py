"""The examples of a fine-tuning: disjoint training, validation and test sets."""

from __future__ import annotations

import filecmp
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions
from gyebo.data.encoding import Reading
from gyebo.data.sources import HUB, hub_name
from gyebo.data.splitting import split_key
from gyebo.tasks.data import checks, loading
from gyebo.tasks.data.checks import warnings
from gyebo.tasks.data.own_file import is_own, user_task
from gyebo.tasks.data.parallel import files_of
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.metrics.metrics import METRICS
from gyebo.tasks.registry import find as find_task
from gyebo.tasks.seeing import picture_key
from gyebo.tasks.task import Example, Task

VALIDATION_SHARE = 0.05  # of the training examples, if the task has no validation set
OWN_FILE = {"train": 0.8, "valid": 0.1, "test": 0.1}


@dataclass(frozen=True)
class TaskData:
    """`task` with its labels; `measured`: name of the test set; `notes`: skipped examples and anomalies of the data."""

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
    def sizes(self) -> str:
        """How many examples there are, in words."""
        counts = f"{len(self.train):,} training, {len(self.valid):,} validation and {len(self.test):,} test examples"
        return f"{counts} ({self.measured})"

    @property
    def fingerprint(self) -> str:
        """A hash of all examples in their order, by split."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.train, self.valid, self.test):
            for example in part:
                classes = "" if example.classes is None else repr(example.classes)
                digest.update((repr(example) + classes + picture_key(example.picture)).encode())
            digest.update(b"\0")
        return digest.hexdigest()


_said: set[tuple[str, str]] = set()  # the runs of a comparison, and all seeds, read the same examples


def not_said(fingerprint: str, notes: Sequence[str]) -> list[str]:
    """Those of the notes on a task's examples that are new in this process, which are said now."""
    new = [note for note in dict.fromkeys(notes) if (fingerprint, note) not in _said]
    _said.update((fingerprint, note) for note in new)
    return new


@dataclass(frozen=True)
class HeldOut:
    """A test set; fields as in `TaskData`."""

    task: Task
    examples: list[Example]
    measured: str
    notes: list[str]


def open_task(options: TaskOptions) -> Task:
    """The registered task of that name, or a kind of task on a user's own file; ValueError for options without effect."""
    if is_own(options.name):
        if options.data is None:
            raise OptionError(f"{options.name} needs ‹data›=FILE and the names of its columns (‹text›, ‹label›)")
        return user_task(options.name, options.text, options.pair, options.label, options.image, options.features)
    task = find_task(options.name)
    for name in ("text", "pair", "label", "image", "features", "test"):
        if getattr(options, name) is not None:
            raise OptionError(f"‹{name}› has no effect on {task.name}, whose files have a fixed format: leave it out")
    for name in ("encoding", "bad_bytes"):
        if (value := getattr(options, name)) is not None and options.data in (None, loading.HUB):
            raise OptionError(f"‹{name}›={value} has no effect on {task.name}, which is read from no file: leave it out")
    return task


def read_task(options: TaskOptions) -> TaskData:
    """All examples of a task.

    The test set of a registered task is its labelled test split, otherwise its dev split; the validation set is the dev split,
    or if that is the test set, a share of the training examples, chosen by hash. A user's own file is split 8 : 1 : 1 by hash,
    or 9 : 1 if a test file is given. Raises what `gyebo.tasks.data.loading` does, and ValueError where too little is left.
    """
    task = open_task(options)
    data = _own(task, options) if is_own(options.name) else _registered(task, options)
    train = data.train
    if options.train_share is not None:
        threshold = int(options.train_share * 2**64)
        train = [example for example in train if split_key(f"share {example.group or example.text}") < threshold]
    _check_size(data)
    train = checks.checked(data.task, train, "train", source=f"{data.task.name}: the remaining training examples").examples
    kind = find_kind(data.task.kind)
    odd = warnings(train, data.task.labels) if kind.one_answer else []
    return replace(data, train=train, notes=[*data.notes, *odd, *checks.repeated(train, data.test, kind)])


def _check_size(data: TaskData) -> None:
    """ValueError, before training, where a set is too small for a metric that the task reports."""
    for metric in data.task.metrics:
        for name, called in (("valid", "validation"), ("test", "test")):
            if (count := len(getattr(data, name))) < (least := METRICS[metric].least):
                raise ValueError(
                    f"{data.task.name}: {count} example in the {called} set, but {metric} needs {least}: use more examples"
                )


def read_test(options: TaskOptions, labels: Sequence[str] = ()) -> HeldOut:
    """The test set of a task: its labelled test split, otherwise its dev split; of a user's own file all examples.

    `labels`: the class names of the model, for a user's own file. Raises what `gyebo.tasks.data.loading` does.
    """
    task = open_task(options)
    if is_own(options.name):
        named = replace(task, labels=tuple(labels) or None)
        return _whole(named, str(options.test or options.data), options)
    if options.data is not None and (Path(options.data).is_file() or is_stem(task, options.data)):
        return _whole(task, options.data, options)
    source = _source(task, options)
    for name in ("test", "dev"):
        if (part := _labelled(task, name, source, options)) is not None:
            return HeldOut(task, part.examples, name, part.notes)
    raise _nothing_labelled(task, source)


def is_stem(task: Task, name: str) -> bool:
    """Whether a name denotes two aligned files NAME.SOURCE and NAME.TARGET."""
    try:
        return bool(task.languages) and not Path(name).exists() and bool(files_of(name, task.languages or ("", "")))
    except FileNotFoundError:
        return False


def reading_of(options: TaskOptions) -> Reading:
    """How the bytes of a task's files become text."""
    return Reading(options.encoding, options.bad_bytes or "refuse")


def _whole(task: Task, file: str, options: TaskOptions) -> HeldOut:
    found = loading.load(task, "dev", file, reading_of(options))  # "dev": every row must have a label, and none is skipped
    return HeldOut(task, found.examples, Path(file).name, found.notes)


def same_source(first: str | None, second: str | None) -> bool:
    """Whether two names denote the same examples: files of the same content, or the same split of a data set of the hub."""
    if not first or not second:
        return False
    if first.startswith(HUB) and second.startswith(HUB):
        (*one, split), (*other, part) = hub_name(first), hub_name(second)
        return one == other and (split or "train") == (part or "train")
    one_file, other_file = Path(first), Path(second)
    if one_file.is_file() and other_file.is_file():
        return filecmp.cmp(one_file, other_file, shallow=False)
    return one_file.resolve() == other_file.resolve()


def _own(task: Task, options: TaskOptions) -> TaskData:
    if options.test and options.test.startswith(HUB) and not hub_name(options.test)[2]:
        raise OptionError(f"‹test›={options.test}: name the split that is the test set, e.g. ‹test›={options.test}:test")
    if same_source(options.data, options.test):
        raise OptionError(f"‹test›={options.test} is the training set: name another file, or leave it out")
    found = loading.load(task, "train", options.data, reading_of(options))
    task = checks.with_labels(task, found.examples)
    if options.test is None:
        parts = split(found.examples, OWN_FILE)
        return TaskData(task, parts["train"], parts["valid"], parts["test"], "a tenth held out", found.notes)
    tested = loading.load(task, "dev", options.test, reading_of(options))
    parts = split(found.examples, {"train": 0.9, "valid": 0.1})
    notes = found.notes + tested.notes
    return TaskData(task, parts["train"], parts["valid"], tested.examples, Path(options.test).name, notes)


def _registered(task: Task, options: TaskOptions) -> TaskData:
    if options.data is not None and Path(options.data).is_file():
        raise OptionError(
            f"‹data›={options.data}: {task.name} is trained from its folder, which holds a file for each split; to train on"
            f" one file, name a kind of task: gyebo finetune MODEL classification --data FILE --text NAME --label NAME"
        )
    source = _source(task, options)
    train = loading.load(task, "train", source, reading_of(options))
    task = checks.with_labels(task, train.examples)
    found = {name: part for name in ("dev", "test") if (part := _labelled(task, name, source, options)) is not None}
    if not found:
        raise _nothing_labelled(task, source)
    measured = "test" if "test" in found else "dev"
    notes = [*train.notes, *(note for part in found.values() for note in part.notes)]
    if len(found) == 2:
        return TaskData(task, train.examples, found["dev"].examples, found["test"].examples, measured, notes)
    parts = split(train.examples, {"train": 1 - VALIDATION_SHARE, "valid": VALIDATION_SHARE})
    return TaskData(task, parts["train"], parts["valid"], found[measured].examples, measured, notes)


def _source(task: Task, options: TaskOptions) -> str | None:
    """The source of a registered task's data. FileNotFoundError where a folder is missing."""
    if task.world:
        return options.data  # loading refuses any
    if options.data is None:
        return loading.HUB
    if options.data != loading.HUB and not Path(options.data).exists():
        raise FileNotFoundError(f"{options.data}: no such folder")
    return options.data


def _labelled(task: Task, name: str, source: str | None, options: TaskOptions) -> checks.Loaded | None:
    """A split with labels; None where the task or the source has none."""
    there = task.hub.splits if task.hub and source == loading.HUB else task.splits
    if name not in there:
        return None
    try:
        part = loading.load(task, name, source, reading_of(options))
    except FileNotFoundError:
        return None
    return part if any(_answered(task, example) for example in part.examples) else None


def _answered(task: Task, example: Example) -> bool:
    return find_kind(task.kind).answered(example)


def _nothing_labelled(task: Task, source: str | None) -> ValueError:
    return ValueError(f"{task.name}: neither a dev nor a test set with labels in {source}, so there is no test set")


def split(examples: Sequence[Example], shares: Mapping[str, float], seed: int = 0) -> dict[str, list[Example]]:
    """The examples by split, chosen by a hash of the first text and the seed, in their order.

    Examples with the same first text up to case, composition and white space (a premise with several hypotheses, a context
    with several questions) share a split, and so do those of one group (the turns of a dialogue). `shares`: split -> its share;
    their sum is 1. Raises ValueError for other shares, or where a split would be empty.
    """
    if not shares or any(not share > 0 for share in shares.values()) or not math.isclose(sum(shares.values()), 1, abs_tol=1e-9):
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise ValueError(f"shares must be above 0 and together 1, but are: {said or 'none'}")
    ends: list[tuple[float, str]] = []
    for name, share in shares.items():
        ends.append(((ends[-1][0] if ends else 0.0) + share, name))
    parts: dict[str, list[Example]] = {name: [] for name in shares}
    for example in examples:
        digest = hashlib.blake2b(f"{seed} {split_key(example.group or example.text)}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "little") / 2**64
        parts[next((name for end, name in ends if place < end), ends[-1][1])].append(example)
    if empty := [name for name, part in parts.items() if not part]:
        texts = len({split_key(example.group or example.text) for example in examples})
        raise ValueError(
            f"{' and '.join(empty)} would be empty: {len(examples):,} examples have {texts:,} different texts; "
            "use more examples, larger shares, or separate files"
        )
    return parts
