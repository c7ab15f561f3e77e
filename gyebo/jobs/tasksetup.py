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

from gyebo.config.finetune import FinetuneOptions, TranslationOptions, idle_on_features, scratch
from gyebo.generation.options import GenerationOptions
from gyebo.interchange import load
from gyebo.jobs.corpora import roles_of, with_pieces
from gyebo.jobs.shape import shaped
from gyebo.jobs.taskdata import TaskData, open_task, read_task
from gyebo.models import family as tree
from gyebo.objectives.translation import Translation
from gyebo.tasks import translation
from gyebo.tasks.features import ExampleRows, Features, encode
from gyebo.tasks.heads import TaskModel, add_head, drop_untied_output, reads_windows
from gyebo.tasks.learning import TaskObjective
from gyebo.tasks.mixing import check_layers
from gyebo.tasks.pooling import body_of
from gyebo.tasks.predicting import predict
from gyebo.tasks.relation import with_markers
from gyebo.tasks.task import Task
from gyebo.tasks.translation import PairRows
from gyebo.text.dropout import DroppingTokenizer
from gyebo.text.tokenizer import Tokenizer
from gyebo.text.training import train_tokenizer
from gyebo.training.machine import DTYPES, make_ready, pick_device
from gyebo.training.optimizer import default_lr
from gyebo.training.trainer import Trainer, initial_seed

PARTS = ("train", "valid", "test")
DROPPING = ("classification", "regression", "choice", "translation")  # kinds whose answers don't depend on where a piece ends
NAMED = ("classification", "tagging", "dependency")  # kinds whose labels have names
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
    search: GenerationOptions | None = None  # how translations are found

    @property
    def steps_per_epoch(self) -> float:
        """Updates in an epoch."""
        return len(self.rows) / self.batch

    @property
    def step_size(self) -> str:
        """What one update learns from, in words."""
        return f"{self.batch} examples" if self.search is None else f"{self.options.translation.batch_tokens:,} tokens"

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
            self.options.optim.model_copy(update={"lr": plan["lr"], "warmup": plan["warmup"]}),
            plan["steps"],
            plan["batch"],
            plan["micro_batch"],
            self.options.seed,
            self.device,
            plan["precision"],
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
    make_ready(device)
    if open_task(options.task).kind == "dialogue-state":
        raise ValueError(f"{options.task.name} can be read and scored, but not fine-tuned: it has no head")
    data = read_task(options.task)
    task = data.task
    origin = _fresh(options, data, *named) if (named := scratch(options.model)) else _pretrained(options.model)
    _check_kind(options, task, origin.family)
    check_features(options, origin.family)
    if task.kind == translation.KIND:
        return _translating(options, data, origin, device)
    tokenizer = with_markers(origin.tokenizer) if task.marked else origin.tokenizer
    length = _max_length(options, task, origin.config.context)
    labels = task.labels if task.kind in NAMED else None
    features = {part: encode(task.kind, getattr(data, part), tokenizer, labels, length) for part in PARTS}
    count = len(features["train"])
    if options.batch and options.batch > count:
        raise ValueError(f"--batch {options.batch} is more than the {count:,} rows of the examples to learn from: lower it")
    batch = min(options.batch or task.batch, count)
    _refuse_parts(options, origin.family, task, batch)
    encoded = partial(encode, task.kind, data.train, labels=labels, max_length=length)
    return Setup(
        options,
        data,
        origin.family,
        tokenizer,
        partial(_make_model, options, origin, task, tokenizer),
        features,
        ExampleRows(features["train"], _with_dropped_merges(options, task, tokenizer, encoded)),
        TaskObjective(task.kind),
        length,
        batch,
        _steps(options, task, count / batch),
        learning_rate(options, task, origin),
        device,
    )


def _refuse_parts(options: FinetuneOptions, family: tree.Family, task: Task, batch: int) -> None:
    """ValueError where a head with norms over the batch would learn from less than that."""
    if not reads_windows(family.head_style, head_kind(task.kind)):
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


def _steps(options: FinetuneOptions, task: Task, epoch: float) -> int:
    """Updates, where an epoch has so many."""
    return options.steps or max(1, math.ceil((options.epochs or task.epochs) * epoch))


