"""The files at the root of a finished run: `run.toml` has the digest of each that gyebo wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gyebo.training import checkpoint

WRITTEN = (
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "*tokenizer.json",
    "tokenizer_config.json",
    "*.spm",
    "README.md",
    "metrics.jsonl",
    "predictions.jsonl",
    "tokenizer/*.json",
)
YOURS = ("README*", "LICEN?E*")  # a user may edit these


def digests(out: Path, pictures: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each file that the run wrote, by its name; `pictures`: those among them."""
    paths = {path for pattern in (*WRITTEN, *pictures) for path in out.glob(pattern) if path.is_file()}
    return {path.relative_to(out).as_posix(): checkpoint.digest(path) for path in sorted(paths)}


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
