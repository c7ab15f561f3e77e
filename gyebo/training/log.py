"""The logs of a run: `metrics.jsonl`, exact and complete, and a copy of it for TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Log:
    """Appends records to `metrics.jsonl` and TensorBoard. A record has a "step"; an evaluation also "evaluation"."""

    def __init__(self, folder: Path, *, tensorboard: bool = True):
        self.path = folder / "metrics.jsonl"
        self._file = self.path.open("a", encoding="utf-8")
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
    """All records of a run's log; an incomplete last line is skipped."""
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]


def truncate(folder: Path, step: int) -> None:
    """Delete the records after `step`: a resumed run writes them again."""
    kept = [record for record in read(folder) if record["step"] <= step]
    aside = folder / ".metrics.part"
    aside.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    aside.replace(folder / "metrics.jsonl")
