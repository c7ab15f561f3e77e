"""`gyebo verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]) -> None:
    """Is this run what its log says? Checks every digest, replays the last stretch and compares bit by bit.

    gyebo verify runs/reviews
    """
    from gyebo.jobs.verify import verify as job

    ok = job(run, shared.console())
    if not ok:
        raise typer.Exit(1)
