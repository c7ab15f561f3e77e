"""The setup of a fine-tuning, and the decisions that all kinds of task share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.jobs.workload import STEPS, sampled, tokens_of
from gyebo.models.tree.row import Family
from gyebo.tasks.features import ExampleRows, Features
from gyebo.tasks.heads.styles import layers_are_features
from gyebo.tasks.heads.task_model import body_of
from gyebo.tasks.kinds.kind import Kind, TaskTexts
from gyebo.tasks.kinds.table import KINDS, find_kind
from gyebo.tasks.mixing import MixedRows
from gyebo.tasks.seeing import PictureReading
from gyebo.tasks.splits import TaskData
from gyebo.tasks.task import Task
from gyebo.text.dropout import BpeDropoutTokenizer
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES
from gyebo.training.optimizer import default_lr
from gyebo.training.trainer import Trainer

MEAN = "mean"  # of the scores of several tasks
PARTS = ("train", "valid", "test")
T5_LR = 1e-3  # Raffel et al. 2020, section 3.1.2
REFERENCE_WIDTH = 768  # the model width for which tasks define their learning rate
HEAD_ONLY_LR_FACTOR = 5  # learning rate of a head on a frozen body, relative to training from scratch


@dataclass(frozen=True)
class Origin:
    """The starting point of a fine-tuning: `body()` returns a new model without a task head at each call. `pictures()`: how it
    reads those of a task, None where it sees none; ValueError where it can't."""

    family: Family
    tokenizer: Tokenizer  # the copy for the family
    config: Any
    body: Callable[[], Any]
    pictures: Callable[[], PictureReading | None] = lambda: None


Predict = Callable[[Any, str, Callable[[], Any], bool], list[Any]]
Fit = Callable[[Any, Callable[[], Any]], None]


@dataclass(frozen=True, kw_only=True)
class TaskPart:
    """One task of a fine-tuning: its examples and their features.

    `texts`: the task as text, where it is answered so. `longest`: maximum tokens of a row of each set. `predict`: (model, part,
    autocast, quick) -> a prediction for each example of a set; quick: with a cheaper search, if there is one. `sample`:
    predictions on the validation set -> lines to show. `fit`: (model, autocast), which sets what of a trained model is fitted
    on the validation set; None: nothing is.
    """

    data: TaskData
    kind: Kind
    features: dict[str, Features]
    predict: Predict
    longest: dict[str, int]
    texts: TaskTexts | None = None
    sample: Callable[[list[Any]], list[str]] = lambda predictions: []
    fit: Fit | None = None

    @property
    def name(self) -> str:
        """What the task is called."""
        return self.data.task.name


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A fine-tuning, ready for training, for all kinds of task.

    `tasks`: what is learned, mostly one. `form`: how it is answered, HEAD or TEXT. `max_length`: maximum tokens of a training
    row. `batch`: rows of a step, or groups of rows if a step is measured in tokens (`by_tokens`); `step_size`: the size of a
    step in words. `averaged`: number of last checkpoints whose average is tried. `rates`: of several tasks, how often each is
    drawn.
    """

    options: FinetuneOptions
    tasks: tuple[TaskPart, ...]
    form: str
    origin: Origin
    tokenizer: Tokenizer
    make_model: Callable[[], Any]
    rows: ExampleRows | MixedRows
    objective: Any
    max_length: int
    batch: int
    step_size: str
    device: torch.device
    averaged: int = 1
    rates: dict[str, float] = field(default_factory=dict)
    by_tokens: bool = False

    @property
    def data(self) -> TaskData:
        """The examples of the first task."""
        return self.tasks[0].data

    @property
    def kind(self) -> Kind:
        """The kind of the first task."""
        return self.tasks[0].kind

    @property
    def score(self) -> str:
        """The metric by which weights are chosen: the task's, or the mean of those of several."""
        return self.data.task.score if len(self.tasks) == 1 else MEAN

    @property
    def family(self) -> Family:
        """The family of the body."""
        return self.origin.family

    @property
    def steps_per_epoch(self) -> float:
        """Number of steps in an epoch."""
        return len(self.rows) / self.batch

    def plan(self, precision: str) -> dict[str, Any]:
        """The decisions made before the first step, which a resumed run keeps."""
        options, task = self.options, self.data.task
        warmup, epochs = options.optim.warmup, options.epochs or max(each.data.task.epochs for each in self.tasks)
        return {
            "steps": options.steps or max(1, math.ceil(epochs * self.steps_per_epoch)),
            "batch": self.batch,
            "micro_batch": min(options.micro_batch or self.batch, self.batch),
            "lr": learning_rate(options, task, self.origin),
            "warmup": task.warmup if warmup is None else warmup,
            "max_length": self.max_length,
            "precision": precision,
            **({"rates": self.rates} if self.rates else {}),
        }

    def trainer(self, plan: dict[str, Any]) -> Trainer:
        """A trainer at step 0."""
        return Trainer(
            self.make_model(),
            self.objective,
            self.rows,
            options=self.options.optim.model_copy(update={"lr": plan["lr"], "warmup": plan["warmup"]}),
            steps=plan["steps"],
            batch_rows=plan["batch"],
            micro_rows=plan["micro_batch"],
            seed=self.options.seed,
            device=self.device,
            precision=plan["precision"],
            unfreeze=self.options.optim.unfreeze,
        )

    def flops_per_token(self, model: Any, plan: dict[str, Any]) -> float:
        """FLOPs of training on a token, on average over some steps (`gyebo/nn/cost.py`). A body of which nothing is trained has
        no backward pass."""
        body = body_of(model)
        work, _ = sampled(
            self.rows,
            body,
            self.objective.projected,
            batch_rows=plan["batch"],
            micro_rows=plan["micro_batch"],
            seed=self.options.seed,
            steps=min(STEPS, math.ceil(self.steps_per_epoch)),
        )
        passes = 3 if any(parameter.requires_grad for parameter in body.parameters()) else 1
        return passes * model.flops(work) / tokens_of(work, self.rows.streams)

    def predictions(self, model: Any, part: str, precision: str, *, quick: bool = False) -> list[list[Any]]:
        """The predictions of a model for one set of the examples, of each task."""
        autocast = self._autocast(precision)
        return [task.predict(model, part, autocast, quick) for task in self.tasks]

    def fitted(self, model: Any, precision: str) -> bool:
        """Set what of a trained model is fitted on the validation set; whether there is something."""
        fits = [task.fit for task in self.tasks if task.fit is not None]
        for fit in fits:
            fit(model, self._autocast(precision))
        return bool(fits)

    def _autocast(self, precision: str) -> Callable[[], Any]:
        return partial(torch.autocast, self.device.type, DTYPES[precision], enabled=precision != "float32")