def _check_kind(options: FinetuneOptions, task: Task, family: tree.Family) -> None:
    """ValueError where a family can't learn a task, or an option has no effect on it."""
    translates = family.objective == translation.KIND
    if translates != (task.kind == translation.KIND):
        does = "translates, and has no head for" if translates else "does not translate, as"
        better = "an encoder, as bert:mini" if translates else "one that does, as transformer:mini"
        raise ValueError(f"{options.model} {does} {task.name} ({task.kind}): start from {better}")
    if options.gradient_windows and not reads_windows(family.head_style, head_kind(task.kind)):
        raise ValueError(
            f"--set gradient_windows={options.gradient_windows} has no effect on {task.kind} with {family.name}, which reads "
            "in no windows: leave it out"
        )
    if not translates and options.translation != TranslationOptions():
        raise ValueError(f"--set translation... has no effect on {task.name}, which is {task.kind}: leave it out")
    if translates:
        if options.translation.vocab_size and not scratch(options.model):
            raise ValueError(
                f"--set translation.vocab_size has no effect on {options.model}, which has a tokenizer: leave it out"
            )
        for name in ("batch", "micro_batch"):
            if getattr(options, name) is not None:
                flag = "--batch" if name == "batch" else "--set micro_batch"
                raise ValueError(f"{flag} has no effect on a translation: use --set translation.batch_tokens")
        if options.dropout != FinetuneOptions.model_fields["dropout"].default:
            raise ValueError("--set dropout is that of a head, which a translation has not: use --set body_dropout")


def _translating(options: FinetuneOptions, data: TaskData, origin: Origin, device: torch.device) -> Setup:
    """What learning to translate is made of."""
    asked, tokenizer, task = options.translation, origin.tokenizer, data.task
    length = _max_length(options, task, origin.config.context)
    start = origin.config.first_id
    features = {part: translation.encode(getattr(data, part), tokenizer, length, start, drop=part == "train") for part in PARTS}
    kept = [data.train[number] for number in features["train"].example]
    encoded = partial(translation.encode, kept, max_length=length, start=start)
    again = _with_dropped_merges(options, task, tokenizer, encoded)
    rows = translation.pair_rows(features["train"], asked.batch_tokens, again)
    return Setup(
        options,
        data,
        origin.family,
        tokenizer,
        partial(_make_translator, options, origin),
        features,
        rows,
        Translation(asked.smoothing),
        length,
        1,
        _steps(options, task, len(rows)),
        learning_rate(options, task, origin),
        device,
        translation.search_options(asked.beams, asked.length_penalty, asked.coverage_penalty),
    )


def _make_translator(options: FinetuneOptions, origin: Origin) -> Any:
    """The model; all randomness from the seed."""
    torch.manual_seed(initial_seed(options.seed))
    model = with_dropout(origin.body(), options.body_dropout)
    freeze(model, options.optim.freeze)
    return model


