"""Multi-label classification: any number of classes of a text or a pair, each with a probability of its own.

In `transformers` it is a classification with problem_type "multi_label_classification". A class is predicted where its
probability is at least one half.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gyebo.nn.outputs import TaskOutput
from gyebo.tasks.features import Features, all_labelled, number_of
from gyebo.tasks.kinds import classification
from gyebo.tasks.kinds.kind import Encoding, Kind, Outputs, OwnFile, TextForm, in_columns, stacked
from gyebo.tasks.kinds.own_columns import column_task
from gyebo.tasks.metrics import by_class
from gyebo.tasks.task import Columns, Example, class_name, likely_classes, look, need, text_of
from gyebo.tasks.text_task import TextTask

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("multi_label_macro_f1", "multi_label_micro_f1", "subset_accuracy")
NO_CLASS, BETWEEN = "none", " | "  # as text
HOLDS = {"1": True, "true": True, "0": False, "false": False}


def known(example: Example) -> bool:
    """Whether the classes of an example are known; it may have none."""
    return example.classes is not None


def encode(examples: Sequence[Example], tokenizer: Any, encoding: Encoding) -> Features:
    """Texts or pairs as rows, with "labels" [N, classes], 1.0 for those that hold, float32, if all are known."""
    features = classification.encode_texts(examples, tokenizer, encoding.max_length)
    if all_labelled(examples, known):
        right = np.zeros((len(examples), len(encoding.labels)), np.float32)
        for place, example in zip(right, examples):
            place[[number_of(example, name, encoding.labels) for name in example.classes or ()]] = 1
        features.fixed["labels"] = right
    return features


def loss(output: TaskOutput, batch: dict[str, Tensor]) -> Tensor:
    """Binary cross-entropy, summed over rows and classes."""
    import torch.nn.functional as F

    scores = output.precise
    return F.binary_cross_entropy_with_logits(scores, batch["labels"].to(scores.dtype), reduction="sum")


def decisions(batch: dict[str, Tensor]) -> int:
    """Number of decisions of a batch: one for each row and class."""
    return batch["labels"].numel()


def decode(
    features: Features, examples: Sequence[Example], outputs: list[Outputs], labels: Sequence[str]
) -> list[dict[str, float]]:
    """A mapping from class name to probability for every example."""
    import torch

    probabilities = torch.from_numpy(stacked(outputs[0])).sigmoid().tolist()
    return [dict(zip(labels, row)) for row in probabilities]


def written(classes: Sequence[str]) -> str:
    """Classes as text, in alphabetical order."""
    return BETWEEN.join(sorted(classes)) or NO_CLASS


def answer(text: str, example: Example, task: TextTask) -> tuple[str, ...]:
    """The classes that were written, each once."""
    names = [name for part in text.split(BETWEEN.strip()) if (name := part.strip())]
    return () if names == [NO_CLASS] and NO_CLASS not in task.labels else tuple(dict.fromkeys(names))


def one_answer(examples: Sequence[Example]) -> str | None:
    """The reason why examples with the same classes cannot be used for training."""
    seen = {frozenset(example.classes or ()) for example in examples}
    shown = ", ".join(sorted(next(iter(seen)))) if seen else ""
    return f"all {len(examples):,} examples have the classes {shown or 'none at all'}" if len(seen) < 2 else None


def row(example: Example, prediction: Mapping[str, float] | Sequence[str], probability_key: str) -> dict[str, Any]:
    """The right classes, if they are known, those that are predicted, and the probability of each, if there are any."""
    right = {"labels": list(example.classes)} if example.classes is not None else {}
    bare = right | {"prediction": list(likely_classes(prediction))}
    if not isinstance(prediction, Mapping):
        return bare
    return bare | {probability_key: {name: round(value, 6) for name, value in prediction.items()}}


class ClassColumns(Columns):
    """Reads texts and their classes. `label`: a column of lists, or of names with commas between them; or several columns, with
    commas between their names, that hold 1 where the class of that name holds, and 0 where it does not."""

    def __init__(self, text: str, pair: str | None, label: str) -> None:
        super().__init__(text, pair or (), label)
        self.named = [name.strip() for name in label.split(",")]

    def __call__(self, values: dict[str, Any], where: str, labelled: bool) -> Iterator[Example]:
        """The example of the row. Raises `MissingColumn`, or ValueError for what names no classes."""
        of = need if labelled else look
        if len(self.named) == 1:
            classes = _listed(of(values, self.label), self.label[0])
        else:
            classes = _marked({name: of(values, (name,)) for name in self.named})
        if classes is None and labelled:
            raise ValueError(f"{self.label[0]} is missing")
        pair = text_of(values, self.pair) if self.pair else None
        yield Example(where, text_of(values, self.text), pair, classes=classes)


def _listed(value: Any, column: str) -> tuple[str, ...] | None:
    """The names in a cell: a list, a list as JSON or Python writes it, or names with commas between them."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _read_list(value)
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(name, list | dict) for name in value)):
        raise ValueError(f"{column} is {json.dumps(value, ensure_ascii=False)[:60]}, not a list of class names")
    names = [class_name(name) for name in (value if isinstance(value, list) else [value]) if name is not None]
    return tuple(dict.fromkeys(name for name in names if name))


def _read_list(text: str) -> list[Any]:
    if not (text.strip().startswith("[") and text.strip().endswith("]")):
        return text.split(",")
    for read in (json.loads, ast.literal_eval):  # as exports of pandas have it
        try:
            found = read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list):
            return found
    raise ValueError(f"{text[:60]!r} is no list of class names, as JSON or Python writes one")


def _marked(values: dict[str, Any]) -> tuple[str, ...] | None:
    """The columns that hold 1; None where none has a value."""
    if all(value is None for value in values.values()):
        return None
    for name, value in values.items():
        if value is None or class_name(value).lower() not in HOLDS:
            raise ValueError(f"{name} is {value!r}, not 0 or 1")
    return tuple(class_name(name) for name, value in values.items() if HOLDS[class_name(value).lower()])


assert classification.KIND.head is not None
KIND = Kind(
    name="multi-label",
    pipeline_tag="text-classification",
    head=replace(
        classification.KIND.head,
        encode=encode,
        count=decisions,
        loss=loss,
        decode=decode,
        problems=("multi_label_classification",),
    ),
    text=TextForm(
        source=in_columns(classification.parts),
        target=lambda example, task: None if example.classes is None else written(example.classes),
        answer=answer,
        columns=(("text", "sentence"), ("pair", "sentence2")),
        cut="end",
    ),
    own_files=(
        OwnFile(
            name="multi-label",
            task=column_task("multi-label", label="labels", metrics=METRICS, convert=ClassColumns),
        ),
    ),
    lines=True,
    bpe_dropout=True,
    class_names=lambda example: example.classes or (),
    answered=known,
    nothing_to_learn=one_answer,
    by_class=by_class.several_classes,
    row=row,
)
