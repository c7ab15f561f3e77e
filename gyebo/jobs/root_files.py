"""The files at the root of a finished run: `run.toml` has the digest of each that gyebo wrote."""

from __future__ import annotations

from pathlib import Path

from gyebo.jobs.written import RUN
from gyebo.training import checkpoint

LEFT_OUT = ("run.toml", "events.*")  # which holds the digests; which are made again from the log
YOURS = ("README*", "LICEN?E*")  # a user may edit these


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of each file that the run wrote, by its name: those at the root, and the tokenizer's."""
    patterns = [name for name, inner in RUN.items() if inner is None]
    patterns += [f"{folder}/{name}" for folder in ("tokenizer", "picture_tokenizer") for name in RUN[folder] or ()]
    paths = {path for pattern in patterns for path in out.glob(pattern)}
    kept = (path for path in sorted(paths) if not any(path.match(pattern) for pattern in LEFT_OUT))
    return {path.relative_to(out).as_posix(): checkpoint.digest(path) for path in kept}


def changed(out: Path, files: dict[str, str]) -> list[tuple[str, bool]]:
    """A line for each file that is not as it was written, and whether that is an edit that a user may make."""
    found = []
    for name, expected in files.items():
        path = out / name
        try:
            wrong = None if checkpoint.digest(path) == expected else "changed since the run wrote it (SHA-256 differs)"
        except FileNotFoundError:
            wrong = "is missing"
        except OSError as error:
            wrong = f"can't be read ({error.strerror})"
        if wrong:
            found.append((f"{path}: {wrong}", any(path.match(pattern) for pattern in YOURS)))
    return found
