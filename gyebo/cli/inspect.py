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
    encoding: shared.Encoding = None,
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
        data=chosen["data"] | shared.given(documents=documents, text_field=text_field, encoding=encoding, bad_bytes=bad_bytes),
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


def neurons(
    model: shared.Model,
    out: Annotated[Path, shared.word("The page to write.", "FILE.html", "-o", "--out")],
    probes: Annotated[
        Path | None,
        shared.word("A table of stimuli of your own: concept, style, text or picture, group.  [default: the world's]", "FILE"),
    ] = None,
    each: Annotated[int | None, shared.whole("Stimuli of a concept in each way, of the world's.  [default: 16]")] = None,
    permutations: Annotated[int | None, shared.count("Permutations of the labels.  [default: 1000]")] = None,
    level: Annotated[float | None, shared.real("Probability of any false finding.  [default: 0.05]")] = None,
    top: Annotated[int | None, shared.count("Concepts to show, and whose units to silence.  [default: 8]")] = None,
    draws: Annotated[int | None, shared.whole("Draws of random units to compare with.  [default: 20]")] = None,
    seed: Annotated[int | None, shared.natural("Random seed.  [default: 0]")] = None,
    encoding: shared.Encoding = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page if it exists.")] = False,
    device: shared.Device = "auto",
    json: shared.Json = False,
) -> None:
    """Find the units that answer to a concept as a word and in pictures alike.

    For a model in which text meets pictures: LXMERT, ViLBERT, CLIP, DALL-E. The page shows what excites the surest units, and
    what the model no longer knows without them.

    \b
    Examples:
      gyebo inspect neurons runs/lxmert -o neurons.html
      gyebo inspect neurons runs/clip -o neurons.html --probes famous.csv
      gyebo inspect neurons runs/lxmert -o neurons.html --each 24 --permutations 5000 --top 20 --json
    """
    from gyebo.jobs.inspection.neurons.report import lines_of
    from gyebo.jobs.inspection.neurons.search import Options, inspect_neurons
    from gyebo.jobs.text_files import reading_of

    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"-o {out}: the page is HTML: let its name end in .html")
    chosen = shared.given(each=each, permutations=permutations, level=level, top=top, draws=draws, seed=seed)
    if probes is not None and each is not None:
        raise ValueError(f"--each {each} has no effect with --probes, which has stimuli of its own: leave one of them out")
    if encoding is not None and probes is None:
        raise ValueError(f"--encoding {encoding} has no effect without --probes, the file that is read: leave it out")
    aside = shared.console(json=True)
    found = inspect_neurons(
        model,
        out,
        Options(**chosen),
        probes=probes,
        reading=reading_of(encoding),
        device=device,
        overwrite=overwrite,
        report=lambda words: aside.print(words, highlight=False),
    )
    if json:
        print(json_module.dumps(found.as_dict(), ensure_ascii=False))
        return
    for line in lines_of(found):
        shared.console().print(line, highlight=False, markup=False)
