"""The run directory: who may write it, and `run.toml`, which holds everything to repeat the run."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gyebo
from gyebo.config import durable, toml
from gyebo.config.errors import OptionError
from gyebo.config.run import RunOptions, Section

STARTING = ".gyebo-starting"  # stands in a directory that was empty when it was claimed, until its first record is written
ONE, SEVERAL = "run.toml", "results.json"  # what a run of one seed has, and one of several
LEFT_BY_A_START = {STARTING, "tokenizer", ".tokenizer.part", ".run.toml.part", ".results.json.part", ".part"}
LEFT_BY_A_START |= {"tokenizer_config.json"}  # of a tokenizer: its other file, which counts, is renamed last
TOKENIZER = "tokenizer.json"
FREE_TO_CHANGE = {"device", "checkpoint_every", "evaluate_every", "evaluate_tokens", "keep"}


def claim(out: Path, *, resume: bool, overwrite: bool, kind: str = "run.toml") -> bool:
    """Make the output directory ready; True where it holds something to resume.

    Raises ValueError for an existing one without `resume` or `overwrite`, and for one that isn't ours. A start that ended
    before `kind` was written left nothing worth keeping: it is begun anew. What `overwrite` replaces stands aside until the new
    run has begun (`started`), and comes back where it does not (`abandon`).
    """
    if resume and overwrite:
        raise OptionError("‹resume› and ‹overwrite› exclude each other: resume the run, or start it again")
    if out.exists() and not out.is_dir():
        raise OptionError(f"{out} is a file: choose another ‹out›")
    if not out.exists() or {path.name for path in out.iterdir()} <= LEFT_BY_A_START:
        bring_back(out)  # what a start that was killed had replaced
    names = {path.name for path in out.iterdir()} if out.exists() else set()
    if kind in names:
        _check_kind(out, kind, names)
        if resume:
            for folder in (out, out / "checkpoints"):
                durable.clean(folder)
            return True
        if kind == TOKENIZER and names - {TOKENIZER, "tokenizer_config.json"}:
            raise OptionError(f"{out} holds more than a tokenizer: choose another ‹out›")
        if not overwrite:
            hint = "" if kind == TOKENIZER else "‹resume› to continue or "
            raise OptionError(f"{out} exists already: pass {hint}‹overwrite› to start again")
        set_aside(out)
    elif STARTING in names and names <= LEFT_BY_A_START:
        shutil.rmtree(out)
    elif names & {ONE, SEVERAL} and kind in (ONE, SEVERAL):
        held, asked = ("one seed", "several") if ONE in names else ("several seeds", "one")
        raise OptionError(f"{out} holds a run of {held}, but {asked} would be written: choose another ‹out›")
    elif names:
        raise OptionError(f"{out} exists already and holds no {kind}, so it was not written by gyebo: choose another ‹out›")
    durable.make_folder(out)
    (out / STARTING).touch()
    return False


def _check_kind(out: Path, kind: str, names: set[str]) -> None:
    """ValueError for a comparison, which has a results.json too."""
    if kind == SEVERAL and names & {"recipe.toml", "plan.json"}:
        raise OptionError(f"{out} holds a comparison, not a fine-tuning: choose another ‹out›")


def _replaced(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


def set_aside(out: Path) -> None:
    """Take a directory out of the way of what is to replace it."""
    forget(out)
    out.rename(_replaced(out))


def bring_back(out: Path) -> None:
    """Put back what was set aside, if anything was, in the place of what stands there."""
    if _replaced(out).is_dir():
        shutil.rmtree(out, ignore_errors=True)
        _replaced(out).rename(out)


def forget(out: Path) -> None:
    """Delete what was set aside."""
    shutil.rmtree(_replaced(out), ignore_errors=True)


def started(out: Path) -> None:
    """The files that mark the directory as gyebo's are written: it is no longer only starting."""
    (out / STARTING).unlink(missing_ok=True)
    durable.flush(out)
    forget(out)


def abandon(out: Path) -> None:
    """Take away what a start left that failed before its first record was written; what it was to replace comes back."""
    if (out / STARTING).is_file() and {path.name for path in out.iterdir()} <= LEFT_BY_A_START:
        shutil.rmtree(out)
        bring_back(out)


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


def differences(stored: Section, given: Section) -> list[str]:
    """What a resumed run may not change, as `name: stored -> given`."""
    old, new = toml.flat(stored.model_dump(mode="json")), toml.flat(given.model_dump(mode="json"))
    names = [n for n in {**old, **new} if old.get(n) != new.get(n) and n.rsplit(".", 1)[-1] not in FREE_TO_CHANGE]
    return [f"{name}: {old.get(name)!r} stored, {new.get(name)!r} given" for name in names]


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
