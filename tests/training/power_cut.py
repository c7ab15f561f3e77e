"""What a power cut may leave: a record of what a process does to a folder, and images of the disk at random instants.

Only what was flushed is certain. A file that was never flushed may be empty, cut short or full of zeros; what was appended
since its last flush may be missing in part; an entry of a folder that changed since the folder's last flush may be the old or
the new one.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Change = tuple[int, str, int | None]  # folder, name, and the file or folder that stands there from now on


class Disk:
    """Follows the changes below `root`. Files and folders have numbers of their own, as inodes are used again.

    At each operation an image is written to `images` with probability `chance`, until there are `most`.
    """

    def __init__(self, root: Path, images: Path, *, seed: int, chance: float, most: int):
        self.root, self.images, self.chance, self.most = root, images, chance, most
        self.rng, self.numbers = random.Random(seed), itertools.count()
        self.number_of: dict[int, int] = {}  # by inode
        self.folders: set[int] = set()
        self.live: dict[int, dict[str, int]] = {}  # entries of each folder as programs see them
        self.certain: dict[int, dict[str, int]] = {}  # and as they were flushed
        self.pending: list[list[Change]] = []  # what happened since, each a step that is done whole or not at all
        self.flushed: dict[int, bytes] = {}
        self.seen: dict[int, bytes] = {}  # content of files that were deleted or replaced
        self.made = 0
        root.mkdir(parents=True)
        self.top = self._add(root.stat().st_ino, folder=True)

    def _add(self, inode: int, folder: bool) -> int:
        number = self.number_of[inode] = next(self.numbers)
        if folder:
            self.folders.add(number)
            self.live[number], self.certain[number] = {}, {}
        return number

    def holds(self, path: Any) -> bool:
        return Path(path).absolute().is_relative_to(self.root)

    def look(self, folder: Path | None = None, number: int | None = None) -> None:
        """Find what was created since: programs open files without a call that could be followed."""
        folder, number = folder or self.root, self.top if number is None else number
        for entry in os.scandir(folder):
            inode, is_folder = entry.stat(follow_symlinks=False).st_ino, entry.is_dir(follow_symlinks=False)
            found = self.number_of.get(inode)
            if found is None or (found in self.folders) != is_folder:
                found = self._add(inode, is_folder)
            if self.live[number].get(entry.name) != found:
                self.live[number][entry.name] = found
                self.pending.append([(number, entry.name, found)])
            if is_folder:
                self.look(Path(entry.path), found)

    def before(self) -> None:
        """An operation is about to happen: the power may go now."""
        self.look()
        if self.made < self.most and self.rng.random() < self.chance:
            self.image()

    def forget(self, path: Path) -> int | None:
        """A name is about to go, by deletion or because another file takes it; returns what stood there."""
        number = self.live[self.number_of[path.parent.stat().st_ino]].get(path.name)
        if number is not None:
            if path.is_file():
                self.seen[number] = path.read_bytes()
            self.number_of.pop(path.stat().st_ino, None)
        return number

    def deleted(self, path: Path) -> None:
        folder = self.number_of[path.parent.stat().st_ino]
        self.live[folder].pop(path.name, None)
        self.pending.append([(folder, path.name, None)])

    def renamed(self, source: Path, target: Path) -> None:
        old, new = (self.number_of[path.parent.stat().st_ino] for path in (source, target))
        number = self.live[old].pop(source.name)
        self.live[new][target.name] = number
        self.pending.append([(old, source.name, None), (new, target.name, number)])

    def flush(self, path: Path) -> None:
        number = self.number_of[path.stat().st_ino]
        if number not in self.folders:
            self.flushed[number] = path.read_bytes()
            return
        for change in [change for change in self.pending if any(folder == number for folder, *_ in change)]:
            self.pending.remove(change)
            _apply(self.certain, change)

    def image(self) -> None:
        """Write what may stand on the disk if the power goes now."""
        some = self.rng.choice([0.0, 0.5, 1.0])
        entries = {folder: dict(names) for folder, names in self.certain.items()}
        for change in self.pending:
            if self.rng.random() < some:
                _apply(entries, change)
        now = dict(self.seen)
        for path in self.root.rglob("*"):
            if path.is_file() and (number := self.number_of.get(path.stat().st_ino)) is not None:
                now[number] = path.read_bytes()
        self._build(entries, now, self.top, self.images / f"{self.made:03d}")
        self.made += 1

    def _build(self, entries: dict[int, dict[str, int]], now: dict[int, bytes], folder: int, where: Path) -> None:
        where.mkdir(parents=True)
        for name, number in entries[folder].items():
            if number in self.folders:
                self._build(entries, now, number, where / name)
            else:
                (where / name).write_bytes(self._content(now.get(number, b""), self.flushed.get(number)))

    def _content(self, now: bytes, flushed: bytes | None) -> bytes:
        if now == flushed:
            return now
        if flushed is not None and not now.startswith(flushed):
            return self.rng.choice([flushed, b"", now[: self.rng.randint(0, len(now))]])
        sure = flushed or b""
        tail = now[len(sure) :]
        return sure + self.rng.choice([b"", tail[: self.rng.randint(0, len(tail))], b"\0" * len(tail)])


def _apply(entries: dict[int, dict[str, int]], change: list[Change]) -> None:
    for folder, name, number in change:
        if number is None:
            entries[folder].pop(name, None)
        else:
            entries[folder][name] = number


def follow(disk: Disk) -> None:
    """Have `disk` follow all that this process does from now on; the process is to end afterwards."""
    real = {name: getattr(os, name) for name in ("rename", "replace", "unlink", "remove", "rmdir", "mkdir", "fsync")}

    def full(path: Any, handle: int | None) -> Path:
        return Path(path).absolute() if handle is None else Path(f"/proc/self/fd/{handle}").readlink() / path

    def moving(name: str) -> Callable[..., None]:
        def call(source: Any, target: Any) -> None:
            if not disk.holds(target):
                return real[name](source, target)
            disk.before()
            if Path(target).is_file():
                disk.forget(Path(target).absolute())
            real[name](source, target)
            disk.renamed(Path(source).absolute(), Path(target).absolute())

        return call

    def deleting(name: str) -> Callable[..., None]:
        def call(path: Any, *, dir_fd: int | None = None) -> None:
            place = full(path, dir_fd)
            if not disk.holds(place) or not os.path.lexists(place):
                return real[name](path, dir_fd=dir_fd)
            disk.before()
            disk.forget(place)
            real[name](path, dir_fd=dir_fd)
            disk.deleted(place)

        return call

    def making(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if disk.holds(full(path, dir_fd)):
            disk.before()
        real["mkdir"](path, mode, dir_fd=dir_fd)

    def flushing(handle: int) -> None:
        place = Path(f"/proc/self/fd/{handle}").readlink()
        if disk.holds(place):
            disk.before()
            disk.flush(place)
        real["fsync"](handle)

    os.rename, os.replace = moving("rename"), moving("replace")
    os.unlink, os.remove, os.rmdir = deleting("unlink"), deleting("remove"), deleting("rmdir")
    os.mkdir, os.fsync = making, flushing
    shutil._use_fd_functions = True  # it asks whether os.unlink is the system's own
