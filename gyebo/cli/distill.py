"""`gyebo distill`."""

from __future__ import annotations

from typing import Annotated

import typer

from gyebo.cli import options as shared
from gyebo.cli.pretrain import tell


def distill(
    teacher: Annotated[str, typer.Argument(metavar="TEACHER", help="A run, a transformers directory, or a hub id.")],
    corpus: shared.Corpora,
    out: shared.Out,
    layers: Annotated[int | None, shared.count("Number of layers of the student.  [default: half the teacher's]")] = None,
    steps: Annotated[int | None, shared.count("Budget: optimiser steps.")] = None,
    tokens: Annotated[float | None, shared.real("Budget: training tokens, e.g. 1e8.")] = None,
    minutes: Annotated[float | None, shared.real("Budget: minutes on this machine.")] = None,
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
    seed: Annotated[int | None, shared.natural("Decides order and dropout.  [default: 0]")] = None,
    context: Annotated[int | None, shared.count("Context length in tokens.  [default: the teacher's]")] = None,
    batch_tokens: Annotated[int | None, shared.count("Tokens per step.  [default: by the budget; 8192 with --steps]")] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    valid: shared.Valid = None,
    valid_last: shared.ValidLast = None,
    valid_share: shared.ValidShare = None,
    device: shared.Device = "auto",
    precision: Annotated[str, shared.word("auto (the faster one on this machine), float32 or bfloat16.", "NAME")] = "auto",
    settings: Annotated[
        list[str] | None, shared.word("Any other option: objective.temperature=2 ...", "NAME=VALUE", "--set")
    ] = None,
    json: shared.Json = False,
) -> None:
    """Train a smaller model from a larger one.

    The student has half of the teacher's layers and is initialised with them. Its loss combines the teacher's predictions,
    masked language modelling and the teacher's last hidden states (DistilBERT). Give exactly one budget: --steps, --tokens
    or --minutes.

    \b
    Examples:
      gyebo distill runs/bert reviews.txt --minutes 10 -o runs/student
      gyebo distill runs/bert reviews.txt --minutes 10 -o runs/student --resume
    """
    from gyebo.api.distil import distil as verb

    found = verb(
        teacher,
        shared.readable(corpus),
        out=out,
        layers=layers,
        steps=steps,
        tokens=tokens,
        minutes=minutes,
        resume=resume,
        overwrite=overwrite,
        seed=seed,
        context=context,
        batch_tokens=batch_tokens,
        documents=documents,
        text_field=text_field,
        encoding=encoding,
        bad_bytes=bad_bytes,
        valid=shared.readable([valid]) if valid else None,
        valid_last=valid_last,
        valid_share=valid_share,
        device=device,
        precision=precision,
        settings=settings,
        verbose=shared.console(json),
    )
    tell(found, json)
