"""`gyebo pretrain`."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from gyebo.cli import options as shared


def pretrain(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="One of `gyebo families`.")],
    corpus: shared.Corpora,
    out: shared.Out,
    size: Annotated[str | None, typer.Option(help="A size of the family.  [default: mini]")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="A tokenizer's directory; else one is trained on the corpus.")] = None,
    vocab_size: Annotated[int | None, typer.Option(help="Pieces of the tokenizer that is trained.  [default: 16000]")] = None,
    steps: Annotated[int | None, typer.Option(help="Budget: optimiser steps.")] = None,
    tokens: Annotated[float | None, typer.Option(help="Budget: tokens seen.")] = None,
    flops: Annotated[float | None, typer.Option(help="Budget: operations of matrix products.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Budget: minutes of training here.")] = None,
    start_from: Annotated[str | None, typer.Option("--from", help="Start from these weights.")] = None,
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
    seed: Annotated[int, typer.Option(help="Decides weights, order and dropout.")] = 0,
    context: Annotated[int | None, typer.Option(help="Tokens of a row.  [default: the model's]")] = None,
    batch_tokens: Annotated[int | None, typer.Option(help="Tokens of one step.  [default: 8192]")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints.  [default: a tenth of the run]")
    ] = None,
    keep: Annotated[int | None, typer.Option(help="Checkpoints that stay.  [default: 2]")] = None,
    documents: shared.Documents = "line",
    text_field: shared.TextField = "text",
    bad_bytes: shared.BadBytes = "refuse",
    valid: shared.Valid = None,
    valid_last: shared.ValidLast = None,
    valid_share: shared.ValidShare = None,
    across_documents: Annotated[bool, typer.Option("--across-documents", help="Let attention cross document borders.")] = False,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, tokens, memory and time; train nothing.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any other option: optim.lr=3e-4, model.layers=6 ...")
    ] = None,
    json: shared.Json = False,
) -> None:
    """Train one model on your text.

    gyebo pretrain gpt2 reviews.txt --size mini --minutes 10 -o runs/reviews

    gyebo pretrain gpt2 reviews.txt --size mini --minutes 10 -o runs/reviews --resume

    torchrun --nproc-per-node 2 -m gyebo pretrain gpt2 corpus/ --tokens 1e9 -o runs/big
    """
    from gyebo.config import toml
    from gyebo.config.run import RunOptions

    data = shared.given(
        corpus=corpus,
        documents=documents,
        text_field=text_field,
        bad_bytes=bad_bytes,
        valid=valid,
        valid_last=valid_last,
        valid_share=valid_share,
        across_documents=across_documents,
    )
    train = shared.given(
        batch_tokens=batch_tokens, checkpoint_every=checkpoint_every, keep=keep, device=device, precision=precision
    )
    values = shared.given(
        family=family, size=size, tokenizer=tokenizer, vocab_size=vocab_size, start_from=start_from, context=context
    )
    values |= {"seed": seed, "data": data, "train": train | {"compile": compile}}
    values["budget"] = shared.given(steps=steps, tokens=tokens, flops=flops, minutes=minutes)
    refuse_contradictions(start_from, size, tokenizer, vocab_size, dry_run, resume)
    run = toml.check(RunOptions, toml.override(values, settings or []))
    from gyebo.jobs import pretrain as job

    speak = shared.console(json)
    result = (
        job.dry_run(run, out, speak) if dry_run else job.pretrain(run, out, resume=resume, overwrite=overwrite, console=speak)
    )
    if json:
        print(json_module.dumps(result, ensure_ascii=False))
    elif not dry_run and result:
        bits = result["valid"]["bits_per_byte"]
        speak.print(f"{bits:.4f} bits per byte on held-out text. Next: gyebo generate {out} --prompt ...", highlight=False)


def refuse_contradictions(
    start_from: str | None, size: str | None, tokenizer: str | None, vocab_size: int | None, dry_run: bool, resume: bool
) -> None:
    """Options that would have no effect beside others."""
    if start_from and size:
        raise ValueError(f"--size {size} contradicts --from: the shape is that of {start_from}")
    if tokenizer and vocab_size:
        raise ValueError("--vocab-size has no effect with --tokenizer: drop one")
    if dry_run and resume:
        raise ValueError("--dry-run and --resume exclude each other: a dry run trains nothing")