def _with_dropped_merges(
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


def gives_features(options: FinetuneOptions, family: tree.Family) -> bool:
    """Whether the body stays as it is, as its layers are features: a trained model of style mix."""
    return family.head_style == "mix" and not scratch(options.model)


def check_features(options: FinetuneOptions, family: tree.Family) -> None:
    """ValueError for options that mean nothing where the body gives features, and for those that mean something there only."""
    check_layers(family.head_style, options.layers)
    if options.layers and scratch(options.model):
        raise ValueError(
            f"layers = {options.layers!r} chooses among the layers of a trained model: leave it out with {options.model}"
        )
    idle = idle_on_features(options) if gives_features(options, family) else None
    if idle:
        raise ValueError(
            f"{idle} has no effect on {family.title}: its layers are features, which stay as they are; leave it out"
        )


def learning_rate(options: FinetuneOptions, task: Task, origin: Origin) -> float:
    """The peak rate: as asked, else that of training from scratch, more for a head alone, else the task's, larger for narrower
    models."""
    width = origin.config.width
    if options.optim.lr:
        return options.optim.lr
    if scratch(options.model) or task.kind == translation.KIND:
        return default_lr(width)
    if gives_features(options, origin.family):
        return HEAD_ALONE * default_lr(width)
    return float(f"{task.lr * WIDE / width:.2g}")


def _max_length(options: FinetuneOptions, task: Task, context: int) -> int:
    if options.max_length and options.max_length > context:
        raise ValueError(f"--max-length {options.max_length} is longer than the {context} positions of {options.model}")
    return min(options.max_length or task.max_length, context)


def _fresh(options: FinetuneOptions, data: TaskData, name: str, size: str) -> Origin:
    """A size of a family, whose weights are drawn."""
    family = tree.find(name)
    tree.find_size(family, size)
    _check_kind(options, data.task, family)
    cls = tree.model_class(name)
    tokenizer = _tokenizer(options, data, cls.sizes[size].vocab_size).for_family(roles_of(family))
    config = shaped(cls.sizes[size], options.shape, tokenizer, section="shape")
    return Origin(family, tokenizer, config, lambda: with_pieces(cls(config), tokenizer))


def _tokenizer(options: FinetuneOptions, data: TaskData, ids: int) -> Tokenizer:
    """The tokenizer that is named; of a translation else one that is learned from both sides of the training pairs."""
    asked = options.translation.vocab_size
    if options.tokenizer:
        if asked is not None:
            raise ValueError(f"--set translation.vocab_size={asked} has no effect beside --tokenizer: leave one out")
        return Tokenizer.load(options.tokenizer)
    if data.task.kind != translation.KIND:
        raise ValueError(f"{options.model} starts from scratch and needs a tokenizer: --tokenizer DIR (a trained run will do)")
    texts = (text for example in data.train for text in (example.text, str(example.label)))
    tokenizer = train_tokenizer(texts, "bpe", asked or ids)
    data.notes.append(
        f"no --tokenizer given: both languages share a byte-level BPE with {tokenizer.vocab_size:,} ids, learned from the pairs"
    )
    return tokenizer


def _pretrained(name: str) -> Origin:
    """A trained model; of one that was fine-tuned already the body, without its head."""
    opened, tokenizer = load(name)
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    return Origin(tree.find(opened.family), tokenizer, opened.config, lambda: body_of(load(name)[0]))


def _make_model(options: FinetuneOptions, origin: Origin, task: Task, tokenizer: Tokenizer) -> TaskModel:
    """The body, with what the task adds to the vocabulary, and a fresh head; all randomness from the seed."""
    kind = head_kind(task.kind)
    labels = {"regression": 1, "spans": None, "choice": None}.get(task.kind, task.labels)
    problem = "regression" if task.kind == "regression" else None
    torch.manual_seed(initial_seed(options.seed))
    body = with_dropout(origin.body(), options.body_dropout)
    if hasattr(body, "spell"):
        spell_more(body, tokenizer)
    else:
        grow_vocabulary(body, tokenizer.vocab_size)
    model = add_head(body, origin.family.head_style, kind, labels, options.dropout, problem, options.layers)
    if options.gradient_windows:
        model.head.windows = options.gradient_windows
    features = gives_features(options, origin.family)
    freeze(model, len(_layers(model)) - 1 if features else options.optim.freeze)
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


def spell_more(model: Any, tokenizer: Tokenizer) -> None:
    """Tell a model that reads characters how further ids are spelled; what predicted ids, which a task does not need, goes."""
    if tokenizer.vocab_size > model.config.vocab_size:
        drop_untied_output(model)
        model.config = replace(model.config, vocab_size=tokenizer.vocab_size)
        with_pieces(model, tokenizer)


def _layers(model: Any) -> list[list[nn.Parameter]]:
    return [group for group in model.layer_groups() if group]


def freeze(model: Any, groups: int) -> None:
    """Keep the first groups of layers as they are; ValueError where nothing would be left to learn."""
    layers = _layers(model)
    if groups >= len(layers):
        raise ValueError(f"--freeze {groups}: the model has {len(layers)} groups of layers with its head: freeze fewer")
    for group in layers[:groups]:
        for parameter in group:
            parameter.requires_grad_(False)
