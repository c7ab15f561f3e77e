"""`gyebo demo`."""

from __future__ import annotations

from pathlib import Path

from gyebo.cli import options as shared


def demo(
    out: shared.Out = Path("runs/demo"),
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
) -> None:
    """The whole pipeline in minutes, offline.

    Compares GPT-2 and GPT on the built-in world and its sentiment task with a linear baseline, writes a report, and shows text
    that the best one generates.

    \b
    Examples:
      gyebo demo
      gyebo demo -o runs/demo --resume
    """
    from gyebo.compare.demo import demo as job

    job(out, resume=resume, overwrite=overwrite, console=shared.console())
