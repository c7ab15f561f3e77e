"""A fine-tuning, ready to be trained: what it is made of, and what every kind of task decides alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.models import family as tree
from gyebo.tasks.features import ExampleRows, Features
from gyebo.tasks.heads.styles import layers_are_features
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import KINDS, find_kind
from gyebo.tasks.splits import TaskData
from gyebo.tasks.task import Task
from gyebo.text.dropout import DroppingTokenizer
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES
from gyebo.training.optimizer import default_lr
from gyebo.training.trainer import Trainer

PARTS = ("train", "valid", "test")
WIDE = 768  # the width for which tasks give their learning rate
HEAD_ALONE = 5  # times the rate of training from scratch: what a head bears under which nothing moves


@dataclass(frozen=True)
class Origin:
    """Where a fine-tuning starts: `body()` makes the model without a task's head, anew at each call."""

    family: tree.Family
    tokenizer: Tokenizer  # the family's copy
    config: Any
    body: Callable[[], Any]


Predict = Callable[[Any, str, Callable[[], Any], bool], list[Any]]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """All that a fine-tuning is made of, ready to be trained, whichever way its kind of task is answered.

    `max_length`: tokens of a training row; `longest`: of the longest row of each part. `batch`: rows of a step, or groups of
    rows where a step is counted in tokens; `step_size`: what one update learns from, in words. `lr`: the peak rate.
    `predict`: (model, part, autocast, quick) -> a prediction for each example of a part; quick: by a cheaper search, where
    there is one. `averaged`: of how many last checkpoints a mean is tried. `sample`: predictions on validation -> lines to look
    at.
    """

    options: FinetuneOptions
    data: TaskData
    kind: Kind
    origin: Origin
    tokenizer: Tokenizer
    make_model: Callable[[], Any]
    features: dict[str, Features]
    rows: ExampleRows
    objective: Any
    predict: Predict
    max_length: int
    longest: dict[str, int]
    batch: int
    step_size: str
    device: torch.device
    averaged: int = 1
    sample: Callable[[list[Any]], list[str]] = lambda predictions: []

    @property
    def family(self) -> tree.Family:
        """Of the body."""
        return self.origin.family

    @property
    def steps_per_epoch(self) -> float:
        """Updates in an epoch."""
        return len(self.rows) / self.batch

    def plan(self, precision: str) -> dict[str, Any]:
        """What is settled before the first step, and stays when a run is resumed."""
        options, task = self.options, self.data.task
        warmup = options.optim.warmup
        return {
            "steps": options.steps or max(1, math.ceil((options.epochs or task.epochs) * self.steps_per_epoch)),
            "batch": self.batch,
            "micro_batch": min(options.micro_batch or self.batch, self.batch),
            "lr": learning_rate(options, task, self.origin),
            "warmup": task.warmup if warmup is None else warmup,
            "max_length": self.max_length,
            "precision": precision,
        }

    def trainer(self, plan: dict[str, Any]) -> Trainer:
        """A fresh trainer."""
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

    def predictions(self, model: Any, part: str, precision: str, *, quick: bool = False) -> list[Any]:
        """What a model says of a part of the examples."""
        autocast = partial(torch.autocast, self.device.type, DTYPES[precision], enabled=precision != "float32")
        return self.predict(model, part, autocast, quick)


def longest_row(options: FinetuneOptions, task: Task, context: int) -> int:
    """Tokens of the longest row; ValueError where more are asked for than the model has positions."""
    if options.max_length and options.max_length > context:
        raise OptionError(f"‹max_length›={options.max_length} is longer than the {context} positions of {options.model}")
    return min(options.max_length or task.max_length, context)


def learning_rate(options: FinetuneOptions, task: Task, origin: Origin) -> float:
    """The peak rate: as asked, else that of training from scratch, more for a head alone, else the task's, larger for narrower
    models."""
    width = origin.config.width
    if options.optim.lr:
        return options.optim.lr
    if scratch(options.model):
        return default_lr(width)
    if gives_features(options, origin.family):
        return HEAD_ALONE * default_lr(width)
    return float(f"{task.lr * WIDE / width:.2g}")


def gives_features(options: FinetuneOptions, family: tree.Family) -> bool:
    """Whether the body stays as it is, as its layers are features: a trained model of style mix."""
    return layers_are_features(family.head_style) and not scratch(options.model)


def with_dropped_merges(
    options: FinetuneOptions, task: Task, tokenizer: Tokenizer, encoded: Callable[..., Features]
) -> Callable[[int], Features] | None:
    """The training examples as an epoch reads them under BPE-dropout, None without it; `encoded`: from a tokenizer to features.

    ValueError where it would have no effect.
    """
    rate = options.bpe_dropout
    if not rate:
        return None
    if not find_kind(task.kind).bpe_dropout or task.marked:
        kinds = "relations" if task.marked else task.kind
        possible = ", ".join(kind.name for kind in KINDS.values() if kind.bpe_dropout)
        raise OptionError(f"‹bpe_dropout›={rate:g} is for whole texts ({possible}), not for {kinds}: leave it out")
    DroppingTokenizer(tokenizer, rate, "")  # refuses other kinds of tokenizers now

    @lru_cache(maxsize=1)
    def again(epoch: int) -> Features:
        return encoded(tokenizer=DroppingTokenizer(tokenizer, rate, f"bpe-dropout {options.seed} {epoch}"))

    return again
