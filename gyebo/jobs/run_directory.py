"""The run directory: who may write it, and `run.toml`, which holds everything to repeat the run."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gyebo
from gyebo.config import durable, toml
from gyebo.config.disk import disk_full
from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions
from gyebo.data.lock import LOCK, refuse_busy_below, sole_writer
from gyebo.jobs import written
from gyebo.jobs.written import STARTING, Table, foreign, linked

ONE, SEVERAL = "run.toml", "results.json"  # what a run of one seed has, and one of several
TOKENIZER = "tokenizer.json"
WRITTEN = {
    ONE: written.RUN,
    SEVERAL: written.SEEDS,
    TOKENIZER: written.TOKENIZER,
    written.ATTRIBUTE: written.ATTRIBUTE_MODEL,
}


@contextmanager
def claim(out: Path, *, resume: bool, overwrite: bool, kind: str = ONE) -> Iterator[bool]:
    """The output directory for one writer; True where it holds something to resume.

    Raises ValueError for an existing one without `resume` or `overwrite`, and for one that holds anything that isn't ours;
    `gyebo.data.lock.Busy` where another process writes it; `gyebo.config.disk.DiskFull` for what is said inside of a full disk.
    A start that ended before `kind` was written left nothing worth keeping: it is begun anew. What `overwrite` replaces stands
    aside until the new run has begun (`started`), and comes back where it does not.
    """
    if resume and overwrite:
        raise OptionError("‹resume› and ‹overwrite› exclude each other: resume the run, or start it again")
    if out.exists() and not out.is_dir():
        raise OptionError(f"{out} is a file: choose another ‹out›")
    abandoned = False
    with disk_full(out, lambda: _kept(out, abandoned)), sole_writer(out):
        found = _open(out, resume=resume, overwrite=overwrite, kind=kind)
        try:
            yield found
        except BaseException:
            abandoned = _abandon(out, kind)
            raise


def _open(out: Path, *, resume: bool, overwrite: bool, kind: str) -> bool:
    if kind not in _names(out) and not _names(out) & {ONE, SEVERAL}:
        bring_back(out, WRITTEN[kind])  # what a start that was killed had replaced
    names = _names(out)
    if kind in names:
        _check_kind(out, kind, names)
        if STARTING not in names:
            forget(out)
        if resume:
            refuse_links(out, WRITTEN[kind])
            for folder in (out, out / "checkpoints"):
                durable.clean(folder)
            return True
        if not overwrite:
            hint = "‹resume› to continue or " if kind in (ONE, SEVERAL) else ""
            raise OptionError(f"{out} exists already: pass {hint}‹overwrite› to start again")
        set_aside(out, WRITTEN[kind])
    elif names & {ONE, SEVERAL} and kind in (ONE, SEVERAL):
        held, asked = ("one seed", "several") if ONE in names else ("several seeds", "one")
        raise OptionError(f"{out} holds a run of {held}, but {asked} would be written: choose another ‹out›")
    elif STARTING in names:
        refuse_foreign(out, WRITTEN[kind])
        _clear(out)
    elif names:
        raise OptionError(f"{out} exists already and holds no {kind}, so it was not written by gyebo: choose another ‹out›")
    durable.make_folder(out.resolve())
    (out / STARTING).touch()
    return False


def _names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()} - {LOCK} if out.is_dir() else set()


def _clear(out: Path) -> None:
    """Delete what is in a directory, but for a lock."""
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _check_kind(out: Path, kind: str, names: set[str]) -> None:
    """ValueError for a comparison, which has a results.json too."""
    if kind == SEVERAL and names & {"recipe.toml", "plan.json"}:
        raise OptionError(f"{out} holds a comparison, not a fine-tuning: choose another ‹out›")


def refuse_foreign(out: Path, table: Table) -> None:
    """ValueError where a directory that is to go holds anything that gyebo did not write."""
    if found := foreign(out, table):
        raise OptionError(
            f"{out} holds {found.relative_to(out)}, which gyebo did not write there: move it away, or choose another ‹out›"
        )


def refuse_links(out: Path, table: Table) -> None:
    """ValueError where a symbolic link stands under a name that gyebo writes, as what it names would be written over."""
    if found := linked(out, table):
        raise OptionError(
            f"{out} holds {found.relative_to(out)}, a symbolic link, which gyebo did not write there: replace it by what it "
            "names, or choose another ‹out›"
        )


def _aside(out: Path, what: str = "replaced") -> Path:
    return out.resolve().with_name(f".{out.resolve().name}.{what}")


def set_aside(out: Path, table: Table) -> None:
    """Take a directory out of the way of what is to replace it. ValueError where it holds anything that gyebo did not write,
    `gyebo.data.lock.Busy` where another process writes a run inside of it."""
    refuse_foreign(out, table)
    refuse_busy_below(out)
    forget(out)
    out.resolve().rename(_aside(out))


def bring_back(out: Path, table: Table) -> bool:
    """Put back what was set aside, if anything was, in the place of what gyebo has written there since; True where it was."""
    if not _aside(out).is_dir() or (out.is_dir() and foreign(out, table)):
        return False
    if out.is_dir():
        shutil.rmtree(out.resolve())
    _aside(out).rename(out.resolve())
    return True


def forget(out: Path) -> None:
    """Delete what was set aside; a half-deleted one, which has another name, is never brought back."""
    if _aside(out).is_dir():
        shutil.rmtree(_aside(out, "deleted"), ignore_errors=True)
        _aside(out).rename(_aside(out, "deleted"))
    shutil.rmtree(_aside(out, "deleted"), ignore_errors=True)


def started(out: Path) -> None:
    """The files that mark the directory as gyebo's are written: it is no longer only starting."""
    (out / STARTING).unlink(missing_ok=True)
    durable.flush(out)
    forget(out)


