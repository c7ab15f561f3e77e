"""A fine-tuning, ready to be trained: what it is made of, and what every kind of task decides alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.generation.options import GenerationOptions
from gyebo.models import family as tree
from gyebo.objectives.translation import Translation
from gyebo.tasks.features import ExampleRows, Features
from gyebo.tasks.kinds import translation
from gyebo.tasks.kinds.translation import PairRows
from gyebo.tasks.objective import TaskObjective
from gyebo.tasks.prediction import predict
from gyebo.tasks.splits import TaskData
from gyebo.tasks.task import DROPPING, Task
from gyebo.text.dropout import DroppingTokenizer
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES
from gyebo.training.optimizer import default_lr
from gyebo.training.trainer import Trainer

PARTS = ("train", "valid", "test")
SHOWN = 2  # translations at each evaluation
WIDE = 768  # the width for which tasks give their learning rate
HEAD_ALONE = 5  # times the rate of training from scratch: what a head bears under which nothing moves


@dataclass(frozen=True)
class Origin:
    """Where a fine-tuning starts: `body()` makes the model without a task's head, anew at each call."""

    family: tree.Family
    tokenizer: Tokenizer  # the family's copy
    config: Any
    body: Callable[[], Any]


@dataclass(frozen=True)
class Setup:
    """All that a fine-tuning is made of, ready to be trained. `max_length`: tokens of a row; `lr`: the peak rate."""

    options: FinetuneOptions
    data: TaskData
    family: tree.Family
    tokenizer: Tokenizer
    make_model: Callable[[], Any]
    features: dict[str, Features]
    rows: ExampleRows | PairRows
    objective: TaskObjective | Translation
    max_length: int
    batch: int
    steps: int
    lr: float
    device: torch.device
    context: int  # tokens that the model reads
    search: GenerationOptions | None = None  # how translations are found

    @property
    def steps_per_epoch(self) -> float:
        """Updates in an epoch."""
        return len(self.rows) / self.batch

    @property
    def step_size(self) -> str:
        """What one update learns from, in words."""
        return f"{self.batch} examples" if self.search is None else f"{self.options.translation.batch_tokens:,} tokens"

    def longest(self, part: str) -> int:
        """Tokens of the longest row of a part: translations are chosen by and measured on all that the model reads."""
        return self.max_length if self.search is None or part == "train" else self.context

    @property
    def averaged(self) -> int:
        """Of how many last checkpoints a mean is tried."""
        return 1 if self.search is None else self.options.translation.average

    def sample(self, predictions: list[Any]) -> list[str]:
        """What is shown of the predictions on validation at an evaluation."""
        if self.search is None:
            return []
        return [f"{example.text} -> {found}" for example, found in zip(self.data.valid, predictions[:SHOWN])]

    def plan(self, precision: str) -> dict[str, Any]:
        """What is settled before the first step, and stays when a run is resumed."""
        warmup = self.options.optim.warmup
        return {
            "steps": self.steps,
            "batch": self.batch,
            "micro_batch": min(self.options.micro_batch or self.batch, self.batch),
            "lr": self.lr,
            "warmup": self.data.task.warmup if warmup is None else warmup,
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
        """What a model says of a part of the examples; `quick`: translations without a search."""
        autocast = self.autocast(precision)
        if self.search is None:
            return predict(model, self.features[part], getattr(self.data, part), autocast=autocast)
        options = translation.search_options(1) if quick else self.search
        return translation.predict(model, self.features[part], options=options, autocast=autocast)

    def autocast(self, precision: str) -> Callable[[], Any]:
        """The context of forward passes."""
        return lambda: torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32")


def steps_of(options: FinetuneOptions, task: Task, epoch: float) -> int:
    """Updates, where an epoch has so many."""
    return options.steps or max(1, math.ceil((options.epochs or task.epochs) * epoch))


def longest_row(options: FinetuneOptions, task: Task, context: int) -> int:
    """Tokens of the longest row; ValueError where more are asked for than the model has positions."""
    if options.max_length and options.max_length > context:
        raise ValueError(f"--max-length {options.max_length} is longer than the {context} positions of {options.model}")
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
    return family.head_style == "mix" and not scratch(options.model)


def with_dropped_merges(
    options: FinetuneOptions, task: Task, tokenizer: Tokenizer, encoded: Callable[..., Features]
) -> Callable[[int], Features] | None:
    """The training examples as an epoch reads them under BPE-dropout, None without it; `encoded`: from a tokenizer to features.

    ValueError where it would have no effect.
    """
    rate = options.bpe_dropout
    if not rate:
        return None
    if task.kind not in DROPPING or task.marked:
        kinds = "relations" if task.marked else task.kind
        raise ValueError(
            f"--set bpe_dropout={rate:g} is for whole texts ({', '.join(DROPPING)}), not for {kinds}: leave it out"
        )
    DroppingTokenizer(tokenizer, rate, "")  # refuses other kinds of tokenizers now

    @lru_cache(maxsize=1)
    def again(epoch: int) -> Features:
        return encoded(tokenizer=DroppingTokenizer(tokenizer, rate, f"bpe-dropout {options.seed} {epoch}"))

    return again
