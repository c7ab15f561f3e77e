"""The kinds of task by name, and the features of each."""

from __future__ import annotations

from collections.abc import Sequence

from gyebo.config.errors import nearest
from gyebo.tasks.features import Features
from gyebo.tasks.kinds import (
    choice,
    classification,
    dependency,
    dialogue,
    dialogue_state,
    multi_label,
    regression,
    spans,
    summary,
    tagging,
    translation,
    visual_classification,
)
from gyebo.tasks.kinds.kind import Encoding, Kind, OwnFile
from gyebo.tasks.seeing import PictureReading, with_regions, without
from gyebo.tasks.task import Example
from gyebo.text.tokenizer import Tokenizer

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (
        classification,
        multi_label,
        regression,
        tagging,
        spans,
        choice,
        dependency,
        dialogue_state,
        dialogue,
        translation,
        summary,
        visual_classification,
    )
}


def find_kind(name: str) -> Kind:
    """The kind of that name; ValueError for an unknown one."""
    if name not in KINDS:
        raise ValueError(f"unknown kind of task {name!r}{nearest(name, KINDS)}; available: {', '.join(KINDS)}")
    return KINDS[name]


def own_files() -> dict[str, OwnFile]:
    """The kinds of task on a user's own file, by their names on the command line."""
    return {own.name: own for kind in KINDS.values() for own in kind.own_files}


def encode(
    name: str,
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    labels: Sequence[str] | None,
    max_length: int,
    pictures: PictureReading | None = None,
) -> Features:
    """The examples as features of a kind of task that a head answers.

    tokenizer: the copy for the family. labels: the names of classes, tags or relations in the order of their ids; None for
    regression, spans and choice. max_length: tokens of the longest row, special tokens included; the longer text of a pair is
    truncated first, and `Features.too_long` is the number of truncated examples. pictures: how kinds that see read them.

    Raises ValueError for an unknown kind, labels that are missing, unknown, or without effect, no room for text, an example
    that does not fit its kind (its id is named), a picture that can't be read, or a set in which only some are labelled.
    """
    kind = find_kind(name)
    if kind.head is None:
        raise ValueError(f"kind {name!r} has no head, so it has no features of this form")
    if kind.names_classes and not labels:
        raise ValueError(f"labels: {name} needs the names of its labels, in the order of their ids")
    if not kind.names_classes and labels:
        raise ValueError(f"labels have no effect on {name}; leave them out")
    if kind.head.sees != (pictures is not None):
        raise ValueError(f"pictures: {name} {'needs to know how they are read' if kind.head.sees else 'reads none'}")
    read = without(examples, pictures) if pictures else examples
    found = kind.head.encode(read, tokenizer, Encoding(max_length=max_length, labels=labels or (), pictures=pictures))
    return with_regions(found, read, pictures) if pictures else found
