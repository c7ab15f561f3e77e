"""What a kind of task is: one record, and one file beside this one for each.

A kind is answered by a head on a pretrained body (`Kind.head`), by text that the model writes (`Kind.text`), or by both. Files
of kinds import torch inside functions only, so that recipes and files of a user's own are read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.tasks.features import Features
from gyebo.tasks.heads.styles import HeadSpec
from gyebo.tasks.task import Example, Task
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    Batch = dict[str, Tensor]

Outputs = list[NDArray[Any]]
"""One tensor of a model's output: an array for each row of the features, without padding."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How examples become rows. `max_length`: tokens of the longest row, roles included. `labels`: the names of classes, tags
    or relations in the order of their numbers. `stride`: tokens from one window of a long text to the next."""

    max_length: int
    labels: Sequence[str] = ()
    stride: int | None = None


@dataclass(frozen=True, kw_only=True)
class HeadForm:
    """How a head on a pretrained body answers.

    `transformers_class`: what follows "FAMILYFor" in the name of the class of `transformers`.
    `specs`: head style of a family -> what the head reads and consists of. `build`: (config, labels, dropout) -> a head that is
    the same for all styles, in the place of what the spec says.
    `outputs`: how many outputs it has, where they have no names; `default_labels`: how many with names, unless told otherwise.
    `problems`: what problem_type of `transformers` may be, the usual one first.
    `encode`: examples as rows. `strides`: long texts are read in windows, so `Encoding.stride` has an effect.
    `grouped`: a row is several texts side by side, [B, C, T], each with one output.
    `inputs`: fields of a batch that the head takes besides those of the body; `optional` ones may be missing.
    `output`: (tensor or tensors of the head, hidden_states=, attentions=) -> the dataclass that the model gives.
    `places`: the column of the features whose lengths the outputs have, None: one output a row.
    `count`: labels of a batch; `loss`: (output, batch) -> the sum over them.
    `decode`: (features, examples, outputs, labels) -> a prediction for each example.
    """

    transformers_class: str
    specs: Mapping[str, HeadSpec]
    build: Callable[[Any, int, float], Any] | None = None
    outputs: int | None = None
    default_labels: int | None = None
    problems: tuple[str, ...] = ()
    encode: Callable[[Sequence[Example], Tokenizer, Encoding], Features]
    strides: bool = False
    grouped: bool = False
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    output: Callable[..., Any]
    places: str | None = None
    count: Callable[[Batch], int]
    loss: Callable[[Any, Batch], Tensor]
    decode: Callable[[Features, Sequence[Example], list[Outputs], Sequence[str]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class TextForm:
    """How text answers: `source` is read, `target` is learned to be written, and `answer` makes the prediction of it."""

    source: Callable[[Example], str]
    target: Callable[[Example], str]
    answer: Callable[[str, Example], Any]


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """A kind on a user's own file, as it is called on the command line. `task`: (text, pair, label), the names of columns or
    None, -> the task; raises ValueError for columns that are missing or have no effect."""

    name: str
    task: Callable[[str | None, str | None, str | None], Task]


def has_label(example: Example) -> bool:
    """Whether the right class, score, option or text is known."""
    return example.label is not None


def all_texts(example: Example) -> tuple[str, ...]:
    """Every text of an example."""
    return (example.text, *((example.pair,) if example.pair is not None else ()), *example.options)


def sorted_names(found: set[str]) -> tuple[str, ...]:
    """Class names in order; numbers by size."""
    whole = all(name.removeprefix("-").isdecimal() for name in found)
    return tuple(sorted(found, key=lambda name: (int(name) if whole else 0, name)))


def bare_row(example: Example, prediction: Any, shares: str) -> dict[str, Any]:
    """The prediction alone."""
    return {"prediction": prediction}


def always_teaches(examples: Sequence[Example]) -> str | None:
    """Nothing can be wrong with training examples as a whole."""
    return None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of task.

    `pipeline_tag`: of the Hugging Face hub. `head`, `text`: how it is learned and answered; neither: it can be read and scored
    only. `own_files`: how it is called on a user's own file. `command`: what answers a file of texts, "predict" or
    "translate"; "evaluate" where only a task's examples can be answered. `lines`: a line of a plain text can be an example.
    `bpe_dropout`: its answers do not depend on where a token ends. `linear`: the linear baseline does it.
    `class_names`: example -> the names of its classes, None where labels have no names; `order`: names found in training data
    -> the task's labels. `answered`: whether an example has its answer. `always_answered`: in test sets too. `texts`: what of
    an example must not be empty. `one_answer`: the same text with different answers is label noise.
    `empty`: the prediction for an example without text, None: the model is asked.
    `nothing_to_learn`: training examples -> why they teach nothing, in words, or None.
    `row`: (example, prediction, what the numbers beside a class are called) -> fields of a line of predictions.
    `picture`: "confusion" or "lengths", drawn of the test set's predictions.
    """

    name: str
    pipeline_tag: str
    head: HeadForm | None = None
    text: TextForm | None = None
    own_files: tuple[OwnFile, ...] = ()
    command: str = "predict"
    lines: bool = False
    bpe_dropout: bool = False
    linear: bool = False
    class_names: Callable[[Example], tuple[Any, ...]] | None = None
    order: Callable[[set[str]], tuple[str, ...]] = sorted_names
    answered: Callable[[Example], bool] = has_label
    always_answered: bool = False
    texts: Callable[[Example], tuple[str, ...]] = all_texts
    one_answer: bool = True
    empty: Callable[[], Any] | None = None
    nothing_to_learn: Callable[[Sequence[Example]], str | None] = always_teaches
    row: Callable[[Example, Any, str], dict[str, Any]] = bare_row
    picture: str | None = None

    @property
    def names_classes(self) -> bool:
        """Whether its labels have names."""
        return self.class_names is not None


def stacked(outputs: Outputs) -> NDArray[Any]:
    """Outputs of one shape as one array [rows, ...]."""
    return np.stack(outputs)
