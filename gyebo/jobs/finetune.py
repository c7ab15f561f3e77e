"""`gyebo finetune`: a pretrained model learns a task; the weights that are best on validation stay."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from gyebo.config import toml
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.interchange import load, save
from gyebo.jobs import budget, runs
from gyebo.jobs.corpora import roles_of
from gyebo.jobs.setup import MEASURE_SECONDS, model_config
from gyebo.jobs.taskdata import TaskData, read_task
from gyebo.models import family as tree
from gyebo.tasks.features import ExampleRows, Features, encode
from gyebo.tasks.heads import TaskModel, add_head
from gyebo.tasks.learning import TaskObjective
from gyebo.tasks.metrics import measure
from gyebo.tasks.predicting import predict
from gyebo.tasks.relation import with_markers
from gyebo.tasks.task import Task
from gyebo.text.tokenizer import Tokenizer
from gyebo.training import log
from gyebo.training.loop import Rhythm, resume, train
from gyebo.training.machine import DTYPES, keep_freed_memory, peak_memory, pick_device, reset_peak_memory
from gyebo.training.optimizer import default_lr
from gyebo.training.progress import Progress
from gyebo.training.trainer import Trainer, initial_seed

HEADS = {"regression": "classification"}  # kinds of task that have the head of another kind
WIDE = 768  # the width for which tasks give their learning rate
PREDICTIONS = "predictions.jsonl"


@dataclass
class Setup:
    """All that a fine-tuning is made of."""

    options: FinetuneOptions
    data: TaskData
    tokenizer: Tokenizer
    make_model: Callable[[], TaskModel]
    features: dict[str, Features]
    rows: ExampleRows
    batch: int
    steps: int
    lr: float
    device: torch.device

    @property
    def kind(self) -> str:
        """The task's."""
        return self.data.task.kind

    @property
    def steps_per_epoch(self) -> float:
        """Updates in an epoch."""
        return len(self.rows) / self.batch

    def trainer(self, precision: str) -> Trainer:
        """A fresh trainer."""
        optim = self.options.optim.model_copy(update={"lr": self.lr})
        micro = self.options.micro_batch or self.batch
        objective = TaskObjective(self.kind)
        return Trainer(
            self.make_model(), objective, self.rows, optim, self.steps, self.batch, micro, self.options.seed, self.device, precision
        )

    def autocast(self, precision: str) -> Callable[[], Any]:
        """The context of forward passes."""
        return lambda: torch.autocast(self.device.type, DTYPES[precision], enabled=precision != "float32")


def set_up(options: FinetuneOptions) -> Setup:
    """Examples, tokenizer, model and features; ValueError names what doesn't fit together."""
    device = pick_device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    data = read_task(options.task)
    task = data.task
    if task.kind == "dialogue-state":
        raise ValueError(f"{task.name}: there is no head for dialogue states, so it can't be fine-tuned; its metrics are there")
    make, tokenizer, context = _origin(options, task)
    length = min(options.max_length or task.max_length, context)
    if options.max_length and options.max_length > context:
        raise ValueError(f"--max-length {options.max_length} is longer than the {context} positions of {options.model}")
    labels = task.labels if task.kind in ("classification", "tagging", "dependency") else None
    features = {
        name: encode(task.kind, getattr(data, name), tokenizer, labels, length) for name in ("train", "valid", "test")
    }
    rows = ExampleRows(features["train"])
    batch = min(options.batch or task.batch, len(rows))
    steps = max(1, math.ceil((options.epochs or task.epochs) * len(rows) / batch))
    width = make().config.width
    return Setup(options, data, tokenizer, make, features, rows, batch, steps, learning_rate(options, task, width), device)


def learning_rate(options: FinetuneOptions, task: Task, width: int) -> float:
    """The peak rate: as asked, else that of training from scratch, else the task's, larger for narrower models."""
    if options.optim.lr:
        return options.optim.lr
    if scratch(options.model):
        return default_lr(width)
    return float(f"{task.lr * WIDE / width:.2g}")