def longest_row(options: FinetuneOptions, task: Task, context: int) -> int:
    """Maximum tokens of a row; OptionError where max_length exceeds the positions of the model."""
    if options.max_length and options.max_length > context:
        raise OptionError(f"‹max_length›={options.max_length} is longer than the {context} positions of {options.model}")
    return min(options.max_length or task.max_length, context)


def learning_rate(options: FinetuneOptions, task: Task, origin: Origin) -> float:
    """The peak learning rate: as given; otherwise the default of training from scratch; a multiple of it for a head on a frozen
    body; for other pretrained models that of the task, scaled by 1 / width, or with Adafactor, whose steps are relative to the
    parameters, that with which T5 was fine-tuned."""
    width = origin.config.width
    if options.optim.lr:
        return options.optim.lr
    if scratch(options.model):
        return default_lr(width, options.optim.name)
    if gives_features(options, origin.family):
        return HEAD_ONLY_LR_FACTOR * default_lr(width, options.optim.name)
    if options.optim.name == "adafactor":
        return T5_LR
    return float(f"{task.lr * REFERENCE_WIDTH / width:.2g}")


def gives_features(options: FinetuneOptions, family: Family) -> bool:
    """Whether the body is frozen and its layers are features: a pretrained model of style mix."""
    return layers_are_features(family.head_style) and not scratch(options.model)


def bpe_dropout_features(
    options: FinetuneOptions, task: Task, tokenizer: Tokenizer, encoded: Callable[..., Features]
) -> Callable[[int], Features] | None:
    """A function from an epoch to its training features under BPE-dropout, None without it; `encoded`: tokenizer -> features.

    ValueError where it would have no effect.
    """
    rate = options.bpe_dropout
    if not rate:
        return None
    if not find_kind(task.kind).bpe_dropout or task.entity_markers:
        kinds = "relations" if task.entity_markers else task.kind
        possible = ", ".join(kind.name for kind in KINDS.values() if kind.bpe_dropout)
        raise OptionError(f"‹bpe_dropout›={rate:g} is for whole texts ({possible}), not for {kinds}: leave it out")
    BpeDropoutTokenizer(tokenizer, rate, "")  # raises for other kinds of tokenizers

    @lru_cache(maxsize=1)
    def of_epoch(epoch: int) -> Features:
        return encoded(tokenizer=BpeDropoutTokenizer(tokenizer, rate, f"bpe-dropout {options.seed} {epoch}"))

    return of_epoch
