"""`gyebo verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]) -> None:
    """Verify that a run is reproducible.

    Checks every digest, trains again from the second-newest checkpoint to the newest, and compares losses and weights bit by
    bit.

    \b
    Examples:
      gyebo verify runs/reviews
    """
    from gyebo.jobs.verify import verify as job

    ok = job(run, shared.console())
    if not ok:
        raise typer.Exit(1)
