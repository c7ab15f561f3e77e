"""What gyebo writes, a table for each kind of directory: replacing a directory takes away nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeAlias

STARTING = ".gyebo-starting"  # stands in a directory that was empty when it was claimed, until its first record is written
TEMPORARY = (STARTING, ".*.part", ".part", ".*.deleted", ".saving-*", ".step-*", ".*.lock", ".lock")  # left after a kill

Table: TypeAlias = "Mapping[str, Table | None]"  # pattern of a name -> None: a file; a table: a folder with these in it


def _files(*names: str) -> dict[str, None]:
    return dict.fromkeys(names)


TOKENIZER: Table = _files("tokenizer.json", "tokenizer_config.json")
TRANSLATION_TOKENIZER = _files("target_tokenizer.json", "source.spm", "target.spm", "vocab.json")
WEIGHTS = _files("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
CHECKPOINT = _files("model.safetensors", "optimizer.safetensors", "carried.safetensors", "state.json", "manifest.json")
PICTURES = _files("loss.png", "reconstructions.png", "learning.png", "confusion.png", "lengths.png")
RUN: Table = {
    **_files(
        "run.toml",
        "metrics.jsonl",
        "events.out.tfevents.*",
        "README.md",
        "predictions.jsonl",
        "vocabulary.json",
        "per-example.npz",
    ),
    **_files("config.json", "generation_config.json"),
    **WEIGHTS,
    **TOKENIZER,
    **TRANSLATION_TOKENIZER,
    **PICTURES,
    "checkpoints": {"step-*": CHECKPOINT, "sources.json": None},
    "tokenizer": TOKENIZER,
    "picture_tokenizer": {"config.json": None, **WEIGHTS},
}
ATTRIBUTE, ATTRIBUTE_WEIGHTS = "attribute.json", "attribute.safetensors"
ATTRIBUTE_MODEL: Table = _files(ATTRIBUTE, ATTRIBUTE_WEIGHTS)
SEEDS: Table = {**RUN, **_files("results.json", "results.md"), "seed-*": RUN}


def foreign(folder: Path, table: Table) -> Path | None:
    """The first thing in a folder that gyebo did not write there: another name, or a symbolic link, which is never followed."""
    for path in sorted(folder.iterdir()):
        if path.is_symlink():
            return path
        if any(fnmatchcase(path.name, pattern) for pattern in TEMPORARY):
            continue
        known = [inner for pattern, inner in table.items() if fnmatchcase(path.name, pattern)][:1]
        if not known or path.is_dir() != (known[0] is not None):
            return path
        if known[0] is not None and (found := foreign(path, known[0])):
            return found
    return None


def linked(folder: Path, table: Table) -> Path | None:
    """The first symbolic link in a folder under a name that gyebo writes there, through which it would write elsewhere."""
    for path in sorted(folder.iterdir()):
        known = [inner for pattern, inner in table.items() if fnmatchcase(path.name, pattern)][:1]
        if path.is_symlink() and (known or any(fnmatchcase(path.name, pattern) for pattern in TEMPORARY)):
            return path
        if known and known[0] is not None and path.is_dir() and (found := linked(path, known[0])):
            return found
    return None
