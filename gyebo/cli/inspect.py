"""`gyebo inspect`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def corruption(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="A family; see gyebo families.")],
    corpus: Annotated[
        list[str] | None,
        typer.Argument(metavar="CORPUS", help="As in pretrain; for a family that learns from pairs, a task of the world."),
    ] = None,
    examples: Annotated[int, shared.count("Number of examples.")] = 4,
    context: Annotated[int | None, shared.count("Most tokens of a row.  [default: 64]")] = None,
    tokenizer: Annotated[
        str | None, shared.word("Tokenizer directory.  [default: one is trained on the beginning of the corpus]", "DIR")
    ] = None,
    vocab_size: Annotated[int | None, shared.count("Vocabulary size of the tokenizer to train.  [default: 16000]")] = None,
    seed: Annotated[int, shared.natural("Random seed, as in pretrain.")] = 0,
    documents: shared.Documents = None,
    text_field: shared.TextField = None,
    bad_bytes: shared.BadBytes = None,
    settings: Annotated[
        list[str] | None, shared.word("An option of the objective: objective.rate=0.3 ...", "NAME=VALUE", "--set")
    ] = None,
    json: shared.Json = False,
) -> None:
    """Show what a family reads and has to predict.

    A line for each field of a batch: tokens, and under each place the label that is predicted there. Only the beginning of
    the corpus is read; nothing is trained or kept.

    \b
    Examples:
      gyebo inspect corruption bert --examples 2
      gyebo inspect corruption bert reviews.txt --set objective.rate=0.3
      gyebo inspect corruption elmo world:ko --context 24 --json
    """
    from gyebo.config import toml
    from gyebo.config.errors import OptionError
    from gyebo.jobs.inspection.corruption import CONTEXT, inspect_corruption
    from gyebo.jobs.inspection.shown import lines_of

    chosen = toml.override({"objective": {}, "data": {}}, settings or [])
    if idle := next((name for name in toml.flat(chosen) if not name.startswith(("objective.", "data."))), None):
        raise OptionError(f"--set {idle} has no effect on what an example looks like: leave it out")
    found = inspect_corruption(
        family,
        shared.readable(corpus or []),
        objective=chosen["objective"],
        data=chosen["data"] | shared.given(documents=documents, text_field=text_field, bad_bytes=bad_bytes),
        tokenizer=tokenizer,
        vocab_size=vocab_size,
        context=context or CONTEXT,
        examples=examples,
        seed=seed,
        console=shared.console(json=True),  # stdout holds nothing but what is shown
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
        return
    console = shared.console()
    for line in lines_of(found, console.width):
        console.print(line)


def reconstructions(
    model: shared.Model,
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURES...", help="Pictures, as the CORPUS of pretrain.")],
    out: Annotated[Path, shared.word("PNG file to write.", "FILE", "-o", "--out")],
    examples: Annotated[int, shared.count("Number of pictures.")] = 12,
    device: shared.Device = "auto",
    json: shared.Json = False,
) -> None:
    """Show what a model restores of pictures from its codes.

    Pictures stand in the upper line of the sheet, what was restored of them below.

    \b
    Examples:
      gyebo inspect reconstructions runs/vq photos/ -o sheet.png
      gyebo inspect reconstructions runs/vq photos/ -o sheet.png --examples 4 --json
    """
    import dataclasses

    from gyebo.jobs.inspection.reconstructions import inspect_reconstructions

    found = inspect_reconstructions(model, shared.readable(pictures), out, count=examples, device=device)
    if json:
        print(json_module.dumps(dataclasses.asdict(found)))
        return
    for number, (error, psnr) in enumerate(zip(found.squared_error, found.psnr), 1):
        print(f"picture {number:<4} {error:.5f} mean squared error of pixel values, {psnr:.1f} dB")
    print(f"perplexity of the codes {found.codebook_perplexity:.1f}; the pictures are in {found.file}")
