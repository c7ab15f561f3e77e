"""`gyebo demo`."""

from __future__ import annotations

from pathlib import Path

from gyebo.cli import options as shared


def demo(
    out: shared.Out = Path("runs/demo"),
    resume: shared.Resume = False,
    overwrite: shared.Overwrite = False,
) -> None:
    """The main job, offline, in minutes.

    Compares GPT-2, BERT and RoBERTa on the embedded world and its sentiment task, beside the linear baseline, writes a report,
    and lets the best one write, or fill in what was hidden.

    \b
    Examples:
      gyebo demo
      gyebo demo -o runs/demo --resume
    """
    from gyebo.compare.demo import demo as job

    job(out, resume=resume, overwrite=overwrite, console=shared.console())
