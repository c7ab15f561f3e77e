"""`gyebo evaluate`: a model on text by what it learned (bits per byte, the loss on masked tokens ...), or on a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from gyebo.config.errors import OptionError
from gyebo.config.finetune import TaskOptions
from gyebo.evaluation import measures
from gyebo.jobs.finetuned_model import FinetunedModel, open_model, open_tasks
from gyebo.jobs.held_out import open_held_out
from gyebo.jobs.opened import Given, Loaded, check_place, refuse_moving
from gyebo.jobs.pretraining.corpus import floor
from gyebo.jobs.run_directory import refuse_existing
from gyebo.tasks.data.own_file import is_own
from gyebo.tasks.metrics.metrics import measure, signatures
from gyebo.tasks.prediction import as_rows, write_predictions
from gyebo.tasks.splits import HeldOut, open_task, read_task, read_test, same_source
from gyebo.text.tokenizer import Tokenizer
from gyebo.training.device import DTYPES, pick_device


def evaluate(
    name: Given,
    corpus: Sequence[str] = (),
    *,
    context: int | None = None,
    memory: int | None = None,
    data: dict[str, Any] | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> dict[str, Any]:
    """The metrics of the model's objective (`gyebo/objectives/table.py` names the function that gives them), of a likelihood
    also floor_bits_per_byte where it is known. On all of `corpus`, or where it is empty on the held-out part of the run, in the
    run's own precision, context and memory (of a model that has one) unless others are asked for.

    A published model without a start or an end role: the first token is charged log2 of the vocabulary, the end is not
    charged, and "note" says so. Raises ValueError where the model has no tokenizer, or is no run and no corpus is given.
    """
    if precision is not None and precision not in DTYPES:
        raise OptionError(f"‹precision› must be one of {', '.join(DTYPES)}, but is {precision!r} instead")
    if isinstance(name, Loaded):
        refuse_moving(name, device, precision)
    place = name.model.device if isinstance(name, Loaded) else pick_device(device)
    opened = open_held_out(name, corpus, context=context, memory=memory, data=data)
    model, facts, prepared, tokenizer = opened.model, opened.facts, opened.prepared, opened.tokenizer
    precision = precision or opened.precision
    half = lambda: torch.autocast(place.type, DTYPES[precision], enabled=precision != "float32")  # noqa: E731
    ready = model.to(place).eval()
    result: dict[str, Any] = dict(measures.evaluate(facts, ready, opened.rows, autocast=half, memory=opened.memory).metrics)
    if facts.likelihood and floor(prepared) is not None:
        result["floor_bits_per_byte"] = floor(prepared)
    note = facts.note or (_uncharged(tokenizer, model.config.vocab_size) if facts.likelihood and tokenizer else "")
    notes = [*([note] if note else []), *opened.notes]
    return result | ({"note": "; ".join(notes)} if notes else {})


def _uncharged(tokenizer: Tokenizer, vocab_size: int) -> str:
    """What is not charged of a document, or in another way, where the tokenizer names no start or no end."""
    charged = {
        "start": f"each document's first token is charged log2 of the {vocab_size:,} tokens",
        "end": "the end of a document is not charged",
    }
    missing = [name for name, role in (("start", "bos"), ("end", "eos")) if role not in tokenizer.role_ids]
    return f"no {' and no '.join(missing)} token: {'; '.join(charged[name] for name in missing)}" if missing else ""


def evaluate_task(
    name: Given,
    options: TaskOptions | None = None,
    *,
    device: str = "auto",
    precision: str = "float32",
    predictions: Path | None = None,
) -> dict[str, Any]:
    """A task's metrics of a fine-tuned model; without a task of that which it learned, on the part that it was measured on: of
    several each after its name, and the mean of their scores.

    A file of one's own counts whole, unless the model learned from it. Raises ValueError where the model does another kind of
    task, or knows other labels.
    """
    check_place(name, device, precision)
    refuse_existing(predictions, None)
    if options is None:
        found = [_measured(opened, None, device, precision) for opened in open_tasks(name)]
    else:
        found = [_measured(open_model(name, options), options, device, precision)]
    if predictions is not None:
        write_predictions(predictions, [_row(each, row, len(found) > 1) for each in found for row in each.rows])
    return found[0].figures if len(found) == 1 else _of_all(found)


@dataclass(frozen=True)
class _Measured:
    """What came out of a task: its metrics and what else is said, lines of predictions, and its main metric."""

    figures: dict[str, Any]
    rows: list[dict[str, Any]]
    score: str


def _row(found: _Measured, row: dict[str, Any], several: bool) -> dict[str, Any]:
    return {"task": found.figures["task"], **row} if several else row


def _of_all(found: list[_Measured]) -> dict[str, Any]:
    """The figures of several tasks after their names, and the mean of their scores."""
    named = {f"{each.figures['task']}.{name}": v for each in found for name, v in each.figures.items() if name != "task"}
    mean = fmean(each.figures[each.score] for each in found)
    return {"task": ", ".join(each.figures["task"] for each in found), "mean": mean, **named}


def _measured(opened: FinetunedModel, options: TaskOptions | None, device: str, precision: str) -> _Measured:
    """A model on a task; None: the one that it learned, on the part on which it was measured."""
    name = opened.name
    if options is None:
        if opened.trained is None:
            raise ValueError(f"{name} is no run of gyebo, so its task is not known: name one")
        options = opened.trained.task
    elif opened.trained and len(opened.trained.tasks) > 1 and options == TaskOptions(name=opened.trained.task.name):
        options = opened.trained.task  # one of several, named by its name alone
    task = open_task(options)
    if opened.kind.name != task.kind:
        raise ValueError(
            f"{name} does {opened.kind.name}, but {task.name} is {task.kind}: fine-tune a model on {task.name} first"
        )
    labels = opened.labels if opened.kind.names_classes else ()
    unknown = sorted(set(task.labels or ()) - set(labels)) if labels else []
    if unknown:
        raise ValueError(f"{name} knows the labels {', '.join(sorted(labels))}, but {task.name} has {', '.join(unknown)} too")
    held_out = _held_out(options, opened, labels)
    found = opened.predict(held_out.examples, device=device, precision=precision, max_length=held_out.task.max_length)
    metrics: dict[str, Any] = dict(measure(held_out.task, found, held_out.examples))
    metrics |= {f"{name}_signature": words for name, words in signatures(task.metrics, found, held_out.examples).items()}
    notes = [*held_out.notes, *opened.notes]
    noted = {"note": "; ".join(notes)} if notes else {}
    figures = {"task": task.name, "measured": held_out.measured, "examples": len(held_out.examples), **metrics, **noted}
    return _Measured(
        figures, as_rows(opened.kind, held_out.examples, found, probability_key=opened.probability_key), task.score
    )


def _held_out(options: TaskOptions, opened: FinetunedModel, labels: tuple[str, ...]) -> HeldOut:
    """What the model is measured on: never what it learned from."""
    known = opened.trained.task if opened.trained else None
    if known and is_own(options.name) and options.test is None and same_source(known.data, options.data):
        for column in ("text", "pair", "label", "image"):
            given = getattr(options, column)
            if given is not None and given != getattr(known, column):
                raise OptionError(
                    f"‹{column}›={given}: {opened.name} learned from other columns of {options.data}, and was measured on what "
                    "was set aside there: leave the columns out, or name another file"
                )
        if known.test is not None and options is not known:
            raise ValueError(
                f"{opened.name} learned from {options.data} and set nothing of it aside to be measured on: name another file"
            )
        data = read_task(known)
        return HeldOut(data.task, data.test, data.measured, data.notes)
    return read_test(options, labels)
