"""What a fine-tuning leaves to read: pictures, a model card, and over several seeds a table with mean and spread."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import gyebo
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.figures.tasks import MOST, confusion_matrix, learning_curve
from gyebo.interchange import model_card
from gyebo.jobs.taskdata import TaskData
from gyebo.models import family as tree
from gyebo.tasks.metrics import confusion, mean_and_spread

PIPELINES = {
    "classification": ("text-classification", "AutoModelForSequenceClassification"),
    "regression": ("text-classification", "AutoModelForSequenceClassification"),
    "tagging": ("token-classification", "AutoModelForTokenClassification"),
    "spans": ("question-answering", "AutoModelForQuestionAnswering"),
    "choice": ("multiple-choice", "AutoModelForMultipleChoice"),
    "dependency": ("token-classification", None),
}


def pictures(out: Path, data: TaskData, predictions: list[Any], records: list[dict[str, Any]]) -> dict[str, str]:
    """Draw the learning curve and, for few classes, the confusion matrix; gives {caption: file}."""
    task = data.task
    losses = [(r["step"], r["loss"]) for r in records if "loss" in r]
    scores = [(r["step"], r["evaluation"][task.score]) for r in records if "evaluation" in r]
    learning_curve(out / "learning.png", losses, scores, task.score)
    drawn = {"the learning curve": "learning.png"}
    if task.kind == "classification" and task.labels and len(task.labels) <= MOST:
        confusion_matrix(out / "confusion.png", confusion(predictions, data.test, task.labels), task.labels)
        drawn[f"what was taken for what ({data.measured})"] = "confusion.png"
    return drawn


def card(setup: Any, out: Path, result: dict[str, Any], drawn: dict[str, str]) -> str:
    """The model card of a fine-tuned model."""
    task = setup.data.task
    model = setup.make_model()
    family = tree.find(model.family)
    pipeline, auto_class = PIPELINES[task.kind]
    measured = {f"{name} ({setup.data.measured})": value for name, value in result["test"].items()}
    chosen = {f"{name} (validation)": value for name, value in result["valid"].items()}
    return model_card(
        name=out.name,
        family=family.name,
        title=family.title,
        year=family.year,
        paper=family.paper,
        size="from scratch" if scratch(setup.options.model) else f"fine-tuned from {setup.options.model}",
        parameters=result["parameters"],
        corpus=f"{task.title} ({result['examples']:,} examples)",
        tokens=round(setup.rows.mean_tokens * setup.batch * result["steps"]),
        budget=f"{result['steps']:,} steps of {setup.batch} examples ({result['epochs']:.2f} epochs), seed {result['seed']}",
        metrics=measured | chosen,
        command=command_of(setup.options, out),
        base_model=None if scratch(setup.options.model) else setup.options.model,
        pictures=drawn,
        pipeline_tag=pipeline,
        auto_class=auto_class,
        limitations=[task.note] if task.note else [],
        version=gyebo.__version__,
    )


def command_of(options: FinetuneOptions, out: Path) -> str:
    """What one types to get this run."""
    words = ["gyebo", "finetune", options.model, options.task.name, "-o", str(out)]
    flags = options.task.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    flags |= options.model_dump(mode="json", exclude={"model", "task", "optim"}, exclude_defaults=True)
    for name, value in flags.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    for name, value in options.optim.model_dump(mode="json", exclude_defaults=True).items():
        words += ["--set", f"optim.{name}={json.dumps(value)}"]
    return shlex.join(words)


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Several seeds as one: every metric's values, mean and standard deviation; the best seed on validation."""
    first = results[0]
    parts = {}
    for part in ("valid", "test"):
        parts[part] = {name: _spread([result[part][name] for result in results]) for name in first[part]}
    best = max(results, key=lambda result: result["valid"][first["score"]])
    kept = {name: first[name] for name in ("task", "model", "score", "measured", "examples", "lr", "parameters")}
    return {**kept, "seeds": [result["seed"] for result in results], **parts, "best_seed": best["seed"]}


def _spread(values: list[float]) -> dict[str, Any]:
    found = mean_and_spread(values)
    return {"mean": found.mean, "spread": found.deviation, "values": values}


def lines(found: dict[str, Any]) -> list[str]:
    """A summary for a terminal."""
    shown = [f"{found['task']} with {found['model']}, seeds {', '.join(map(str, found['seeds']))}:"]
    for name, value in found["test"].items():
        spread = "" if value["spread"] is None else f" ± {value['spread']:.4f}"
        values = ", ".join(f"{v:.4f}" for v in value["values"])
        shown.append(f"  {name:<18} {value['mean']:.4f}{spread}  ({values}; {found['measured']})")
    return shown
