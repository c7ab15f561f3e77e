"""`gyebo evaluate`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from gyebo.cli import options as shared
from gyebo.config.errors import OptionError


def evaluate(
    model: shared.Model,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TASK|CORPUS...]", help="A task, or a corpus.  [default: what the run held out]"),
    ] = None,
    data: Annotated[
        str | None, shared.word("Folder of the task, or your own file.  [default: the hub's data set]", "PATH")
    ] = None,
    text: Annotated[str | None, shared.word("Task: text column of your file.", "NAME")] = None,
    pair: Annotated[str | None, shared.word("Task: column of the second text.", "NAME")] = None,
    label: Annotated[str | None, shared.word("Task: column of the label.", "NAME")] = None,
    image: Annotated[str | None, shared.word("Task: column of the picture's file.", "NAME")] = None,
    predictions: Annotated[Path | None, shared.word("Task: file for the predictions.", "FILE")] = None,
    context: Annotated[int | None, shared.count("Context length in tokens.  [default: the run's, else the model's]")] = None,
    memory: Annotated[
        int | None, shared.count("Memory in tokens (Transformer-XL).  [default: the run's, else the model's]")
    ] = None,
    measure: Annotated[
        str | None,
        shared.word("Of pictures: captions (what it writes about them), or retrieval (texts and pictures found).", "NAME"),
    ] = None,
    among: Annotated[int | None, shared.whole("--measure: number of pictures.  [default: retrieval 100, captions all]")] = None,
    ablate: Annotated[str | None, shared.word("--measure: without the image or the text of each.", "NAME")] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    bad_bytes: shared.BadBytes = None,
    device: shared.Device = "auto",
    precision: Annotated[
        str | None,
        shared.word(
            "float32, bfloat16, or int8 (tasks, CPU).  [default: the run's on its held-out part, else float32]", "NAME"
        ),
    ] = None,
    json: shared.Json = False,
) -> None:
    """Evaluate a model on a task or on text.

    On text: bits per byte, or for a masked model the loss on masked tokens. On pictures: as they were learned from, or what
    --measure names.

    \b
    Examples:
      gyebo evaluate runs/reviews
      gyebo evaluate runs/reviews other.txt --json
      gyebo evaluate runs/xl other.txt --memory 512
      gyebo evaluate runs/sentiment
      gyebo evaluate runs/sentiment nsmc --data nsmc/
      gyebo evaluate runs/judge world:pictures,unseen,200 --measure retrieval --among 100
    """
    from gyebo.jobs.finetuned_model import trained_on

    own = shared.given(data=data, text=text, pair=pair, label=label, image=image, predictions=predictions)
    spans = shared.given(context=context, memory=memory, documents=documents, text_field=text_field, bad_bytes=bad_bytes)
    tuned = trained_on(model)
    of_pictures = shared.given(among=among, ablate=ablate)
    if measure is None:
        _refuse(of_pictures, "anything without --measure")
    if measure is not None:
        _refuse(own | shared.given(context=context, memory=memory, precision=precision), f"--measure {measure}")
        result = _measure(measure, model, what or [], of_pictures, spans, device)
    elif what and len(what) == 1 and _is_task(what[0]):
        _refuse(spans, f"the task {what[0]}")
        result = _task(model, what[0], own, device, precision)
    elif tuned and not what:
        _refuse({name: value for name, value in own.items() if name != "predictions"}, "a run's own task: name the task")
        _refuse(spans, f"the task {tuned.task.name}")
        result = _task(model, None, own, device, precision)
    elif tuned:
        raise ValueError(f"{model} was fine-tuned on {tuned.task.name}, so text can't be scored with it: name a task, or none")
    else:
        _refuse(own, "text: name a task")
        result = _text(model, what or [], spans, device, precision)
    if json:
        print(json_module.dumps(result, ensure_ascii=False))
        return
    for name, value in result.items():
        shown = f"{value:,.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
        print(f"{name.replace('_', ' '):<22} {shown}")


def _is_task(name: str) -> bool:
    from gyebo.tasks.data.own_file import is_own
    from gyebo.tasks.registry import TASKS

    return name in TASKS or is_own(name)  # a file that is called so can be written as ./NAME


def _refuse(options: dict[str, Any], what: str) -> None:
    for name in options:
        raise OptionError(f"‹{name}› has no effect on {what}")


def _measure(
    measure: str, model: str, what: list[str], options: dict[str, Any], data: dict[str, Any], device: str
) -> dict[str, Any]:
    from rich.progress import Progress

    from gyebo.jobs.evaluate_pictures import measure as job

    aside = shared.console(json=True)
    with Progress(console=aside, transient=True, disable=not aside.is_terminal) as progress:
        task = progress.add_task("measuring", total=1.0)
        told = lambda share: progress.update(task, completed=share)  # noqa: E731
        return job(measure, model, shared.readable(what), **options, data=data, device=device, on_step=told)


def _task(model: str, name: str | None, own: dict[str, Any], device: str, precision: str | None) -> dict[str, Any]:
    from gyebo.config import toml
    from gyebo.config.finetune import TaskOptions
    from gyebo.jobs.evaluate import evaluate_task

    path = own.pop("predictions", None)
    options = toml.check(TaskOptions, {"name": name, **own}, section="task") if name else None
    return evaluate_task(model, options, device=device, precision=precision or "float32", predictions=path)


def _text(model: str, what: list[str], spans: dict[str, Any], device: str, precision: str | None) -> dict[str, Any]:
    from gyebo.jobs.evaluate import evaluate as job

    lengths = {name: spans.pop(name, None) for name in ("context", "memory")}
    return job(model, shared.readable(what), **lengths, data=spans, device=device, precision=precision)
