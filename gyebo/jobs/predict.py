"""`gyebo predict`: what a fine-tuned model says of the texts of a file; and a task's metrics of one that stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gyebo.config.finetune import TaskOptions
from gyebo.interchange import load
from gyebo.interchange.files import read_json
from gyebo.jobs.finetune import write_predictions
from gyebo.jobs.taskdata import read_task
from gyebo.tasks import linear
from gyebo.tasks.features import encode
from gyebo.tasks.heads import TaskModel
from gyebo.tasks.metrics import measure
from gyebo.tasks.predicting import predict as predict_examples
from gyebo.tasks.task import Example, Task
from gyebo.tasks.user_data import user_task
from gyebo.training.machine import DTYPES, pick_device

def open_model(name: str) -> tuple[Any, Any]:
    """A fine-tuned model and its tokenizer (None for the linear baseline); ValueError where it is not fine-tuned."""
    config = Path(name) / "config.json"
    if config.is_file() and read_json(config).get("model_type") == linear.MODEL_TYPE:
        return linear.load(name), None
    model, tokenizer = load(name)
    if not isinstance(model, TaskModel):
        raise ValueError(f"{name} is a {type(model).__name__} without the head of a task: gyebo finetune {name} TASK -o DIR makes one")
    if tokenizer is None:
        raise ValueError(f"{name} has no tokenizer: text can't be read with it")
    return model, tokenizer


def kind_of(model: Any) -> str:
    """The kind of task that a model does."""
    if isinstance(model, linear.LinearModel):
        return "classification" if model.labels is not None else "regression"
    return "regression" if model.problem == "regression" else model.kind


def answers(model: Any, tokenizer: Any, examples: list[Example], *, device: str, precision: str, max_length: int | None) -> list[Any]:
    """Predictions for examples, as `gyebo/tasks/task.py` fixes them."""
    if isinstance(model, linear.LinearModel):
        return model.predict(examples)
    place, kind = pick_device(device), kind_of(model)
    labels = model.labels if kind in ("classification", "tagging", "dependency") else None
    length = min(max_length or model.config.context, model.config.context)
    blank = [_unlabelled(example) for example in examples]
    features = encode(kind, blank, tokenizer, labels, length)
    half = partial(torch.autocast, place.type, DTYPES[precision], enabled=precision != "float32")
    return predict_examples(model.to(place), features, blank, autocast=half)


def _unlabelled(example: Example) -> Example:
    return replace(example, label=None, tags=(), heads=(), relations=())


def predict(
    name: str,
    file: str,
    out: Path | None = None,
    *,
    text: str | None = None,
    pair: str | None = None,
    device: str = "auto",
    precision: str = "float32",
) -> list[dict[str, Any]]:
    """What a fine-tuned model says of each row of a file: a text a line for `.txt`, else its columns.

    Written to `out` as JSON lines where it is given. Raises ValueError for a kind without a file format, and for what is wrong
    in the file.
    """
    model, tokenizer = open_model(name)
    kind = kind_of(model)
    if kind == "dependency":
        raise ValueError(f"{name} parses words of a treebank: use gyebo evaluate {name} TASK")
    examples = list(_lines(Path(file)) if _is_text(file) and kind != "spans" else _rows(user_task(kind, text, pair), file))
    if not examples:
        raise ValueError(f"{file}: no text in it")
    found = answers(model, tokenizer, examples, device=device, precision=precision, max_length=None)
    if out is not None:
        write_predictions(out, examples, found)
    return [{"id": example.id, "prediction": prediction} for example, prediction in zip(examples, found)]


def _is_text(file: str) -> bool:
    return Path(file).name.removesuffix(".gz").removesuffix(".zst").endswith(".txt")


def _lines(path: Path) -> Iterator[Example]:
    from gyebo.tasks.readers import lines

    return (Example(id=f"line {number}", text=line) for number, line in enumerate(lines(path), 1) if line.strip())


def _rows(task: Task, file: str) -> Iterator[Example]:
    return task.read(file, labelled=False)


def evaluate_task(
    name: str, options: TaskOptions, *, device: str = "auto", precision: str = "float32", predictions: Path | None = None
) -> dict[str, Any]:
    """A task's metrics of a fine-tuned model on the part that fine-tuning measures on.

    Raises ValueError where the model does another kind of task, or knows other labels.
    """
    model, tokenizer = open_model(name)
    data = read_task(options)
    kind, task = kind_of(model), data.task
    if kind != task.kind:
        raise ValueError(f"{name} does {kind}, but {task.name} is {task.kind}: gyebo finetune ... {task.name} -o DIR makes the head")
    labels = set(model.labels or ())
    unknown = sorted(set(task.labels or ()) - labels) if kind in ("classification", "tagging", "dependency") else []
    if unknown:
        raise ValueError(f"{name} does not know the labels {', '.join(unknown[:5])} of {task.name}; it knows {', '.join(sorted(labels))}")
    found = answers(model, tokenizer, data.test, device=device, precision=precision, max_length=task.max_length)
    if predictions is not None:
        write_predictions(predictions, data.test, found)
    return {"task": task.name, "measured": data.measured, "examples": len(data.test), **measure(task, found, data.test)}


def as_lines(rows: list[dict[str, Any]]) -> str:
    """Predictions as JSON lines."""
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
