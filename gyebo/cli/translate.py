"""`gyebo translate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def translate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A translation model: a run, a directory or a hub id (Marian).")
    ],
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="One sentence per line.  [default: stdin]")] = None,
    text: Annotated[list[str] | None, shared.word("A sentence; may be given several times.", "TEXT", "--text")] = None,
    out: Annotated[Path | None, shared.word("Output file.  [default: print]", "FILE", "-o", "--out")] = None,
    beams: Annotated[int | None, shared.count("Number of beams; 1: greedy decoding.  [default: the run's]")] = None,
    length_penalty: Annotated[float | None, shared.real("Above 0 favours longer translations.  [default: the run's]")] = None,
    coverage_penalty: Annotated[float | None, shared.real("Coverage penalty, e.g. 0.2.  [default: the run's]")] = None,
    attention: Annotated[Path | None, shared.word("File for a plot of the attention, for one sentence.", "PNG")] = None,
    encoding: shared.Encoding = None,
    bad_bytes: shared.BadBytes = None,
    task: Annotated[str | None, shared.word("Which task, if the model learned several.", "NAME")] = None,
    device: shared.Device = "auto",
    precision: Annotated[str, shared.word("float32, bfloat16 or int8 (CPU).", "NAME")] = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")] = False,
) -> None:
    """Translate sentences, one per line.

    \b
    Examples:
      gyebo translate runs/en-de --text "two dogs play in the snow ."
      gyebo translate runs/en-de news.en -o news.de --beams 5
      head news.en | gyebo translate runs/en-de
    """
    from gyebo.api.memory import Names
    from gyebo.api.translate import translate as verb

    found = verb(
        model,
        text or (shared.lines_from_stdin() if file is None else None),
        file=None if file is None else Names([shared.no_text(str(file), "a sentence stands after --text")]),
        out=out,
        beams=beams,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        attention=attention,
        encoding=encoding,
        bad_bytes=bad_bytes,
        task=task,
        device=device,
        precision=precision,
        overwrite=overwrite,
    )
    if out is None:
        sys.stdout.write("".join(f"{line}\n" for line in found))
    else:
        print(f"{len(found):,} lines in {out}")
