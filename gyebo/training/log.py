"""The logs of a run: `metrics.jsonl`, exact and complete, and a copy of it for TensorBoard."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gyebo.config import durable

NAME = "metrics.jsonl"


class Log:
    """Appends records to `metrics.jsonl` and TensorBoard.

    A record has a "step"; a training step has "loss", an evaluation "evaluation", the step that ended a run "failed".
    """

    def __init__(self, folder: Path, *, tensorboard: bool = True):
        self.path = folder / NAME
        self._file = self.path.open("a", encoding="utf-8")
        durable.flush(folder)
        self._board: Any = None
        if tensorboard:
            from gyebo.training.tensorboard import Board

            for old in folder.glob("events.*"):
                old.unlink()
            self._board = Board(folder)
            for record in read(folder):  # TensorBoard's files can't be truncated: they are rebuilt from the exact log
                self._show(record)
            self._board.flush()

    def write(self, record: dict[str, Any]) -> None:
        """Append one record, without buffering."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._board:
            self._show(record)
            self._board.flush()

    def flush(self) -> None:
        """Have all records on the disk: before a checkpoint that follows them."""
        os.fsync(self._file.fileno())

    def _show(self, record: dict[str, Any]) -> None:
        values = record.get("evaluation") or {k: v for k, v in record.items() if k in ("loss", "lr", "grad_norm")}
        place = "evaluation" if "evaluation" in record else "training"
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add(f"{place}/{name}", value, record["step"])

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        if self._board:
            self._board.close()


def read(folder: Path) -> list[dict[str, Any]]:
    """All records of a run's log; lines that can't be read, as the last one after a kill, are left out."""
    return [record for record in _lines(folder) if record is not None]


def _lines(folder: Path) -> list[dict[str, Any] | None]:
    """The record of each line; None for one that can't be read."""
    path = folder / NAME
    if not path.is_file():
        return []
    *lines, torn = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [_record(line) for line in lines] + [None] * bool(torn)


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def failed_step(folder: Path) -> int | None:
    """The step whose loss was not finite, where that ended the run."""
    return next((record["step"] for record in reversed(read(folder)) if "failed" in record), None)


def repair(folder: Path, step: int, evaluations: Sequence[dict[str, Any]] = ()) -> list[str]:
    """Cut the log to the records up to `step`: a resumed run writes the rest again. Returns lines on what is lost.

    `evaluations`: the records of evaluations that a checkpoint holds; those that are missing in the log are put back.
    """
    found = _lines(folder)
    kept = [record for record in found if record is not None and record["step"] <= step and "failed" not in record]
    evaluated = {record["step"] for record in kept if "evaluation" in record}
    kept += [record for record in evaluations if record["step"] not in evaluated]
    kept.sort(key=lambda record: (record["step"], "evaluation" in record))
    if kept or found:
        durable.write(folder / NAME, "".join(json.dumps(record) + "\n" for record in kept))
    said = []
    if unreadable := found.count(None):
        said.append(f"{folder / NAME}: {unreadable} line{'s' * (unreadable > 1)} can't be read and left out")
    if missing := len(set(range(1, step + 1)) - {record["step"] for record in kept if "loss" in record}):
        said.append(f"{folder / NAME}: {missing} of {step} steps are missing: curves are drawn without them")
    return said
