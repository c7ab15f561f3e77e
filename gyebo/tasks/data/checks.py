"""Checks of a task's examples: what can be used, labels that are unknown, and what is odd about the data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gyebo.data.prepare import split_key
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.task import Example, Task


@dataclass(frozen=True)
class Loaded:
    """The examples of one split, and in `notes` what was left out or is odd, one line each."""

    examples: list[Example]
    notes: list[str]


def _rows(count: int, thing: str = "row") -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def checked(task: Task, examples: list[Example], split: str, source: str, notes: Sequence[str] = ()) -> Loaded:
    """The examples that can be used, with notes.

    Empty texts are left out of training and kept elsewhere, both with their count. Raises ValueError for no examples, for a
    label or tag that the task does not know, and for training data in which there is nothing to tell apart.
    """
    training = split == "train"
    found = list(notes)
    empty = [example for example in examples if _is_empty(task, example)]
    if empty:
        done = f"{_are(len(empty))} left out" if training else f"{_are(len(empty))} kept, since every example counts"
        count = f"{_rows(len(empty), 'example')} of {len(examples):,}"
        found.append(f"{source}: {count} without text {done} (the first: {empty[0].id})")
    if training and empty:
        examples = [example for example in examples if not _is_empty(task, example)]
    if not examples:
        raise ValueError(f"{source}: no example that {task.name} can use" + "".join(f"; {note}" for note in found))
    _check_labels(task, examples, source)
    if training:
        _check_difference(task, examples, source)
    return Loaded(examples, found)


def _is_empty(task: Task, example: Example) -> bool:
    return not all(text.strip() for text in find_kind(task.kind).texts(example))


def _check_labels(task: Task, examples: list[Example], source: str) -> None:
    if task.labels is None:
        return
    known = set(task.labels)
    for example in examples:
        for label in _labels(task, example):
            if label not in known:
                count = sum(label in _labels(task, other) for other in examples)
                raise ValueError(
                    f"{source}: {example.id} has the label {label!r} ({_rows(count, 'example')}), but {task.name} knows: "
                    f"{', '.join(task.labels)}"
                )


def _labels(task: Task, example: Example) -> tuple[Any, ...]:
    """All class names of an example: its tags, its relations, or its label."""
    names = find_kind(task.kind).class_names
    return () if names is None else names(example)


def _check_difference(task: Task, examples: list[Example], source: str) -> None:
    """Training data must hold at least two answers: a model that always gives one would be perfect."""
    if reason := find_kind(task.kind).nothing_to_learn(examples):
        raise ValueError(f"{source}: {reason}: nothing to learn")


def with_labels(task: Task, training: Sequence[Example]) -> Task:
    """The task with the labels that its training data have, where it names none: sorted, numbers by size, "O" first.

    Kinds without class names, and tasks that name theirs, come back as they are.
    """
    kind = find_kind(task.kind)
    if task.labels is not None or not kind.names_classes:
        return task
    return replace(task, labels=kind.order({str(label) for example in training for label in _labels(task, example)}))


UNEVEN = 4.0  # the largest class against an even share


FEW = 10  # examples of a class from which little can be learned


def warnings(examples: Sequence[Example], labels: Sequence[str] | None = None) -> list[str]:
    """What is odd about training data, one line each with figures: classes that are uneven, rare or missing, label noise.

    `labels`: the class names; None takes those that occur. Of tags and answers the noise is looked at, of scores nothing.
    """
    found = []
    counts = Counter(example.label for example in examples if isinstance(example.label, str))
    if counts:
        found += _imbalance(Counter({name: counts[name] for name in labels or counts}))
    return found + _noise(examples)


def _imbalance(counts: Counter[str]) -> list[str]:
    total = counts.total()
    (largest, most), *_ = counts.most_common(1)
    found = []
    if len(counts) > 1 and (most >= 0.8 * total or most >= UNEVEN * total / len(counts)):
        found.append(
            f"classes are uneven: {largest!r} is {most / total:.1%} of {total:,} examples, so always saying it has "
            f"accuracy {most / total:.3f}: look at macro_f1"
        )
    few = sorted((count, name) for name, count in counts.items() if count < FEW)
    if few:
        named = ", ".join(f"{name!r} {count}" for count, name in few[:5]) + (", ..." if len(few) > 5 else "")
        found.append(f"{len(few)} of {len(counts)} classes have fewer than {FEW} examples: {named}")
    return found


def _noise(examples: Sequence[Example]) -> list[str]:
    """Texts that stand there several times with different answers; scores of one text may differ."""
    groups: dict[tuple[int, ...], list[Example]] = defaultdict(list)
    for example in examples:
        if isinstance(example.label, float):
            continue
        groups[tuple(split_key(text) for text in (example.text, example.pair or "", *example.options))].append(example)
    torn = [group for group in groups.values() if len({_answer(example) for example in group}) > 1]
    if not torn:
        return []
    count = sum(map(len, torn))
    first = torn[0]
    if first[0].label is None:
        said = f"{len({_answer(example) for example in first})} different answers"
    else:
        said = ", ".join(f"{label!r} {n}" for label, n in Counter(example.label for example in first).most_common())
    shown = first[0].text if len(first[0].text) <= 60 else f"{first[0].text[:60]}..."
    texts = "1 text" if len(torn) == 1 else f"{len(torn):,} texts"
    return [
        f"label noise: {texts} ({count:,} examples, {count / len(examples):.1%}) with more than one answer up to case and "
        f"white space, such as {shown!r} ({said})"
    ]


def _answer(example: Example) -> Any:
    return example.label, example.tags, tuple(sorted(text for _, text in example.answers))
