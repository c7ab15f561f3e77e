"""`gyebo distill`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gyebo.cli import options as shared
from gyebo.cli.pretrain import perform


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
    batch_tokens: Annotated[int | None, shared.count("Tokens per step.  [default: 8192]")] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
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
    from gyebo.config.run import RunOptions
    from gyebo.jobs.places import placed_name
    from gyebo.jobs.pretraining.setup import student_family

    there = placed_name(teacher, "teacher", out) if resume else teacher
    values: dict[str, Any] = shared.given(family=student_family(there), teacher=teacher, context=context, seed=seed)
    values["data"] = shared.given(
        corpus=shared.readable(corpus),
        documents=documents,
        text_field=text_field,
        bad_bytes=bad_bytes,
        valid=shared.readable([valid])[0] if valid else None,
        valid_last=valid_last,
        valid_share=valid_share,
    )
    values["model"] = shared.given(layers=layers)
    values["train"] = shared.given(batch_tokens=batch_tokens, device=device, precision=precision)
    values["budget"] = shared.given(steps=steps, tokens=tokens, minutes=minutes)
    perform(
        shared.checked(RunOptions, values, settings or []), out, dry_run=False, resume=resume, overwrite=overwrite, json=json
    )
