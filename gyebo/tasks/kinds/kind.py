"""What a kind of task is: one record. Each kind has a file in this folder.

A kind is answered by a head on a pretrained body (`Kind.head`), by generated text (`Kind.text`), or by either. Files of kinds
import torch inside functions only, so that recipes and users' own files can be read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gyebo.tasks.features import Features
from gyebo.tasks.heads.styles import HeadSpec
from gyebo.tasks.metrics.by_class import ByClass
from gyebo.tasks.seeing import PictureReading
from gyebo.tasks.task import Example, Task
from gyebo.tasks.text_task import Columns, TextTask
from gyebo.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    Batch = dict[str, Tensor]

Outputs = list[NDArray[Any]]
"""One output tensor of a model: an array for each row of the features, without padding."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How examples become rows. `max_length`: tokens of the longest row, special tokens included. `labels`: the names of
    classes, tags or relations in the order of their ids. `pictures`: how those of examples are read, by a model that sees."""

    max_length: int
    labels: Sequence[str] = ()
    pictures: PictureReading | None = None


@dataclass(frozen=True, kw_only=True)
class HeadForm:
    """A head on a pretrained body that answers a kind of task.

    `transformers_class`: suffix of the class of `transformers` after "FAMILYFor".
    `specs`: head style of a family -> input and layers of the head. `build`: (config, labels, dropout) -> a head that is the
    same for all styles and replaces that of the spec, with `flops(work)`.
    `encoder_alone`: of a body whose encoder represents a text by itself, the decoder is left out.
    `outputs`: number of outputs, where they have no names; `default_labels`: number of named outputs, where none is given.
    `problems`: possible values of problem_type of `transformers`, the usual one first.
    `encode`: examples as rows.
    `sees`: it reads a picture with the text, so the body must see.
    `ngrams`: a linear layer may read the n-grams of the texts beside it: it gives one score, or one for each class. Its `loss`
    is a convex function of the scores, computed in float64 where they are float64.
    `grouped`: a row has several texts, [B, C, T], each with one output.
    `inputs`: fields of a batch that the head takes besides those of the body; `optional` ones may be missing.
    `output`: (tensor or tensors of the head, hidden_states=, attentions=) -> the output dataclass of the model.
    `places`: the column of the features with the same lengths as the outputs, None: one output per row.
    `answers`: the fields of a batch that hold the right answers, which `forward` takes by name.
    `count`: number of labels of a batch; `loss`: (output, batch) -> sum over them.
    `decode`: (features, examples, outputs, labels) -> a prediction for each example.
    """

    transformers_class: str
    specs: Mapping[str, HeadSpec]
    build: Callable[[Any, int, float], Any] | None = None
    encoder_alone: bool = False
    outputs: int | None = None
    default_labels: int | None = None
    problems: tuple[str, ...] = ()
    encode: Callable[[Sequence[Example], Tokenizer, Encoding], Features]
    sees: bool = False
    ngrams: bool = False
    grouped: bool = False
    inputs: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    output: Callable[..., Any]
    places: str | None = None
    answers: tuple[str, ...] = ("labels",)
    count: Callable[[Batch], int]
    loss: Callable[[Any, Batch], Tensor]
    decode: Callable[[Features, Sequence[Example], list[Outputs], Sequence[str]], list[Any]]


@dataclass(frozen=True, kw_only=True)
class TextForm:
    """How a model that generates answers a kind of task.

    `source`: (example, task) -> the text that it reads, mostly `in_columns`; `columns`: the parts that are read, with their
    usual names. `target`: (example, task) -> the text that it learns to write, None where the answer is not known. `answer`:
    (what it wrote, example, task) -> the prediction, of the type that a head of the kind gives too; for what is no answer one
    that every metric of the kind counts as wrong. `step`: training examples -> what answers that are numbers are rounded to.
    `cut`: where the text of a source that is too long is cut, at its "end" or its "start" (there between lines, if it can be);
    "": nowhere, so that training leaves such an example out, and a prediction refuses it. `turns`: the text of an example is
    a dialogue, a turn on each line, of which at most so many are read (`gyebo/tasks/dialogue.py`). `scored`: of a kind whose
    metrics ask how likely the right target was: (the prediction, None where none was written, -ln p of the target in nats, how
    many tokens that is, both with its end) -> the prediction.
    """

    source: Callable[[Example, TextTask], str]
    target: Callable[[Example, TextTask], str | None]
    answer: Callable[[str, Example, TextTask], Any]
    columns: Columns = (("text", "text"),)
    step: Callable[[Sequence[Example]], float] | None = None
    cut: str = ""
    turns: int | None = None
    scored: Callable[[Any, float, int], Any] | None = None

    def of(self, task: TextTask) -> TaskTexts:
        """The form for one task."""
        return TaskTexts(
            task,
            source=lambda example: self.source(example, task),
            target=lambda example: self.target(example, task),
            answer=lambda text, example: self.answer(text, example, task),
            cut=self.cut,
            scored=self.scored,
        )


@dataclass(frozen=True)
class TaskTexts:
    """One task as text: fields as in `TextForm`."""

    task: TextTask
    source: Callable[[Example], str]
    target: Callable[[Example], str | None]
    answer: Callable[[str, Example], Any]
    cut: str = ""
    scored: Callable[[Any, float, int], Any] | None = None

    @property
    def shortens(self) -> bool:
        """Whether less is read of a source that is too long."""
        return bool(self.cut) or self.task.turns is not None

    def texts_read(self, example: Example) -> list[str]:
        """The source as the texts that are encoded one by one."""
        return self.source(example).split("\n") if self.task.turns else [self.source(example)]


def in_columns(parts: Callable[[Example], Mapping[str, str | None]]) -> Callable[[Example, TextTask], str]:
    """A `TextForm.source`: the parts of an example (None: it has none) after the task's prefix and their names."""
    return lambda example, task: task.source(parts(example))


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """A kind of task on a user's own file, with its `name` on the command line. `task`: (text, pair, label), names of columns
    or None, -> the task; raises ValueError for columns that are missing or have no effect. `pictured`: it has a fourth, that of
    the image, and a file of their regions, or None."""

    name: str
    task: Callable[..., Task]
    pictured: bool = False


