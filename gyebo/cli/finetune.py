"""`gyebo finetune`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gyebo.cli import options as shared
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.config.finetune import FinetuneOptions
    from gyebo.jobs.results import FinetuneSummary

MODEL_HELP = "A run, a transformers directory, a hub id, FAMILY:SIZE (from scratch), or linear."
TASK_HELP = "nsmc (gyebo tasks), several as nsmc=DATA,klue-nli=DATA, or a kind on your file: classification, tagging ..."


def finetune(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL_HELP)],
    task: Annotated[str, typer.Argument(metavar="TASK", help=TASK_HELP)],
    out: Annotated[Path | None, shared.word("Output directory.  [required without --dry-run]", "DIR", "-o", "--out")] = None,
    data: Annotated[
        str | None, shared.word("Folder of the task, your own file, or hf:NAME.  [default: the hub's]", "PATH")
    ] = None,
    text: Annotated[str | None, shared.word("Text column of your file; for translation the source language.", "NAME")] = None,
    pair: Annotated[str | None, shared.word("Column of the second text.", "NAME")] = None,
    label: Annotated[str | None, shared.word("Label column; for translation the target language.", "NAME")] = None,
    image: Annotated[str | None, shared.word("Column of the picture's file, of visual-classification.", "NAME")] = None,
    test: Annotated[str | None, shared.word("Test set file.  [default: a tenth of yours]", "FILE")] = None,
    train_share: Annotated[float | None, shared.real("Share of the training examples to use, e.g. 0.1.")] = None,
    tokenizer: Annotated[str | None, shared.word("Tokenizer directory, for FAMILY:SIZE.", "DIR")] = None,
    answer: Annotated[
        str | None, shared.word("head (a task head) or text (the answer is written).  [default: the family's]", "NAME")
    ] = None,
    ablate: Annotated[
        str | None, shared.word("Leave out text or image, of tasks with pictures, to see what the other side tells.", "SIDE")
    ] = None,
    seeds: Annotated[str | None, shared.word("Random seed, or several, e.g. 0,1,2.  [default: 0]", "LIST")] = None,
    epochs: Annotated[float | None, shared.real("Epochs.  [default: the task's]")] = None,
    steps: Annotated[int | None, shared.count("Number of steps, instead of epochs.")] = None,
    batch: Annotated[int | None, shared.count("Batch size in examples.  [default: the task's]")] = None,
    max_length: Annotated[int | None, shared.count("Maximum number of tokens per text.  [default: the task's]")] = None,
    lr: Annotated[float | None, shared.real("Peak learning rate.  [default: the task's, by the model's width]")] = None,
    layer_decay: Annotated[
        float | None, shared.real("Layer-wise learning-rate decay: rate of a layer as a share of that of the layer above.")
    ] = None,
    freeze: Annotated[int | None, shared.count("Number of frozen layer groups, counted from the input.")] = None,
    patience: Annotated[int | None, shared.count("Early stopping after this many evaluations without improvement.")] = None,
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
    device: shared.Device = "auto",
    precision: Annotated[str, shared.word("auto (the faster one on this machine), float32 or bfloat16.", "NAME")] = "auto",
    settings: Annotated[list[str] | None, shared.word("Any other option: optim.warmup=0.06 ...", "NAME=VALUE", "--set")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print examples, steps and how often each task is drawn, without training.")
    ] = False,
    json: shared.Json = False,
) -> None:
    """Fine-tune a model on a task, or on your own labelled file.

    The weights that are best on the validation set are kept and evaluated on a test set. Several tasks, NAME,NAME, are mixed
    for one model that answers by text (--set mixing.by, mixing.limit, mixing.temperature).

    \b
    Examples:
      gyebo finetune runs/bert world-sentiment -o runs/sentiment
      gyebo finetune runs/bert nsmc --data nsmc/ --seeds 0,1,2 -o runs/nsmc
      gyebo finetune runs/bert classification --data my.csv --text review --label sentiment -o runs/mine
      gyebo finetune transformer:mini translation --data corpus/train --text en --label de --tokenizer tok/ -o runs/en-de
      gyebo finetune gpt2:mini dialogue --data turns.jsonl -o runs/chat
      gyebo finetune runs/t5 nsmc=nsmc/,klue-nli=klue/,world-sentiment -o runs/three --set mixing.limit=20000
      gyebo finetune runs/lxmert visual-classification --data my.csv --image picture --text sentence -o runs/seen
      gyebo finetune linear classification --data my.csv --text review --label sentiment -o runs/baseline
    """
    if out is None and not dry_run:
        raise OptionError("‹out›: name the directory of the run, or ask for --dry-run")
    if dry_run and (resume or overwrite):
        raise ValueError("--dry-run and --resume or --overwrite exclude each other: a dry run writes nothing")
    named, *further = _tasks(
        task, shared.given(data=data, text=text, pair=pair, label=label, image=image, test=test), train_share
    )
    if model == "linear":
        if further:
            raise ValueError(f"linear learns one task, not {task}: name one")
        _refuse(
            tokenizer=tokenizer,
            answer=answer,
            ablate=ablate,
            seed=seeds,
            epochs=epochs,
            steps=steps,
            batch=batch,
            max_length=max_length,
            lr=lr,
            layer_decay=layer_decay,
            freeze=freeze,
            patience=patience,
            resume=resume or None,
            device=None if device == "auto" else device,
            precision=None if precision == "auto" else precision,
            settings=settings,
            dry_run=dry_run or None,
        )
        assert out is not None
        _linear(named, out, overwrite=overwrite, json=json)
        return
    values: dict[str, Any] = shared.given(
        model=model,
        tokenizer=tokenizer,
        answer=answer,
        ablate=ablate,
        epochs=epochs,
        steps=steps,
        batch=batch,
        max_length=max_length,
        patience=patience,
    )
    values |= {"device": device, "precision": precision, "task": named}
    if further:
        values["further_tasks"] = further
    values["optim"] = shared.given(lr=lr, layer_decay=layer_decay, freeze=freeze)
    checked, chosen = _checked(values, settings or []), _seeds(seeds)
    if dry_run or out is None:
        _dry_run(checked, json)
        return
    _run(checked, chosen, out=out, resume=resume, overwrite=overwrite, json=json)


def _tasks(text: str, own: dict[str, str], train_share: float | None) -> list[dict[str, Any]]:
    """The tasks of NAME[=DATA],NAME[=DATA]...; `own`: options of an own file, of which several tasks share the data alone."""
    from gyebo.tasks.registry import TASKS

    shares = shared.given(train_share=train_share)
    parts = [part.partition("=") for part in text.split(",")]
    if len(parts) == 1 and not parts[0][1]:
        return [{"name": text, **own, **shares}]
    for option in own.keys() - {"data"}:
        raise OptionError(f"‹task.{option}› can't be told apart for several tasks: leave it out")
    found = []
    for name, _, place in parts:
        if not name:
            raise OptionError(f"‹task.name›: write NAME,NAME or NAME=DATA,NAME=DATA, not {text!r}")
        files = name not in TASKS or TASKS[name].world is None
        data = {"data": place} if place else {"data": own["data"]} if files and "data" in own else {}
        found.append({"name": name, **data, **shares})
    return found


def _seeds(text: str | None) -> list[int]:
    try:
        found = [int(part) for part in (text or "0").split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 0 or len(set(found)) != len(found):
        raise ValueError(f"--seeds must be different whole numbers from 0, as 0,1,2, but is {text!r} instead")
    return found


def _checked(values: dict[str, Any], settings: list[str]) -> FinetuneOptions:
    from gyebo.config.finetune import FinetuneOptions

    if "seed" in shared.named(settings):
        raise ValueError("--set seed has no effect: use --seeds")
    return shared.checked(FinetuneOptions, values, settings)


def _dry_run(options: FinetuneOptions, json: bool) -> None:
    from gyebo.jobs.finetuning.run import dry_run

    plan = dry_run(options, shared.console(json))
    if json:
        print(json_module.dumps(plan, ensure_ascii=False))


def _run(options: FinetuneOptions, seeds: list[int], *, out: Path, resume: bool, overwrite: bool, json: bool) -> None:
    from gyebo.jobs.finetune import finetune_seeds

    _show(finetune_seeds(options, seeds, out, resume=resume, overwrite=overwrite, console=shared.console(json)), out, json)


def _refuse(**options: Any) -> None:
    """What the linear baseline has no use for."""
    for name, value in options.items():
        if value is not None:
            raise OptionError(f"‹{name}› has no effect on linear: leave it out")


def _linear(named: dict[str, Any], out: Path, *, overwrite: bool, json: bool) -> None:
    from gyebo.config import toml
    from gyebo.config.finetune import TaskOptions
    from gyebo.jobs.finetuning.linear import finetune_linear

    _show(finetune_linear(toml.check(TaskOptions, named, section="task"), out, overwrite=overwrite), out, json)


def _show(found: FinetuneSummary, out: Path, json: bool) -> None:
    from gyebo.jobs.finetuning.report import lines
    from gyebo.tasks.kinds.table import find_kind

    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
        return
    print("\n".join(lines(found)))
    opens = f" and opens in transformers ({found.auto_class})" if found.auto_class else ""
    command = find_kind(found.kind).command
    if "," in found.task:  # several
        print(f"The model is in {out}{opens}. Next: gyebo predict {out} FILE --task {found.task.partition(',')[0]}")
        return
    print(f"The model is in {out}{opens}. Next: gyebo {command} {out} {found.task if command == 'evaluate' else 'FILE'}")
