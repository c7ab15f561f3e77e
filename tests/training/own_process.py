"""Pretraining in a process of its own, which a test may kill; all are forked from one that has imported torch."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from gyebo.config import toml
from gyebo.config.run import RunOptions

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["gyebo.jobs.pretrain"])


def start(options: Path, out: Path) -> ForkServerProcess:
    """`gyebo pretrain --resume` of the options in a file; what it says on stderr goes to `errors_of(out)`."""
    process = _processes.Process(target=_pretrain, args=(options, out))
    process.start()
    return process


def errors_of(out: Path) -> Path:
    """The file that keeps stderr of the last process that wrote to `out`."""
    return out.with_name(f"{out.name}.errors")


def _pretrain(options: Path, out: Path) -> None:
    from gyebo.jobs.pretrain import pretrain

    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors_of(out), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    pretrain(RunOptions.model_validate(toml.read(options)), out, resume=True)
