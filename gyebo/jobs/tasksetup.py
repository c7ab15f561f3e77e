"""What a fine-tuning is made of, from its options: examples, tokenizer, a model with its head, rows and steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.interchange import load
from gyebo.jobs.corpora import roles_of
from gyebo.jobs.taskdata import TaskData, open_task, read_task
from gyebo.models import family as tree
from gyebo.tasks.features import ExampleRows, Features, encode
from gyebo.tasks.heads import TaskModel, add_head, reads_windows
from gyebo.tasks.learning import TaskObjective
from gyebo.tasks.pooling import body_of
from gyebo.tasks.relation import with_markers
from gyebo.tasks.task import Task
from gyebo.text.dropout import DroppingTokenizer
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.machine import DTYPES, keep_freed_memory, pick_device
from gyebo.training.optimizer import default_lr
from gyebo.training.trainer import Trainer, initial_seed

PARTS = ("train", "valid", "test")
DROPPING = ("classification", "regression", "choice")  # kinds whose answers don't depend on where a piece ends
NAMED = ("classification", "tagging", "dependency")  # kinds whose labels have names
WIDE = 768  # the width for which tasks give their learning rate


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
    make_model: Callable[[], TaskModel]
    features: dict[str, Features]
    max_length: int
    batch: int
    steps: int
    lr: float
    device: torch.device
    again: Callable[[int], Features] | None = None  # the training features of an epoch, where each has its own

    @property
    def rows(self) -> ExampleRows:
        """What is learned from."""
        return ExampleRows(self.features["train"], self.again)

    @property
    def steps_per_epoch(self) -> float:
        """Updates in an epoch."""
        return len(self.rows) / self.batch

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
            TaskObjective(self.data.task.kind),
            self.rows,
            self.options.optim.model_copy(update={"lr": plan["lr"], "warmup": plan["warmup"]}),
            plan["steps"],
            plan["batch"],
            plan["micro_batch"],
            self.options.seed,
            self.device,
            plan["precision"],
            unfreeze=self.options.optim.unfreeze,
        )

    def autocast(self, precision: str) -> Callable[[], Any]:
        """The context of forward passes."""
        return lambda: torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32")


def with_defaults(options: FinetuneOptions, family: str | None) -> FinetuneOptions:
    """The options with those of the family's own way of fine-tuning, where nothing else was asked for."""
    if family is None:
        return options
    tuning = tree.find(family).tuning
    own = {name: value for name, value in tuning.items() if name != "optim" and name not in options.model_fields_set}
    optim = {name: value for name, value in tuning.get("optim", {}).items() if name not in options.optim.model_fields_set}
    return options.model_copy(update={**own, "optim": options.optim.model_copy(update=optim)})


def set_up(options: FinetuneOptions) -> Setup:
    """Examples, tokenizer, model and features; ValueError names what doesn't fit together."""
    device = pick_device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    if open_task(options.task).kind == "dialogue-state":
        raise ValueError(f"{options.task.name} can be read and scored, but not fine-tuned: it has no head")
    data = read_task(options.task)
    task = data.task
    origin = _fresh(options, *named) if (named := scratch(options.model)) else _pretrained(options.model)
    tokenizer = with_markers(origin.tokenizer) if task.marked else origin.tokenizer
    length = _max_length(options, task, origin.config.context)
    labels = task.labels if task.kind in NAMED else None
    features = {part: encode(task.kind, getattr(data, part), tokenizer, labels, length) for part in PARTS}
    count = len(features["train"])
    if options.batch and options.batch > count:
        raise ValueError(f"--batch {options.batch} is more than the {count:,} rows of the examples to learn from: lower it")
    batch = min(options.batch or task.batch, count)
    _refuse_parts(options, origin.family, task, batch)
    return Setup(
        options,
        data,
        origin.family,
        tokenizer,
        partial(_make_model, options, origin, task, tokenizer.vocab_size),
        features,
        length,
        batch,
        max(1, math.ceil((options.epochs or task.epochs) * count / batch)),
        learning_rate(options, task, origin.config.width),
        device,
        _with_dropped_merges(options, data, tokenizer, labels, length) if options.bpe_dropout else None,
    )


def _refuse_parts(options: FinetuneOptions, family: tree.Family, task: Task, batch: int) -> None:
    """ValueError for options about windows where texts are read in none, and where a head with norms over the batch would learn
    from less than that."""
    if not reads_windows(family.head_style, head_kind(task.kind)):
        if options.gradient_windows:
            raise ValueError(
                f"--set gradient_windows={options.gradient_windows} has no effect on {task.kind} with {family.name}, which "
                "reads in no windows: leave it out"
            )
        return
    if batch < 2:
        raise ValueError(f"--batch 1: the head of {family.name} has norms over the batch, which needs two examples or more")
    if options.micro_batch and options.micro_batch < batch:
        raise ValueError(
            f"--set micro_batch={options.micro_batch}: the head of {family.name} has norms over the batch of {batch}, of which "
            "parts would learn something else: leave it out, or lower --batch"
        )


