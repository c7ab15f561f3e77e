"""Fine-tuned models in a directory: the names of task heads in `transformers`, their labels and dropout in `config.json`.

Where `transformers` has a class for a family and a kind of task, the directory is that class's. Where it has none, the class is
one of ours ("GyeboForTokenClassification" and so on): the body opens in `transformers` all the same, the head only in gyebo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from gyebo.interchange.families.ulmfit import CONCAT
from gyebo.interchange.format import Architecture, Format, Weight, pairs
from gyebo.models.family import FAMILIES
from gyebo.tasks.heads.head import make_head
from gyebo.tasks.heads.layer_mix import LAYERS
from gyebo.tasks.heads.task_model import TaskModel, default_labels, drop_untied_output
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import KINDS, find_kind

MOST_LABELS = 1_000_000
TASKS = {kind.name: kind.head.transformers_class for kind in KINDS.values() if kind.head and kind.name != "regression"}
OUTPUTS = {kind.name for kind in KINDS.values() if kind.head and kind.head.outputs}
PROBLEMS = ("single_label_classification", "regression", "multi_label_classification")
_OURS = "GyeboFor"


def _layers(**layers: str) -> tuple[Weight, ...]:
    """Weight and bias of the head's layers, by our name: theirs."""
    return pairs([(theirs, f"head.{ours}") for ours, theirs in layers.items()], head=True)


_LINEAR, _SPANS = _layers(out="classifier"), _layers(out="qa_outputs")
_DENSE = _layers(dense="classifier.dense", out="classifier.out_proj")
_PRE = _layers(dense="pre_classifier", out="classifier")
_SCORE = (Weight("score.weight", "head.out.weight", head=True),)

_OURS_ALONE = tuple(name for name, family in FAMILIES.items() if not family.in_transformers and family.head_style)

# What stands in `transformers`: family -> how its classes begin, and of each kind the tensors and whether it reads the pooler.
_THEIRS: dict[str, tuple[str, dict[str, tuple[tuple[Weight, ...], bool]]]] = {
    "bert": (
        "Bert",
        {"classification": (_LINEAR, True), "tagging": (_LINEAR, False), "spans": (_SPANS, False), "choice": (_LINEAR, True)},
    ),
    "roberta": (
        "Roberta",
        {"classification": (_DENSE, False), "tagging": (_LINEAR, False), "spans": (_SPANS, False), "choice": (_LINEAR, True)},
    ),
    "distilbert": (
        "DistilBert",
        {"classification": (_PRE, False), "tagging": (_LINEAR, False), "spans": (_SPANS, False), "choice": (_PRE, False)},
    ),
    "gpt2": ("GPT2", {"classification": (_SCORE, False), "tagging": (_LINEAR, False), "spans": (_SPANS, False)}),
    "gpt": ("OpenAIGPT", {"classification": (_SCORE, False)}),
    **{family: ("", {}) for family in _OURS_ALONE},
}

_PARSER = (
    *(Weight(f"head.{name}", f"head.{name}", head=True) for name in ("root", "relation", "relation_of_head.weight")),
    *_layers(**{name: f"head.{name}" for name in ("arc_dep", "arc_head", "arc")}),
    *_layers(**{name: f"head.{name}" for name in ("relation_dep", "relation_head", "relation_of_dep")}),
)
_OWN = {**dict.fromkeys(("classification", "tagging", "spans", "choice"), _layers(out="head.out")), "dependency": _PARSER}
_MIX = tuple(Weight(f"mix.{name}", f"mix.{name}", head=True) for name in ("scores", "gain"))
_LAYERS = "task_layers"  # what a head of style mix reads of the body

# (family, kind) -> the fields that say the dropout of a head, in the order in which they are looked up (the first is written),
# and what it is without any. Some classes of `transformers` read none of them; it then matters to gyebo only.
_DROPOUTS: dict[tuple[str, str], tuple[tuple[str, ...], float]] = {
    **{("bert", kind): (("classifier_dropout", "hidden_dropout_prob"), 0.1) for kind in TASKS},
    **{("roberta", kind): (("classifier_dropout", "hidden_dropout_prob"), 0.1) for kind in TASKS},
    **{("distilbert", kind): (("seq_classif_dropout",), 0.2) for kind in ("classification", "choice")},
    ("distilbert", "tagging"): (("classifier_dropout", "dropout"), 0.1),
    ("distilbert", "spans"): (("qa_dropout",), 0.1),
    **{(family, kind): (("classifier_dropout",), 0.0) for family in ("gpt", "gpt2") for kind in ("classification", "choice")},
    **{(family, kind): (("classifier_dropout",), 0.1) for family in ("gpt", "gpt2") for kind in ("tagging", "spans")},
    **{(family, kind): (("classifier_dropout",), 0.1) for family in _OURS_ALONE for kind in TASKS},
    **{(family, "dependency"): (("classifier_dropout",), 0.33) for family in _THEIRS},
}


