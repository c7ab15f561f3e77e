"""`gyebo verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]) -> None:
    """Is a run what its log says, to the bit?

    Checks every digest, trains the last stretch again, and compares losses and weights bit by bit.

    \b
    Examples:
      gyebo verify runs/reviews
    """
    from gyebo.jobs.verify import verify as job

    ok = job(run, shared.console())
    if not ok:
        raise typer.Exit(1)
