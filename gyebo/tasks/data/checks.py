"""Checks of a task's examples: usable ones, unknown labels, and anomalies of the data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gyebo.data.splitting import split_key
from gyebo.data.values import shortened, unspooled
from gyebo.data.wanted import near_key
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.seeing import picture_key
from gyebo.tasks.task import Example, Task

UNQUOTED = (".tsv", ".txt")
QUOTED_SHARE = 0.05  # of texts in quotes, from which these are not taken for the writers' own


@dataclass(frozen=True)
class Loaded:
    """The examples of one split, and `notes` on skipped examples and anomalies, one line each."""

    examples: list[Example]
    notes: list[str]


def _rows(count: int, thing: str = "row") -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def checked(task: Task, examples: list[Example], split: str, *, source: str, notes: Sequence[str] = ()) -> Loaded:
    """The usable examples, with notes.

    Empty texts are skipped in training data and kept elsewhere; both are noted. Raises ValueError for no examples, for an
    unknown label or tag, and for training data with a single answer.
    """
    training = split == "train"
    found = list(notes)
    empty = [example for example in examples if _is_empty(task, example)]
    if empty:
        done = f"{_are(len(empty))} skipped" if training else f"{_are(len(empty))} kept, because every example is scored"
        count = f"{_rows(len(empty), 'example')} of {len(examples):,}"
        found.append(f"{source}: {count} without text {done} (the first: {shortened(empty[0].id, 60)})")
    if training and empty:
        examples = [example for example in examples if not _is_empty(task, example)]
    if not examples:
        raise ValueError(f"{source}: no usable example for {task.name}" + "".join(f"; {note}" for note in found))
    _check_labels(task, examples, source)
    if training:
        _check_difference(task, examples, source)
        found += _quoted(task, examples, source)
    return Loaded(examples, [unspooled(note) for note in found])


def _quoted(task: Task, examples: Sequence[Example], source: str) -> list[str]:
    """A note where texts of a user's own file, whose form has no quotes, stand in them, as Excel writes those with commas."""
    texts = [example.text for example in examples]
    count = sum(text[:1] == text[-1:] == '"' and len(text) > 2 for text in texts)
    if not task.options or not source.lower().endswith(UNQUOTED) or count < max(2, QUOTED_SHARE * len(texts)):
        return []
    advice = "which are read as a part of them: take them out, or save the file as .csv with commas"
    return [f"{source}: {count:,} of {len(texts):,} texts stand in quotes, {advice}"]


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
                    f"{source}: {shortened(example.id, 60)} has the label {shortened(label, 60)!r} "
                    f"({_rows(count, 'example')}), but the labels of {task.name} are: {', '.join(task.labels)}"
                )


def _labels(task: Task, example: Example) -> tuple[Any, ...]:
    """All class names of an example: its tags, its relations, or its label."""
    names = find_kind(task.kind).class_names
    return () if names is None else names(example)


def _check_difference(task: Task, examples: list[Example], source: str) -> None:
    """Training data must have at least two answers: otherwise a constant prediction would be perfect."""
    if reason := find_kind(task.kind).nothing_to_learn(examples):
        raise ValueError(f"{source}: {reason}, so there is nothing to train on")


def with_labels(task: Task, training: Sequence[Example]) -> Task:
    """The task with the labels of its training data, if it defines none: sorted, numbers in ascending order, "O" first.

    Tasks of kinds without class names, and tasks that define their labels, are returned unchanged.
    """
    kind = find_kind(task.kind)
    if task.labels is not None or not kind.names_classes:
        return task
    return replace(task, labels=kind.order({str(label) for example in training for label in _labels(task, example)}))


def repeated(training: Sequence[Example], test: Sequence[Example], kind: Kind) -> list[str]:
    """Test examples whose texts are those of a training example, in one line; what is too short to tell is left out."""
    known = {_key(example, kind) for example in training} - {None}
    count = sum(_key(example, kind) in known for example in test)
    if not count:
        return []
    return [
        f"{count:,} of {len(test):,} test examples ({count / len(test):.1%}) {_are(count)} training examples too, but for "
        "case, spaces, punctuation and repeated letters: a model may remember their answers"
    ]


def _key(example: Example, kind: Kind) -> tuple[str, str] | None:
    """What is equal for equal examples: their texts, nearly, and their picture; None where the texts are too short to tell."""
    texts = near_key(*kind.texts(example))
    return (texts, picture_key(example.picture)) if texts else None


UNEVEN = 4.0  # size of the largest class relative to that of balanced classes
FEW = 10  # number of examples of a class below which it is reported


def warnings(examples: Sequence[Example], labels: Sequence[str] | None = None) -> list[str]:
    """Anomalies of training data, one line each with figures: class imbalance, rare or missing classes, label noise.

    `labels`: the class names; None: labels are no classes. Tags and answers are checked for noise only, scores not at all.
    """
    found = []
    one = Counter(example.label for example in examples if isinstance(example.label, str))
    several = Counter(name for example in examples for name in example.classes or ())
    if one and labels is not None:
        found += _imbalance(Counter({name: one[name] for name in labels}))
    if (one or several) and labels is not None:
        found += _rare({name: one[name] + several[name] for name in labels})
    return found + _noise(examples)


def _imbalance(counts: Counter[str]) -> list[str]:
    total = counts.total()
    (largest, most), *_ = counts.most_common(1)
    if len(counts) < 2 or (most < 0.8 * total and most < UNEVEN * total / len(counts)):
        return []
    return [
        f"class imbalance: {largest!r} is {most / total:.1%} of {total:,} examples, so the majority class has "
        f"accuracy {most / total:.3f}: look at macro_f1"
    ]


def _rare(counts: Mapping[str, int]) -> list[str]:
    few = sorted((count, name) for name, count in counts.items() if count < FEW)
    if not few:
        return []
    named = ", ".join(f"{name!r} {count}" for count, name in few[:5]) + (", ..." if len(few) > 5 else "")
    return [f"{len(few)} of {len(counts)} classes have fewer than {FEW} examples: {named}"]


def _noise(examples: Sequence[Example]) -> list[str]:
    """Texts that occur several times with different labels; scores of the same text may differ."""
    groups: dict[tuple[tuple[int, ...], str], list[Example]] = defaultdict(list)
    for example in examples:
        if isinstance(example.label, float):
            continue
        texts = tuple(split_key(text) for text in (example.text, example.pair or "", *example.options))
        groups[texts, picture_key(example.picture)].append(example)
    noisy = [group for group in groups.values() if len({_answer(example) for example in group}) > 1]
    if not noisy:
        return []
    count = sum(map(len, noisy))
    first = noisy[0]
    if first[0].label is None:
        said = f"{len({_answer(example) for example in first})} different answers"
    else:
        said = ", ".join(f"{label!r} {n}" for label, n in Counter(example.label for example in first).most_common())
    shown = first[0].text if len(first[0].text) <= 60 else f"{first[0].text[:60]}..."
    several = "1 text" if len(noisy) == 1 else f"{len(noisy):,} texts"
    return [
        f"label noise: {several} ({count:,} examples, {count / len(examples):.1%}) with more than one label up to case and "
        f"white space, such as {shown!r} ({said})"
    ]


def _answer(example: Example) -> Any:
    classes = None if example.classes is None else frozenset(example.classes)
    return example.label, classes, example.tags, tuple(sorted(text for _, text in example.answers))