def has_label(example: Example) -> bool:
    """Whether the correct class, score, option or text is known."""
    return example.label is not None


def all_texts(example: Example) -> tuple[str, ...]:
    """Every text of an example."""
    return (example.text, *((example.pair,) if example.pair is not None else ()), *example.options)


def sorted_names(found: set[str]) -> tuple[str, ...]:
    """Class names in alphabetical order; numbers in ascending order."""
    whole = all(name.removeprefix("-").isdecimal() for name in found)
    return tuple(sorted(found, key=lambda name: (int(name) if whole else 0, name)))


def bare_row(example: Example, prediction: Any, probability_key: str) -> dict[str, Any]:
    """Only the prediction."""
    return {"prediction": prediction}


def always_trainable(examples: Sequence[Example]) -> str | None:
    """For kinds without such a check."""
    return None


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of task.

    `pipeline_tag`: of the Hugging Face hub. `head`, `text`: how it is trained and answered, by families that have task heads
    and by those that write; a kind has at least one of them. `row` and the metrics take the predictions of both.
    `own_files`: the kind on a user's own file, by name. `command`: the command for files of texts, "predict" or "translate";
    "evaluate" if it has predictions only for examples of a task. `lines`: a line of plain text can be an example.
    `bpe_dropout`: BPE-dropout is possible, as labels do not depend on tokens. `linear`: the linear baseline supports it.
    `class_names`: example -> the names of its classes, None where labels have no names; `order`: names found in training data
    -> the labels of the task. `answered`: whether an example has an answer. `always_answered`: test sets must have answers.
    `texts`: the texts of an example that must not be empty. `one_answer`: the same text with different answers is label noise.
    `empty`: the prediction for an example without text, None: that of the model.
    `nothing_to_learn`: training examples -> the reason why they cannot be used for training, or None.
    `by_class`: how many of each class were right, predicted and true, for kinds whose answers are classes.
    `row`: (example, prediction, key of the probabilities by class) -> fields of a line of predictions.
    `picture`: plot of the predictions on the test set, "confusion" of classes, or "lengths": a score of texts by their length,
    `score_by_length`, a metric and what it is called there.
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
    nothing_to_learn: Callable[[Sequence[Example]], str | None] = always_trainable
    by_class: ByClass | None = None
    row: Callable[[Example, Any, str], dict[str, Any]] = bare_row
    picture: str | None = None
    score_by_length: tuple[str, str] = ("bleu_tokenized", "BLEU, split at spaces")

    def __post_init__(self) -> None:
        if not self.forms:
            raise ValueError(f"kind {self.name!r} has neither a head nor a text form: give it one")

    @property
    def forms(self) -> tuple[str, ...]:
        """How it can be answered: "head", "text", or both."""
        return tuple(name for name, form in (("head", self.head), ("text", self.text)) if form is not None)

    @property
    def names_classes(self) -> bool:
        """Whether the labels have names."""
        return self.class_names is not None


def stacked(outputs: Outputs) -> NDArray[Any]:
    """Outputs of one shape as one array [rows, ...]."""
    return np.stack(outputs)