def head_kind(kind: str) -> str:
    """The kind of the head for a kind of task."""
    return "classification" if kind == "regression" else kind


def _with_dropped_merges(
    options: FinetuneOptions, data: TaskData, tokenizer: Tokenizer, labels: Any, length: int
) -> Callable[[int], Features]:
    """The training examples as an epoch reads them under BPE-dropout. ValueError where it would have no effect."""
    task, rate = data.task, options.bpe_dropout
    if task.kind not in DROPPING or task.marked:
        kinds = "relations" if task.marked else task.kind
        raise ValueError(
            f"--set bpe_dropout={rate:g} is for whole texts ({', '.join(DROPPING)}), not for {kinds}: leave it out"
        )
    DroppingTokenizer(tokenizer, rate, "")  # refuses other kinds of tokenizers now

    @lru_cache(maxsize=1)
    def again(epoch: int) -> Features:
        dropping = DroppingTokenizer(tokenizer, rate, f"bpe-dropout {options.seed} {epoch}")
        return encode(task.kind, data.train, dropping, labels, length)

    return again


def learning_rate(options: FinetuneOptions, task: Task, width: int) -> float:
    """The peak rate: as asked, else that of training from scratch, else the task's, larger for narrower models."""
    if options.optim.lr:
        return options.optim.lr
    if scratch(options.model):
        return default_lr(width)
    return float(f"{task.lr * WIDE / width:.2g}")


def _max_length(options: FinetuneOptions, task: Task, context: int) -> int:
    if options.max_length and options.max_length > context:
        raise ValueError(f"--max-length {options.max_length} is longer than the {context} positions of {options.model}")
    return min(options.max_length or task.max_length, context)


def _fresh(options: FinetuneOptions, name: str, size: str) -> Origin:
    """A size of a family, whose weights are drawn."""
    family = tree.find(name)
    tree.find_size(family, size)
    if not options.tokenizer:
        raise ValueError(f"{options.model} starts from scratch and needs a tokenizer: --tokenizer DIR (a trained run will do)")
    tokenizer = Tokenizer.load(options.tokenizer).for_family(roles_of(family))
    cls = tree.model_class(name)
    ids = {f"{role}_id": tokenizer.role_ids.get(role) for role in ("pad", "bos", "eos")}
    config = replace(cls.sizes[size], vocab_size=tokenizer.vocab_size, **ids)
    return Origin(family, tokenizer, config, partial(cls, config))


def _pretrained(name: str) -> Origin:
    """A trained model; of one that was fine-tuned already the body, without its head."""
    opened, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    return Origin(tree.find(opened.family), tokenizer, opened.config, lambda: body_of(load(name)[0]))


def _make_model(options: FinetuneOptions, origin: Origin, task: Task, vocab_size: int) -> TaskModel:
    """The body, with rows for what the task adds to the vocabulary, and a fresh head; all randomness from the seed."""
    kind = head_kind(task.kind)
    labels = {"regression": 1, "spans": None, "choice": None}.get(task.kind, task.labels)
    problem = "regression" if task.kind == "regression" else None
    torch.manual_seed(initial_seed(options.seed))
    body = with_dropout(origin.body(), options.body_dropout)
    grow_vocabulary(body, vocab_size)
    model = add_head(body, origin.family.head_style, kind, labels, options.dropout, problem)
    if options.gradient_windows:
        model.head.windows = options.gradient_windows
    freeze(model, options.optim.freeze)
    return model


def with_dropout(model: Any, rate: float | None) -> Any:
    """The model with that dropout at all its places, which are fixed when its layers are made; None: as it is."""
    if rate is None:
        return model
    places = {field.name: rate for field in fields(model.config) if field.name.rpartition("_")[2] == "dropout"}
    changed = type(model)(replace(model.config, **places))
    changed.load_state_dict(model.state_dict())
    return changed


@torch.no_grad()
def grow_vocabulary(model: Any, size: int) -> None:
    """Add rows to the token embedding, drawn like fresh ones, until there are `size`; biases of a tied output layer are 0."""
    old = model.token_embedding.weight
    if size <= len(old):
        return
    grown = nn.Embedding(size, old.shape[1], device=old.device, dtype=old.dtype)
    grown.weight.normal_(0.0, model.config.init_std)
    grown.weight[: len(old)] = old
    model.token_embedding = grown
    model.config = replace(model.config, vocab_size=size)
    if getattr(model, "lm_head", None) is not None and model.config.tied:
        model.lm_head.weight = grown.weight
        if model.lm_head.bias is not None:
            model.lm_head.bias = nn.Parameter(F.pad(model.lm_head.bias, (0, size - len(old))))


def freeze(model: TaskModel, groups: int) -> None:
    """Keep the first groups of layers as they are; ValueError where nothing would be left to learn."""
    layers = [group for group in model.layer_groups() if group]
    if groups >= len(layers):
        raise ValueError(f"--freeze {groups}: the model has {len(layers)} groups of layers with its head: freeze fewer")
    for group in layers[:groups]:
        for parameter in group:
            parameter.requires_grad_(False)
