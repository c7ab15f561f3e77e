"""Fine-tuned models in a directory: the names of task heads in `transformers`, their labels and dropout in `config.json`.

Where `transformers` has a class for a family and a kind of task, the directory is that class's. Where it has none, the class is
one of ours ("GyeboForTokenClassification" and so on): the body opens in `transformers` all the same, the head only in gyebo.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import torch

from gyebo.interchange.format import Architecture, Format, Weight
from gyebo.models.family import find, model_class
from gyebo.tasks import ngrams, seeing
from gyebo.tasks.heads.head import make_head
from gyebo.tasks.heads.layer_mix import LAYERS, MIX
from gyebo.tasks.heads.styles import layers_are_features
from gyebo.tasks.heads.task_model import TaskModel, default_labels, drop_untied_output
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import KINDS, find_kind

MOST_LABELS = 1_000_000
_OURS = "GyeboFor"
_OUR_NAMES = tuple(Weight(f"{part}.**", f"{part}.**", head=True) for part in ("head", "mix", "ngrams"))
_FACTORS = "ngrams.factors"  # stored only once they are fitted
_LAYERS = "task_layers"  # what a head of style mix reads of the body


def with_heads(table: Format) -> Format:
    """A family's table with a class of ours for every kind of task for which it names none, and for those whose heads may have
    a layer for n-grams, which no class of `transformers` has; a family without a head's style as it is."""
    style = find(table.family).head_style
    if not style:
        return table
    named = {_class_of(find_kind(entry.kind)) for entry in table.architectures if entry.kind}
    sees = model_class(table.family).sees
    possible = [kind for kind in reversed(KINDS.values()) if kind.head and (sees or not kind.head.sees)]
    there = {entry.name for entry in table.architectures}
    wanted = [kind for kind in possible if _class_of(kind) not in named or (kind.head and kind.head.ngrams)]
    missing = {_class_of(kind): kind.name for kind in wanted if _OURS + _class_of(kind) not in there}
    ours = (Architecture(_OURS + name, kind=kind, weights=_OUR_NAMES) for name, kind in reversed(missing.items()))
    architectures = (*table.architectures, *ours)
    read = {name for entry in architectures if entry.kind for name in entry.dropout} - {entry.theirs for entry in table.fields}
    read |= {_LAYERS} if layers_are_features(style) else set()
    return replace(table, architectures=architectures, harmless=(*table.harmless, *sorted(read)))


def _class_of(kind: Kind) -> str:
    """What follows the family in the name of its class; several kinds may share one (classification and regression)."""
    assert kind.head is not None
    return kind.head.transformers_class


def plain(name: str) -> str:
    """A tensor's name as the tables have it: that of a fine-tuned model's body without the prefix."""
    return name.removeprefix("body.")


def auto_class(table: Format, model: TaskModel) -> str | None:
    """The class of `transformers` that opens what `save` writes of this model; None where it has none."""
    name = task_architecture(table, model).name
    return None if name.startswith(_OURS) else f"AutoModelFor{name.partition('For')[2]}"


def task_architecture(table: Format, model: TaskModel) -> Architecture:
    """The class as which a fine-tuned model is saved. Raises ValueError for a head of another family's style."""
    style = model.body.own_head_style or find(table.family).head_style
    if model.style != style and model.form.build is None:
        raise ValueError(f"a head of style {model.style!r} cannot be saved with {table.family}, whose own is {style!r}")
    ours = model.ngrams is not None
    return next(
        entry
        for entry in table.architectures
        if entry.kind
        and _class_of(find_kind(entry.kind)) == _class_of(model.kind)
        and (not ours or entry.name.startswith(_OURS))
    )


def task_fields(architecture: Architecture, model: TaskModel) -> dict[str, Any]:
    """What `config.json` says of a head: labels, the kind of problem, dropout, which layers it reads where it can choose, and
    how it reads pictures where it sees them."""
    written: dict[str, Any] = {architecture.dropout[0]: model.dropout}
    if model.layers is not None:
        written[_LAYERS] = model.layers
    if model.form.outputs is None:
        written["id2label"] = {str(number): name for number, name in enumerate(model.labels)}
        written["label2id"] = {name: number for number, name in enumerate(model.labels)}
        if architecture.counted is not None:
            written[architecture.counted] = len(model.labels)
    if model.problem is not None:
        written["problem_type"] = model.problem
    if model.ngrams is not None:
        written[ngrams.FIELD] = model.ngrams.ngrams.as_dict()
    if model.pictures is not None:
        written[seeing.FIELD] = model.pictures.as_dict()
    return written


