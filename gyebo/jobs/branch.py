"""A run that goes on from the middle of another one, which may still be in training."""

from __future__ import annotations

import shutil
from pathlib import Path

from gyebo.config import durable
from gyebo.jobs import run_directory
from gyebo.training import log


def branch(run: Path, step: int, out: Path) -> None:
    """Make `out` a copy of a pretraining as it is after `step`, where it has a checkpoint; what was there before goes.

    Where the copy is resumed with another budget, it is the run that would have begun with that budget, to the bit, if the
    learning rates of both are the same up to `step`. Only what a resumed run needs is copied. FileNotFoundError without such a
    run or checkpoint.
    """
    checkpoint = run / "checkpoints" / f"step-{step}"
    record = {name: value for name, value in run_directory.read(run).items() if name not in ("result", "files")}
    record["state"] = {"finished": False, "weights": "newest"}
    durable.make_folder(out.parent)
    aside = out.with_name(f".{out.name}{durable.PART}")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(checkpoint, aside / "checkpoints" / checkpoint.name)
    shutil.copy(run / log.NAME, aside / log.NAME)
    run_directory.write(aside, record)
    for folder in (aside / "checkpoints" / checkpoint.name, aside / "checkpoints", aside):
        durable.flush_files(folder)
    if out.exists():
        durable.remove(out)
    durable.rename(aside, out)
