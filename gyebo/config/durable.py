"""Files that outlast a kill and a power cut: written aside, flushed to the disk, then renamed; and what a cut leaves behind.

A rename may reach the disk before the content of the file that it names, and an entry of a folder not at all, unless both are
flushed: every file of a run, a comparison and the cache is written through this module. What stands aside is hidden, with one
of the names of `LEFTOVERS`, so that the next start finds and deletes it (`clean`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PART, DELETED = ".part", ".deleted"
LEFTOVERS = (f".*{PART}", f".*{DELETED}", ".saving-*")  # the last: a folder of `gyebo.interchange.saving`
LEFT_ALONE = 86_400.0  # seconds after its last change until a file that another process may be writing counts as left over
BLOCK = 1 << 16  # bytes


@contextmanager
def replacing(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A path to write to, which takes the place of the file `path` in one step; on an error it is deleted and `path` stays.

    `shared`: other processes may write the same file meanwhile, so each writes under a name of its own.
    """
    aside = path.with_name(f".{path.name}{f'.{os.getpid()}' if shared else ''}{PART}")
    try:
        yield aside
        flush(aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    flush(path.parent)


def write(path: Path, text: str) -> None:
    """Replace a text file: after a kill or a power cut it is the old one or the new one."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Have the operating system write a file, or the entries of a folder, to the disk."""
    if os.name != "posix" and path.is_dir():  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_files(folder: Path) -> None:
    """Flush the files of a folder, not those of its folders, and its entries."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            flush(path)
    flush(folder)


def make_folder(path: Path) -> None:
    """Make a folder with its parents, each of which lasts."""
    missing = [folder for folder in (path, *path.parents) if not folder.is_dir()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in reversed(missing):
        flush(folder.parent)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder, whose content is flushed, within its folder; a file may take the place of another."""
    source.replace(target)
    flush(target.parent)


def remove(folder: Path) -> None:
    """Delete a folder; whatever interrupts that, no part of it is ever seen under its name."""
    gone = folder.with_name(f".{folder.name}{DELETED}")
    shutil.rmtree(gone, ignore_errors=True)
    rename(folder, gone)
    shutil.rmtree(gone)


def clean(folder: Path, *, older_than: float = 0.0) -> None:
    """Delete what interrupted writes left in a folder, where it was last changed at least `older_than` seconds ago."""
    for pattern in LEFTOVERS:
        for path in folder.glob(pattern):
            if time.time() - path.lstat().st_mtime < older_than:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append_json(path: Path, value: Any) -> None:
    """Add a line of JSON to a file; the line is on the disk when this returns. For one writer at a time."""
    new = not path.exists()
    if not new:
        mend(path)
    with path.open("ab") as file:
        file.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    if new:
        flush(path.parent)


def mend(path: Path) -> None:
    """End the last line of a file of JSON lines, if it is whole; what a kill or a full disk left of one is taken away, as
    nobody was told that it was written."""
    with path.open("rb") as file:
        whole = _end_of_lines(file)
        file.seek(whole)
        last = file.read()
    if not last:
        return
    with path.open("r+b") as file:
        try:
            json.loads(last)
        except ValueError:
            file.truncate(whole)
        else:
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
        file.flush()
        os.fsync(file.fileno())


def _end_of_lines(file: IO[bytes]) -> int:
    """The place behind the last end of a line."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
