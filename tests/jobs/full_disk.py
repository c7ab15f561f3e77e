"""A disk that is full from the N-th operation on: the command line in a process of its own, forked from one with torch."""

from __future__ import annotations

import builtins
import errno
import io
import multiprocessing
import os
import sys
from pathlib import Path

_processes = multiprocessing.get_context("forkserver")
PRELOAD = "gyebo.cli.app gyebo.jobs.finetune gyebo.jobs.finetuning.linear gyebo.jobs.tokenizer gyebo.compare.run".split()
PRELOAD += ["gyebo.training.tensorboard", "gyebo.jobs.pretrain", "torch._dynamo", "sklearn.linear_model"]
_processes.set_forkserver_preload(PRELOAD)
NOT_ON_DISK = ("/proc/", "/dev/")


class Disk:
    """Counts what needs room; from operation `last` on there is none."""

    def __init__(self, last: float):
        self.last, self.count = last, 0

    def use(self, path: str | None = None) -> None:
        self.count += 1
        if self.count >= self.last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([path] if path else []))

    def open(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        """As `open`; files fail when they are made, naming themselves, and when they are written, without a name."""
        if not set(mode) & set("wax+") or str(file).startswith(NOT_ON_DISK):
            return self.real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        self.use(str(file))
        disk = self

        class Raw(io.FileIO):
            def write(self, data):
                try:
                    disk.use()
                except OSError:
                    super().write(bytes(data)[: len(data) // 2])  # what there was room for
                    raise
                return super().write(data)

        raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        binary = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return binary if "b" in mode else io.TextIOWrapper(binary, encoding, errors, newline)

    def install(self) -> None:
        """In this process, for good."""
        from safetensors import SafetensorError

        from gyebo.interchange import saving
        from gyebo.tasks import linear
        from gyebo.training import checkpoint

        self.real_open = io.open
        builtins.open = io.open = self.open
        for name in ("mkdir", "fsync"):
            setattr(os, name, self._before(getattr(os, name)))
        for module in (checkpoint, saving, linear):
            module.save_file = self._save(module.save_file, SafetensorError)

    def _before(self, real):
        def first(*arguments, **named):
            self.use()
            return real(*arguments, **named)

        return first

    def _save(self, real, wrapped):
        def save(tensors, path, *rest, **named):
            real(tensors, path, *rest, **named)
            try:
                self.use()
            except OSError as error:
                os.truncate(path, 100)
                raise wrapped(f"Error while serializing: I/O error: {error.strerror} (os error {error.errno})") from None

        return save


def gyebo(words: list[str], cache: Path, last: float = float("inf")) -> tuple[int, str, int]:
    """Type a command while the disk is full from operation `last` on: exit code, stderr, number of operations."""
    receive, send = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_typed, args=(words, cache, last, send))
    process.start()
    send.close()
    try:
        found = receive.recv()
    except EOFError:
        found = (None, "", 0)
    process.join()
    return found


def _typed(words: list[str], cache: Path, last: float, send) -> None:
    from gyebo.cli.app import main

    os.environ["GYEBO_CACHE"] = str(cache)
    said = cache.with_suffix(".errors")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(said, os.O_RDWR | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = ["gyebo", *words]
    disk, code = Disk(last), 0
    disk.install()
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    disk.last = float("inf")
    sys.stderr.flush()
    send.send((code, said.read_text(), disk.count))
