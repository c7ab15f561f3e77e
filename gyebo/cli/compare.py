"""`gyebo compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def compare(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to compare; see recipes/.")],
    out: shared.Out,
    corpus: Annotated[list[str] | None, typer.Option(help="Use this corpus instead of the recipe's; may be repeated.")] = None,
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
) -> None:
    """Train several families under one budget and show which is best: a table and report.html.

    gyebo compare recipes/korean.toml --corpus reviews.txt -o runs/compared

    gyebo compare recipes/korean.toml --corpus reviews.txt -o runs/compared --resume
    """
    from gyebo.compare.job import compare_files

    ok = compare_files(recipe, out, corpus=corpus, resume=resume, overwrite=overwrite, console=shared.console())
    if not ok:
        raise typer.Exit(1)