def _abandon(out: Path, kind: str) -> bool:
    """Take away what a start left that failed before its first record was written; what it was to replace comes back. False
    where there is more than such a start."""
    names = _names(out)
    if STARTING not in names or kind in names or foreign(out, WRITTEN[kind]):
        return False
    _clear(out)
    if LOCK not in {path.name for path in out.iterdir()}:
        out.resolve().rmdir()
    bring_back(out, WRITTEN[kind])
    return True


def _kept(out: Path, abandoned: bool) -> str:
    """What a full disk leaves of a run, and what to do."""
    if abandoned or not _names(out) & {ONE, SEVERAL}:
        return "nothing is kept of this start: free some space and start again"
    steps = [path for path in out.glob("checkpoints/step-*") if path.name.removeprefix("step-").isdecimal()]
    last = max(steps, key=lambda path: int(path.name.removeprefix("step-")), default=None)
    return f"{f'{last} is' if last else 'what was finished is'} kept: free some space and use ‹resume›"


def refuse_to_replace(out: Path, names: Iterable[str | None]) -> None:
    """ValueError where writing `out` would take away what is started from. A name may also be the STEM of two files."""
    for name in names:
        there = name and (Path(name).exists() or any(Path(name).parent.glob(f"{Path(name).name}.*")))
        if there and Path(str(name)).resolve().is_relative_to(out.resolve()):
            raise OptionError(f"‹out›={out} holds {name}, which the run starts from: choose another ‹out›")


def versions() -> dict[str, str]:
    """What made a run."""
    import numpy
    import tokenizers
    import torch

    return {
        "gyebo": gyebo.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "tokenizers": tokenizers.__version__,
        "python": platform.python_version(),
    }


def write(out: Path, record: dict[str, Any]) -> None:
    """Replace `run.toml` in one step, once the files that it speaks of are on the disk."""
    durable.flush_files(out)
    durable.write(out / "run.toml", toml.dump(record))
    started(out)


def read(out: Path) -> dict[str, Any]:
    """`run.toml` of a run; FileNotFoundError where the directory is none."""
    if not (out / "run.toml").is_file():
        raise FileNotFoundError(f"{out}: not a run of gyebo (no run.toml in it)")
    return toml.read(out / "run.toml")


def options_of(record: dict[str, Any], out: Path) -> RunOptions:
    """The options that a run was started with."""
    return toml.check(RunOptions, record["options"], str(out / "run.toml"))


def refuse_existing(out: Path | None, overwrite: bool | None, source: str | None = None) -> None:
    """ValueError before anything is computed; `overwrite` None: there is no such option."""
    if out is None:
        return
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")
    if source is not None and Path(source).resolve() == out.resolve():
        raise OptionError(f"‹out›={out} is the file that is read: choose another name")
    if out.exists() and (out.is_dir() or not overwrite):
        hint = "choose another name" if out.is_dir() or overwrite is None else "choose another name, or ‹overwrite› it"
        raise OptionError(f"{out} exists already: {hint}")