def _origin(options: FinetuneOptions, task: Task) -> tuple[Callable[[], TaskModel], Tokenizer, int]:
    """What makes the model with its head, the tokenizer with what the task adds, and the longest text."""
    named = scratch(options.model)
    if named:
        family = tree.find(named[0])
        tree.find_size(family, named[1])
        if not options.tokenizer:
            raise ValueError(f"{options.model} starts from scratch and needs a tokenizer: --tokenizer DIR (a trained run will do)")
        tokenizer = Tokenizer.load(options.tokenizer).for_family(roles_of(family))
        cls = tree.model_class(family.name)
        config = model_config(cls, _Sized(named[1]), tokenizer)
        body: Callable[[], Any] = lambda: cls(config)  # noqa: E731
    else:
        opened, found = load(options.model)
        if found is None:
            raise ValueError(f"{options.model} has no tokenizer: text can't be read with it")
        family, tokenizer, config = tree.find(opened.family), found, opened.config
        body = lambda: _body(load(options.model)[0])  # noqa: E731
    if task.marked:
        tokenizer = with_markers(tokenizer)
    kind = HEADS.get(task.kind, task.kind)
    labels = {"regression": 1, "spans": None, "choice": None}.get(task.kind, task.labels)
    problem = "regression" if task.kind == "regression" else None

    def make() -> TaskModel:
        torch.manual_seed(initial_seed(options.seed))
        model = body()
        grow_vocabulary(model, tokenizer.vocab_size)
        model = add_head(model, family.head_style, kind, labels, options.dropout, problem)
        freeze(model, options.optim.freeze)
        return model

    return make, tokenizer, config.context


@dataclass
class _Sized:
    """What `model_config` asks of options, for a size from scratch."""

    size: str
    context: None = None

    @property
    def model(self) -> dict[str, Any]:
        return {}


def _body(model: Any) -> Any:
    """The pretrained body: of a model that was fine-tuned already, without its head."""
    return model.body if isinstance(model, TaskModel) else model


@torch.no_grad()
def grow_vocabulary(model: Any, size: int) -> None:
    """Add rows to the token embedding, drawn like fresh ones, until there are `size`."""
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


def freeze(model: TaskModel, groups: int) -> None:
    """Keep the first groups of layers as they are; ValueError where nothing but the head would be left."""
    layers = model.layer_groups()
    if groups >= len(layers):
        raise ValueError(f"optim.freeze = {groups}, but the model has {len(layers)} groups of layers with its head: freeze fewer")
    for group in layers[:groups]:
        for parameter in group:
            parameter.requires_grad_(False)


def finetune(
    options: FinetuneOptions, out: Path, *, resume: bool = False, overwrite: bool = False, console: Console | None = None
) -> dict[str, Any]:
    """Fine-tune one seed in `out`, or go on with it; gives its result, which `run.toml` stores too.

    The root of `out` holds the weights of the best evaluation. Raises ValueError for options that don't fit,
    `training.loop.Stopped` after a signal, `Failed` where the loss is not finite.
    """
    found = runs.claim(out, resume=resume, overwrite=overwrite)
    record = runs.read(out) if found else None
    if record:
        stored = toml.check(FinetuneOptions, record["options"], str(out / "run.toml"))
        changed = runs.differences(stored, options)
        if changed:
            raise ValueError(f"{out} can't be resumed with other options: {'; '.join(changed)}. Use a new -o to change them")
        if "result" in record:
            return record["result"]
    try:
        setup = set_up(options)
        record = record or _record(setup, out, console)
        return _run(setup, out, record, console)
    except BaseException:
        runs.abandon(out)
        raise


def _record(setup: Setup, out: Path, console: Console | None) -> dict[str, Any]:
    """What a fresh run notes before it starts; the precision is chosen here."""
    data = setup.data
    if console:
        for note in data.notes:
            console.print(f"note: {note}", highlight=False)
    precision, _ = budget.choose_precision(setup.trainer, setup.device, setup.options.precision, MEASURE_SECONDS / 5)
    record = {
        "kind": "finetune",
        "options": setup.options.model_dump(mode="json"),
        "plan": {"steps": setup.steps, "precision": precision, "lr": setup.lr, "batch": setup.batch},
        "task": {"name": data.task.name, "examples": {name: len(getattr(data, name)) for name in setup.features}},
        "versions": runs.versions(),
        "state": {"finished": False, "weights": "best"},
    }
    runs.write(out, record)
    return record


