"""`gyebo finetune linear TASK`: the linear baseline."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from gyebo.config.finetune import TaskOptions
from gyebo.jobs import places, run_directory
from gyebo.jobs.finetuned_model import margins
from gyebo.jobs.finetuning.report import summary
from gyebo.jobs.results import FinetuneSummary, TaskResult
from gyebo.tasks import linear
from gyebo.tasks.kinds.table import KINDS, find_kind
from gyebo.tasks.metrics.metrics import measure, write_parts
from gyebo.tasks.prediction import PREDICTIONS, as_rows, write_predictions
from gyebo.tasks.splits import TaskData, read_task


def finetune_linear(
    options: TaskOptions, out: Path, *, overwrite: bool = False, console: Console | None = None
) -> FinetuneSummary:
    """Train the linear baseline on a task and evaluate it; returns the summary of its run (training is deterministic).

    Raises ValueError for a kind of task that it does not support, and what reading the task raises.
    """
    data = read_task(options)
    if not find_kind(data.task.kind).linear:
        known = " and ".join(kind.name for kind in KINDS.values() if kind.linear)
        raise ValueError(f"{data.task.name}: the linear baseline supports {known}, not {data.task.kind}")
    places.refuse_names(options, out)
    run_directory.refuse_to_replace(out, (options.data, options.test))
    if console:
        said = [*(f"note: {note}" for note in data.notes), f"{data.task.name}: {data.sizes}"]
        console.print("\n".join(said), highlight=False, markup=False, soft_wrap=True)
    with run_directory.claim(out, resume=False, overwrite=overwrite):
        return summary([_run(options, data, out)])


def _run(options: TaskOptions, data: TaskData, out: Path) -> TaskResult:
    start = time.perf_counter()
    model = linear.fit(data.train, data.task.labels)
    seconds = time.perf_counter() - start
    predictions = {part: margins(model, getattr(data, part)) for part in ("valid", "test")}
    scores = {part: measure(data.task, found, getattr(data, part)) for part, found in predictions.items()}
    model.save(out)
    write_predictions(
        out / PREDICTIONS, as_rows(find_kind(data.task.kind), data.test, predictions["test"], probability_key="margins")
    )
    write_parts(out, data.task, predictions["test"], data.test)
    result = TaskResult(
        task=data.task.name,
        kind=data.task.kind,
        model="linear",
        seed=0,
        score=data.task.score,
        measured=data.measured,
        valid=scores["valid"],
        test=scores["test"],
        examples=len(data.train),
        paired=data.paired,
        parameters=int(model.weight.size + model.bias.size),
        seconds=seconds,
        notes=data.notes,
    )
    task = places.published_task(options).model_dump(mode="json")
    record = {"kind": "linear", "options": {"task": task}, "versions": run_directory.versions()}
    run_directory.write(out, record | {"state": {"finished": True, "weights": "last"}, "result": result.as_dict()})
    places.remember_task(out, options)
    return result
