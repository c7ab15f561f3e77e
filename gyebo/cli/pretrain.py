"""`gyebo pretrain`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gyebo.cli import options as shared

if TYPE_CHECKING:
    from gyebo.api.training import Run, RunPlanned


def pretrain(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="A family; see gyebo families.")],
    corpus: shared.Corpora,
    out: Annotated[Path | None, shared.word("Output directory.  [required without --dry-run]", "DIR", "-o", "--out")] = None,
    size: Annotated[str | None, shared.word("Model size, or auto: what suits the budget.  [default: mini]", "NAME")] = None,
    tokenizer: Annotated[
        str | None, shared.word("Tokenizer directory.  [default: one is trained on the corpus]", "DIR")
    ] = None,
    picture_tokenizer: Annotated[
        str | None, shared.word("For a family that draws: a model of gyebo pretrain vqvae, whose codes it draws.", "MODEL")
    ] = None,
    vocab_size: Annotated[
        int | None, shared.count("Vocabulary size of the tokenizer to train.  [default: up to 16000, as the corpus gives]")
    ] = None,
    steps: Annotated[int | None, shared.count("Budget: optimiser steps.")] = None,
    tokens: Annotated[float | None, shared.real("Budget: training tokens, e.g. 1e8.")] = None,
    flops: Annotated[float | None, shared.real("Budget: FLOPs of matrix products, e.g. 1e15.")] = None,
    minutes: Annotated[float | None, shared.real("Budget: minutes on this machine.")] = None,
    epochs: Annotated[float | None, shared.real("Budget: epochs, how often the text is read.")] = None,
    lr: Annotated[float | None, shared.real("Peak learning rate.  [default: by the model's width]")] = None,
    recipe: Annotated[
        str | None,
        shared.word("efficient, or published: optimiser and schedule of the family's paper.  [default: efficient]", "NAME"),
    ] = None,
    start_from: Annotated[str | None, shared.word("Start from the weights of this model.", "MODEL", "--from")] = None,
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
    seed: Annotated[int | None, shared.natural("Random seed of initial weights, data order and dropout.  [default: 0]")] = None,
    context: Annotated[int | None, shared.count("Context length in tokens.  [default: the size's]")] = None,
    batch_tokens: Annotated[int | None, shared.count("Tokens per step.  [default: by the budget; 8192 with --steps]")] = None,
    checkpoint_every: Annotated[
        int | None, shared.count("Checkpoint interval in steps.  [default: a tenth of the run]")
    ] = None,
    keep: Annotated[int | None, shared.count("Number of checkpoints to keep, at least 2.  [default: 2]")] = None,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    valid: shared.Valid = None,
    valid_last: shared.ValidLast = None,
    valid_share: shared.ValidShare = None,
    across_documents: Annotated[
        bool, typer.Option("--across-documents", help="Let attention cross document boundaries.")
    ] = False,
    device: shared.Device = "auto",
    precision: Annotated[str, shared.word("auto (the faster one on this machine), float32 or bfloat16.", "NAME")] = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="Use torch.compile.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, tokens, memory and time without training.")
    ] = False,
    settings: Annotated[
        list[str] | None, shared.word("Any other option: optim.clip=0.5, model.layers=6 ...", "NAME=VALUE", "--set")
    ] = None,
    json: shared.Json = False,
) -> None:
    """Pretrain one model on your text.

    The result opens in transformers if it has the family. Give exactly one budget: --steps, --tokens, --flops, --minutes or
    --epochs.

    \b
    Examples:
      gyebo pretrain gpt2 reviews.txt --minutes 10 -o runs/reviews
      gyebo pretrain gpt2 reviews.txt --minutes 10 -o runs/reviews --resume
      gyebo pretrain gpt corpus/ --size small --tokens 1e8 --lr 5e-4 --dry-run
      torchrun --nproc-per-node 2 -m gyebo pretrain gpt2 corpus/ --steps 1000 -o runs/big
    """
    from gyebo.api.pretrain import pretrain as verb

    tell(
        verb(
            family,
            shared.readable(corpus),
            out=out,
            size=size,
            tokenizer=tokenizer,
            picture_tokenizer=picture_tokenizer,
            vocab_size=vocab_size,
            steps=steps,
            tokens=tokens,
            flops=flops,
            minutes=minutes,
            epochs=epochs,
            lr=lr,
            recipe=recipe,
            start_from=start_from,
            resume=resume,
            overwrite=overwrite,
            seed=seed,
            context=context,
            batch_tokens=batch_tokens,
            checkpoint_every=checkpoint_every,
            keep=keep,
            documents=documents,
            text_field=text_field,
            encoding=encoding,
            bad_bytes=bad_bytes,
            valid=shared.readable([valid]) if valid else None,
            valid_last=valid_last,
            valid_share=valid_share,
            across_documents=across_documents,
            device=device,
            precision=precision,
            compile=compile,
            dry_run=dry_run,
            settings=settings,
            verbose=shared.console(json),
        ),
        json,
    )


def tell(found: Run | RunPlanned | None, json: bool) -> None:
    """Say what came of a training; None: another process says it."""
    from gyebo.api.training import Run

    if json:
        print(json_module.dumps(found.as_dict() if found else {}, ensure_ascii=False))
    elif isinstance(found, Run):
        from gyebo.models.family import find
        from gyebo.objectives import table

        family, (words, value) = find(found.family), found.reported
        facts = table.of_use(family.objective, table.asked(family.objective, found.options.objective))
        opens = " and opens in transformers" if family.in_transformers and facts.auto_class else ""
        print(f"{value:.4f} {words} on held-out {facts.of}. The model is in {found.out}{opens}.")
        print(f"Next: gyebo {facts.next_command.format(out=found.out)}")