def _run(setup: Setup, out: Path, record: dict[str, Any], console: Console | None) -> dict[str, Any]:
    plan, task = record["plan"], setup.data.task
    if console:
        cut = setup.features["train"].cut
        console.print(
            f"{task.name}: {len(setup.data.train):,} examples to learn from, {len(setup.data.valid):,} to choose by, "
            f"{len(setup.data.test):,} to be measured on ({setup.data.measured})" + (f"; {cut:,} were cut" if cut else ""),
            highlight=False,
        )
        console.print(
            f"{plan['steps']:,} steps of {plan['batch']} examples, {plan['precision']}, learning rate {plan['lr']:g}", highlight=False
        )
    reset_peak_memory(setup.device)
    trainer = setup.trainer(plan["precision"])
    start = time.perf_counter()
    _train(setup, trainer, out, plan, console)
    seconds = max(time.perf_counter() - start, trainer.seconds)
    return _finish(setup, trainer, out, record, seconds, console)


def _train(setup: Setup, trainer: Trainer, out: Path, plan: dict[str, Any], console: Console | None) -> None:
    options, task = setup.options, setup.data.task
    resume(trainer, out, console.print if console else print)
    every = max(1, round(setup.steps_per_epoch / options.evaluations))
    history = [r["evaluation"][task.score] for r in log.read(out) if "evaluation" in r] if trainer.step else []

    def evaluate(model: Any) -> tuple[dict[str, float], list[str]]:
        metrics = score(setup, model, "valid", plan["precision"])[0]
        if not history or metrics[task.score] > max(history):
            save(model, setup.tokenizer, out)
        history.append(metrics[task.score])
        return metrics, []

    def enough() -> bool:
        return options.patience is not None and bool(history) and len(history) - 1 - history.index(max(history)) >= options.patience

    def keep(model: Any) -> None:
        """The best weights are saved when they are found; before the first evaluation there are none."""

    checkpoints = Rhythm(max(1, round(setup.steps_per_epoch)), every, 2)
    progress = Progress(console, trainer.model.flops(1, max(1, round(setup.rows.mean_tokens))))  # type: ignore[operator]
    train(trainer, out, checkpoints, evaluate=evaluate, save=keep, progress=progress, enough=enough)


def score(setup: Setup, model: Any, part: str, precision: str) -> tuple[dict[str, float], list[Any]]:
    """The task's metrics of a model on a part of the examples, and its predictions."""
    examples, task = getattr(setup.data, part), setup.data.task
    predictions = predict(model, setup.features[part], examples, autocast=setup.autocast(precision))
    return measure(task, predictions, examples), predictions


def _finish(
    setup: Setup, trainer: Trainer, out: Path, record: dict[str, Any], seconds: float, console: Console | None
) -> dict[str, Any]:
    from gyebo.jobs.taskreport import card, pictures

    data, plan = setup.data, record["plan"]
    best = load(out)[0].to(setup.device)
    valid, _ = score(setup, best, "valid", plan["precision"])
    test, predictions = score(setup, best, "test", plan["precision"])
    write_predictions(out / PREDICTIONS, data.test, predictions)
    result = {
        "task": data.task.name,
        "model": setup.options.model,
        "seed": setup.options.seed,
        "score": data.task.score,
        "measured": data.measured,
        "valid": valid,
        "test": test,
        "steps": trainer.step,
        "epochs": trainer.step / setup.steps_per_epoch,
        "examples": len(data.train),
        "lr": plan["lr"],
        "precision": plan["precision"],
        "parameters": best.count_parameters(),
        "seconds": seconds,
        "memory_bytes": peak_memory(setup.device),
        "notes": data.notes,
    }
    drawn = pictures(out, data, predictions, log.read(out))
    save(best, setup.tokenizer, out, card=card(setup, out, result, drawn))
    runs.write(out, record | {"state": {"finished": True, "weights": "best"}, "result": result})
    return result


def write_predictions(path: Path, examples: list[Any], predictions: list[Any]) -> None:
    """One JSON object a line: the example's id, its label where it has one, and the prediction."""
    aside = path.with_name(f".{path.name}.part")
    with aside.open("w", encoding="utf-8") as lines:
        for example, prediction in zip(examples, predictions):
            row: dict[str, Any] = {"id": example.id}
            if example.label is not None:
                row["label"] = example.label
            if isinstance(prediction, dict):
                row["prediction"] = max(prediction, key=prediction.__getitem__)
                row["probabilities"] = {name: round(share, 6) for name, share in prediction.items()}
            else:
                row["prediction"] = prediction
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    aside.replace(path)