def empty_task_model(
    body: Any, architecture: Architecture, given: Mapping[str, Any], where: str, tensors: Container[str] = ()
) -> TaskModel:
    """A fine-tuned model without memory, from its body (on the meta device) and what `config.json` says of the head.

    `tensors`: our names of those that are stored. Raises ValueError naming `where` and the field.
    """
    assert architecture.kind is not None
    first = find_kind(architecture.kind)
    assert first.head is not None
    labels = _read_labels(given, where) if first.head.outputs is None else ()
    kind, problem = _kind_and_problem(first, len(labels), given, where)
    assert kind.head is not None
    style = body.own_head_style or find(body.family).head_style
    layers = given.get(_LAYERS, MIX) if layers_are_features(style) else None
    if layers is not None and layers not in LAYERS:
        raise ValueError(f"{where}: {_LAYERS} must be one of {', '.join(LAYERS)}, but is {str(layers)[:60]!r} instead")
    with torch.device("meta"):
        drop_untied_output(body)
        dropout = _read_dropout(architecture, given, where)
        head = make_head(kind.head, style, body.config, labels=len(labels), dropout=dropout)
        pictures = seeing.read(given, where) if kind.head.sees else None
        known = ngrams.read(given, where) if kind.head.ngrams else None
        model = TaskModel(
            body, head, kind, style=style, labels=labels, problem=problem, layers=layers, pictures=pictures, ngrams=known
        )
        if model.ngrams is not None and _FACTORS in tensors:
            model.ngrams.factors = torch.empty(2)
        return model


def _kind_and_problem(first: Kind, labels: int, given: Mapping[str, Any], where: str) -> tuple[Kind, str | None]:
    """Which of the kinds that share a class `config.json` means, and its problem_type: what it says, else as `transformers`
    has it, the kind with so many labels by default where there is one."""
    kinds = [kind for kind in KINDS.values() if kind.head and _class_of(kind) == _class_of(first)]
    problems = {problem: kind for kind in kinds if kind.head for problem in kind.head.problems}
    if not problems:
        return first, None
    asked = given.get("problem_type")
    if asked is None:
        kind = next((kind for kind in kinds if kind.head and kind.head.default_labels == labels), first)
        assert kind.head is not None
        return kind, kind.head.problems[0]
    if asked not in problems:
        raise ValueError(f"{where}: problem_type must be one of {', '.join(problems)}, but is {str(asked)[:60]!r} instead")
    return problems[asked], asked


def _read_dropout(architecture: Architecture, given: Mapping[str, Any], where: str) -> float:
    for name in architecture.dropout:
        value = given.get(name)
        if value is None:
            continue
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise ValueError(f"{where}: {name} must be a number from 0 to below 1, but is {str(value)[:60]!r} instead")
        return float(value)
    return architecture.dropout_default


def _read_labels(given: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names of the labels in the order of their numbers; LABEL_0 and so on where the file names none."""
    names = given.get("id2label")
    if names is None and isinstance(given.get("label2id"), dict):
        names = {str(number): name for name, number in given["label2id"].items()}
    count = given.get("num_labels", given.get("_num_labels"))
    if count is not None and not (type(count) is int and 1 <= count <= MOST_LABELS):
        raise ValueError(f"{where}: num_labels must be a whole number from 1 to {MOST_LABELS:,}, but is {str(count)[:60]!r}")
    if names is None:
        return default_labels(2 if count is None else count)
    keys = [str(number) for number in range(len(names))] if isinstance(names, dict) else []
    if not keys or len(keys) > MOST_LABELS or set(names) != set(keys):
        raise ValueError(f"{where}: id2label must name the labels 0, 1, 2 and so on, but is {str(names)[:60]!r} instead")
    if count is not None and count != len(keys):
        raise ValueError(f"{where}: num_labels = {count}, but id2label names {len(keys)}: correct one of them")
    return tuple(str(names[key]) for key in keys)
