"""One writer at a time: of a run, a comparison, a tokenizer, a prepared corpus.

The lock of `runs/mine` is the file `runs/.mine.lock`: outside of what one publishes, and where it stays when the directory is
replaced. It holds the process id of the writer, and goes with it; what a killed process left is taken over, since the system
releases a lock with its process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gyebo.config.durable import make_folder
from gyebo.config.errors import NamesOptions

LOCK = ".lock"  # its name inside of a directory
_held: set[Path] = set()  # directories that this process writes


class Busy(NamesOptions, RuntimeError):
    """Another process writes there; the message has its id where it is known."""


@contextmanager
def sole_writer(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a directory, which need not exist.

    Raises Busy where another process holds it or that of a directory around it; with `wait`, waits for its own instead.
    """
    folder = folder.resolve()
    make_folder(folder.parent)
    if not wait:
        _refuse_busy(parent for parent in folder.parents if parent not in _held)
    path = _place(folder)
    if not os.access(path.parent, os.W_OK):  # whoever could not write a lock there can't write the directory either
        yield
        return
    if path.is_symlink():
        raise ValueError(f"{path} is a symbolic link, which the lock of {folder} never is: delete it")
    lock = FileLock(path)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        raise _busy(folder, path) from None
    try:
        path.write_text(str(os.getpid()), encoding="ascii")
        _held.add(folder)
        yield
    finally:
        _held.discard(folder)
        path.unlink(missing_ok=True)  # while it is held: who waits for it looks whether it still has its name
        lock.release()


def refuse_busy_below(folder: Path) -> None:
    """Raise Busy where another process writes a directory inside of this one."""
    locks = folder.resolve().rglob(f".*{LOCK}")
    _refuse_busy(lock.with_name(lock.name.removeprefix(".").removesuffix(LOCK)) for lock in locks)


def _refuse_busy(folders: Iterator[Path]) -> None:
    for folder in folders:
        path = _place(folder)
        if path.is_file():
            probe = FileLock(path)
            try:
                probe.acquire(blocking=False)
            except Timeout:
                raise _busy(folder, path) from None
            probe.release()


def _place(folder: Path) -> Path:
    """Beside the directory; inside where nothing can be written beside it, as in a mounted volume."""
    beside = folder.with_name(f".{folder.name}{LOCK}") if folder.name else folder / LOCK
    return beside if os.access(beside.parent, os.W_OK) or not folder.is_dir() else folder / LOCK


def _busy(folder: Path, path: Path) -> Busy:
    writer = path.read_text(encoding="ascii", errors="replace").strip() if path.is_file() else ""
    who = f"another process (pid {writer})" if writer.isdecimal() else "another process"
    return Busy(f"{folder}: {who} is writing there: wait until it has ended, or choose another ‹out›")
