"""`gyebo demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gyebo.cli import options as shared


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="The directory to write.")] = Path("runs/demo"),
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
) -> None:
    """The main job, offline, in minutes: GPT and GPT-2 compared on the embedded world.

    gyebo demo
    """
    from gyebo.compare.demo import demo as job

    job(out, resume=resume, overwrite=overwrite, console=shared.console())
