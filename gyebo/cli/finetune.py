"""`gyebo finetune`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gyebo.cli import options as shared
from gyebo.config.errors import OptionError

if TYPE_CHECKING:
    from gyebo.api.finetune import FinetunedRun

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
    features: Annotated[str | None, shared.word("File with the regions of these pictures, of a detector.", "FILE")] = None,
    test: Annotated[str | None, shared.word("Test set file.  [default: a tenth of yours]", "FILE")] = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
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
    ngrams: Annotated[
        int | None, shared.count("A linear layer beside the head reads the text's character n-grams, hashed into N buckets.")
    ] = None,
    teachers: Annotated[
        list[str] | None,
        shared.word("Fine-tuned model whose probabilities are learned, too; may be repeated.", "RUN", "--teacher"),
    ] = None,
    unlabelled: Annotated[
        list[str] | None, shared.word("Texts without a label, which the teachers label; may be repeated.", "CORPUS")
    ] = None,
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
    from gyebo.api.finetune import FinetunedRun
    from gyebo.api.finetune import finetune as verb

    found = verb(
        model,
        task,
        out=out,
        data=data,
        text=text,
        pair=pair,
        label=label,
        image=image,
        features=features,
        test=test,
        encoding=encoding,
        bad_bytes=bad_bytes,
        train_share=train_share,
        tokenizer=tokenizer,
        answer=answer,
        ablate=ablate,
        seeds=None if seeds is None else _seeds(seeds),
        epochs=epochs,
        steps=steps,
        batch=batch,
        max_length=max_length,
        lr=lr,
        layer_decay=layer_decay,
        freeze=freeze,
        ngrams=ngrams,
        teachers=teachers,
        unlabelled=None if unlabelled is None else shared.readable(unlabelled),
        patience=patience,
        resume=resume,
        overwrite=overwrite,
        device=device,
        precision=precision,
        settings=settings,
        dry_run=dry_run,
        verbose=shared.console(json),
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
    elif isinstance(found, FinetunedRun):
        _tell(found)


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"‹seed› must be different whole numbers from 0, as 0,1,2, but is {text!r} instead") from None


def _tell(found: FinetunedRun) -> None:
    from gyebo.jobs.finetuning.report import lines
    from gyebo.tasks.kinds.table import find_kind

    print("\n".join(lines(found)))
    out, kind = found.out, find_kind(found.kind)
    opens = f" and opens in transformers ({found.auto_class})" if found.auto_class else ""
    if "," in found.task:  # several
        following = f"predict {out} FILE --task {found.task.partition(',')[0]}"
    elif kind.text and kind.text.turns:
        following = f"chat {out}"
    else:
        following = f"{kind.command} {out} {found.task if kind.command == 'evaluate' else 'FILE'}"
    print(f"The model is in {out}{opens}. Next: gyebo {following}")
