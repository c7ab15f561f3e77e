"""Options that several commands share, and how they become the options of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Corpora = Annotated[
    list[str],
    typer.Argument(metavar="CORPUS...", help="Files, folders, globs, hf:NAME[/CONFIG][:SPLIT], world:[ko|en][,N], or -."),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The directory to write.")]
Documents = Annotated[str, typer.Option(help="What a document is in plain text: line, blank (between blank lines) or file.")]
TextField = Annotated[str, typer.Option(help="Column or key of the text in jsonl, csv, tsv, parquet and hf:.")]
BadBytes = Annotated[str, typer.Option(help="Bytes that are not UTF-8: refuse or replace.")]
Valid = Annotated[str | None, typer.Option(help="Hold out this corpus.")]
ValidLast = Annotated[float | None, typer.Option(help="Hold out the last share of the text, as 0.1.")]
ValidShare = Annotated[float | None, typer.Option(help="Hold out this share of the documents, by hash.  [default: 0.01]")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what -o holds.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Delete what -o holds and start again.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Precision = Annotated[str, typer.Option(help="auto (what is faster here), float32 or bfloat16.")]


def console(json: bool = False) -> Console:
    """Where a command speaks: with --json on stderr, so that stdout holds nothing but the answer."""
    from rich.console import Console

    return Console(stderr=json, soft_wrap=True)


def given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