def with_heads(table: Format) -> Format:
    """A family's table with the classes of its fine-tuned models; of one that has no task heads as it is."""
    if table.family not in _THEIRS:
        return table
    prefix, theirs = _THEIRS[table.family]
    rows = [
        Architecture(f"{prefix}For{TASKS[kind]}", parts=("pooler",) if pooled else (), kind=kind, weights=weights)
        for kind, (weights, pooled) in theirs.items()
    ]
    style = FAMILIES[table.family].head_style
    own = {kind: weights + (_MIX if style == "mix" else ()) for kind, weights in _OWN.items() if kind not in theirs}
    if style == "concat":
        own["classification"] = CONCAT
    rows += [Architecture(f"{_OURS}{TASKS[kind]}", kind=kind, weights=weights) for kind, weights in own.items()]
    read = {field for kind in TASKS for field in _DROPOUTS[table.family, kind][0]} - {entry.theirs for entry in table.fields}
    read |= {_LAYERS} if style == "mix" else set()
    return replace(table, architectures=(*table.architectures, *rows), harmless=(*table.harmless, *sorted(read)))


def _row(kind: Kind) -> str:
    """The name by which the tables know a kind: several may be one class of `transformers`."""
    assert kind.head is not None
    return next(name for name, cls in TASKS.items() if cls == kind.head.transformers_class)


def plain(name: str) -> str:
    """A tensor's name as the tables have it: that of a fine-tuned model's body without the prefix."""
    return name.removeprefix("body.")


def auto_class(model: TaskModel) -> str | None:
    """The class of `transformers` that opens what `save` writes of this model; None where it has none."""
    theirs = _THEIRS.get(model.family, ("", {}))[1]
    return f"AutoModelFor{model.form.transformers_class}" if _row(model.kind) in theirs else None


def task_architecture(table: Format, model: TaskModel) -> Architecture:
    """The class as which a fine-tuned model is saved. Raises ValueError for a head of another family's style."""
    style = FAMILIES[table.family].head_style
    if model.style != style and model.form.build is None:
        raise ValueError(f"a head of style {model.style!r} cannot be saved with {table.family}, whose own is {style!r}")
    return next(entry for entry in table.architectures if entry.kind == _row(model.kind))


def task_fields(model: TaskModel) -> dict[str, Any]:
    """What `config.json` says of a head: labels, the kind of problem, dropout, which layers it reads where it can choose."""
    written: dict[str, Any] = {_DROPOUTS[model.family, _row(model.kind)][0][0]: model.dropout}
    if model.layers is not None:
        written[_LAYERS] = model.layers
    if model.form.outputs is None:
        written["id2label"] = {str(number): name for number, name in enumerate(model.labels)}
        written["label2id"] = {name: number for number, name in enumerate(model.labels)}
    if model.problem is not None:
        written["problem_type"] = model.problem
    return written


def empty_task_model(body: Any, architecture: Architecture, given: Mapping[str, Any], where: str) -> TaskModel:
    """A fine-tuned model without memory, from its body (on the meta device) and what `config.json` says of the head.

    Raises ValueError naming `where` and the field.
    """
    kind = architecture.kind
    assert kind is not None
    labels = () if kind in OUTPUTS else _read_labels(given, where)
    problem = given.get("problem_type") if kind == "classification" else None
    if problem is not None and problem not in PROBLEMS:
        raise ValueError(f"{where}: problem_type must be one of {', '.join(PROBLEMS)}, but is {str(problem)[:60]!r} instead")
    style = FAMILIES[body.family].head_style
    layers = given.get(_LAYERS, "mix") if style == "mix" else None
    if layers is not None and layers not in LAYERS:
        raise ValueError(f"{where}: {_LAYERS} must be one of {', '.join(LAYERS)}, but is {str(layers)[:60]!r} instead")
    if kind == "classification" and problem is None:
        problem = PROBLEMS[len(labels) == 1]  # as transformers has it
    found = find_kind("regression" if problem == "regression" else kind)
    assert found.head is not None
    with torch.device("meta"):
        drop_untied_output(body)
        dropout = _read_dropout(body.family, kind, given, where)
        head = make_head(found.head, style, body.config, labels=len(labels), dropout=dropout)
        return TaskModel(body, head, found, style=style, labels=labels, problem=problem, layers=layers)


def _read_dropout(family: str, kind: str, given: Mapping[str, Any], where: str) -> float:
    fields, default = _DROPOUTS[family, kind]
    for name in fields:
        value = given.get(name)
        if value is None:
            continue
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise ValueError(f"{where}: {name} must be a number from 0 to below 1, but is {str(value)[:60]!r} instead")
        return float(value)
    return default


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
