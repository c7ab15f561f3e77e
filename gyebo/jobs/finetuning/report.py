"""The report of a fine-tuning: plots, a model card, and for several seeds mean and standard deviation."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gyebo
from gyebo.config import toml
from gyebo.config.finetune import FinetuneOptions, scratch
from gyebo.config.flags import words_for
from gyebo.figures.tasks import MOST, confusion_matrix, learning_curve, score_by_length
from gyebo.interchange.model_card import model_card
from gyebo.jobs.finetuning.setup import TaskPart
from gyebo.jobs.places import published, published_name
from gyebo.jobs.results import ClassResult, FinetuneResult, FinetuneSummary, SeedSummary, TaskResult
from gyebo.models import family as tree
from gyebo.models.tree.row import TEXT
from gyebo.tasks.kinds.kind import Kind
from gyebo.tasks.kinds.table import find_kind
from gyebo.tasks.metrics.metrics import by_length, confusion, seed_statistics
from gyebo.tasks.splits import TaskData, open_task
from gyebo.tasks.text_answers import target_of

TEXT_TO_TEXT = "text2text-generation"  # the hub's tag of a model that writes what others answer with a head
CONTINUING = "text-generation"  # of a decoder alone, whatever it writes
CURVE, CONFUSION, LENGTHS = "learning.png", "confusion.png", "lengths.png"


def pictures(
    out: Path, tasks: Sequence[TaskPart], score: str, predictions: list[list[Any]], records: list[dict[str, Any]]
) -> dict[str, str]:
    """Plot the learning curve of the score and, for few classes, the confusion matrix; returns {caption: file}. Of several
    tasks the curve alone, of the mean of their scores."""
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record]
    scores = [(record["step"], record["evaluation"][score]) for record in records if "evaluation" in record]
    learning_curve(out / CURVE, losses, scores, score)
    drawn = {"the learning curve": CURVE}
    if len(tasks) == 1:
        drawn |= _of_one_task(out, tasks[0], predictions[0])
    return drawn


def _of_one_task(out: Path, part: TaskPart, predictions: list[Any]) -> dict[str, str]:
    data, kind = part.data, part.kind
    labels = data.task.labels
    drawn: dict[str, str] = {}
    if kind.picture == "confusion" and labels and len(labels) <= MOST:
        drawn |= _confusion(out, data, predictions, labels)
    if kind.picture == "lengths":
        assert part.texts is not None
        name, called = kind.score_by_length
        lengths = by_length(name, predictions, [target_of(part.texts, example) for example in data.test])
        score_by_length(out / LENGTHS, {part.name: [(words, score) for words, _, score in lengths]}, called)
        drawn[f"{called.partition(',')[0]} by length ({data.measured})"] = LENGTHS
    return drawn


def _confusion(out: Path, data: TaskData, predictions: list[Any], labels: Sequence[str]) -> dict[str, str]:
    """As `pictures`; a model that generates may answer what is no class, which the plot leaves out and the caption counts."""
    pairs = zip(predictions, data.test, strict=True)
    kept = [(found, example) for found, example in pairs if isinstance(found, Mapping) or found in labels]
    if not kept:
        return {}
    counts = confusion([found for found, _ in kept], [example for _, example in kept], labels)
    key = confusion_matrix(out / CONFUSION, counts, labels)
    others = len(predictions) - len(kept)
    left_out = f", without {others:,} answers that are no class" if others else ""
    named = "".join(f"; {number} is {label}" for number, label in key.items())
    return {f"confusion matrix ({data.measured}{left_out}){named}": CONFUSION}


def by_class(part: TaskPart, predictions: list[Any]) -> list[ClassResult]:
    """Precision, recall and F1 of each class on the test set; none of a kind whose answers are no classes."""
    if part.kind.by_class is None:
        return []
    counts = part.kind.by_class(predictions, part.data.test, part.data.task.labels or ())
    return [_class_result(name, *numbers) for name, numbers in counts.items()]


def _class_result(name: str, right: int, predicted: int, true: int) -> ClassResult:
    precision, recall, f1 = (right / whole if whole else 0.0 for whole in (predicted, true, (predicted + true) / 2))
    return ClassResult(name=name, precision=precision, recall=recall, f1=f1, examples=true)


def card(options: FinetuneOptions, out: Path, result: FinetuneResult, over: FinetuneSummary | None = None) -> str:
    """The model card of a fine-tuned model. `over`: the `summary` of all seeds, where the model is the best of several."""
    family, kind, tasks = tree.find(result.family), find_kind(result.kind), [open_task(task) for task in options.tasks]
    options = published(options)
    counts = result.tasks.values() or [result.examples]
    titles = "; ".join(f"{task.title} ({count:,} examples)" for task, count in zip(tasks, counts, strict=True))
    seeds = over.seeds if over else [result.seed]
    others = ", ".join(map(str, seeds))
    chosen = f"seed {result.seed}" + (f", the best of seeds {others} on the validation set" if over else "")
    started = None if scratch(options.model) else options.model
    return model_card(
        name=out.name,
        family=family.name,
        title=family.title,
        year=family.year,
        paper=family.paper,
        size=f"{options.model}, from scratch" if started is None else f"fine-tuned from {started}",
        parameters=result.parameters,
        corpus=titles,
        tokens=result.tokens,
        budget=f"{result.steps:,} steps of {result.step_size} ({result.epochs:.2f} epochs), {chosen}",
        metrics=_metrics(result, over),
        command=command_of(options, out, seeds),
        base_model=started,
        pictures=result.pictures,
        by_class=(result.measured, [(c.name, c.precision, c.recall, c.f1, c.examples) for c in result.classes]),
        pipeline_tag=_pipeline_tag(kind, result),
        of="texts with pictures" if kind.head and kind.head.sees else "text",
        auto_class=result.auto_class,
        limitations=[
            *([f"an ablation: trained and evaluated {without(options.ablate)}"] if options.ablate else []),
            *(task.note for task in tasks if task.note),
            *(f"{_words(name)}: {signature}" for name, signature in result.signatures.items()),
        ],
        version=gyebo.__version__,
    )


def without(side: str) -> str:
    """What is said of an ablation."""
    return f"without the {side}s of its examples"


def _pipeline_tag(kind: Kind, result: FinetuneResult) -> str:
    if result.answer != TEXT:
        return kind.pipeline_tag
    if result.auto_class == "AutoModelForCausalLM":
        return CONTINUING
    return TEXT_TO_TEXT if kind.head else kind.pipeline_tag


def _metrics(result: FinetuneResult, over: FinetuneSummary | None) -> dict[str, float | int | str]:
    parts = {"test": result.measured, "valid": "validation"}
    found: dict[str, float | int | str] = {
        f"{_words(name)} ({called})": value for part, called in parts.items() for name, value in getattr(result, part).items()
    }
    if over:
        found |= {
            f"{_words(name)} ({result.measured}), all seeds": f"{value.mean:.4g} ± {value.deviation:.2g}"
            for name, value in over.test.items()
        }
    return found


def _words(name: str) -> str:
    return name.replace("_", " ")


def command_of(options: FinetuneOptions, out: Path, seeds: Sequence[int]) -> str:
    """The command line of this run: every option that differs from its default."""
    left_out = {"model", "seed", "further_tasks"}
    given = toml.flat(options.model_dump(mode="json", exclude=left_out, exclude_defaults=True))
    name = given.pop("task.name")
    if options.further_tasks:  # each with its own data
        places = [given.pop("task.data", None), *(task.data for task in options.further_tasks)]
        named = zip((task.name for task in options.tasks), places, strict=True)
        name = ",".join(f"{task}={place}" if place else task for task, place in named)
    given |= {} if list(seeds) == [0] else {"seed": ",".join(map(str, seeds))}
    return shlex.join(["gyebo", "finetune", options.model, name, "-o", published_name(str(out)), *words_for(given, "finetune")])


def summary(results: Sequence[TaskResult]) -> FinetuneSummary:
    """Several seeds as one record: values, mean and standard deviation of every metric; the best seed on validation."""
    first = results[0]
    best = max(results, key=lambda result: result.valid[first.score])
    return FinetuneSummary(
        task=first.task,
        kind=first.kind,
        model=first.model,
        score=first.score,
        measured=first.measured,
        examples=first.examples,
        lr=first.lr,
        parameters=first.parameters,
        auto_class=first.auto_class,
        ablate=first.ablate,
        signatures=first.signatures,
        seeds=[result.seed for result in results],
        valid={name: _over_seeds([result.valid[name] for result in results]) for name in first.valid},
        test={name: _over_seeds([result.test[name] for result in results]) for name in first.test},
        best_seed=best.seed,
    )


def _over_seeds(values: list[float]) -> SeedSummary:
    found = seed_statistics(values)
    return SeedSummary(mean=found.mean, deviation=found.deviation, values=[*values])


def lines(found: FinetuneSummary) -> list[str]:
    """A summary for the terminal."""
    seeds = found.seeds
    left_out = f", {without(found.ablate)}" if found.ablate else ""
    shown = [f"{found.task} with {found.model}{left_out}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}:"]
    for name, value in found.test.items():
        deviation = f" ± {value.deviation:.4f} ({', '.join(f'{v:.4f}' for v in value.values)})" if len(seeds) > 1 else ""
        shown.append(f"  {_words(name):<22} {value.mean:.4f}{deviation}, evaluated on {found.measured}")
    shown += [f"  {_words(name):<22} {signature}" for name, signature in found.signatures.items()]
    return shown
