"""Scalars for TensorBoard, written at once: its own writer has a thread, whose errors nobody catches.

The format of the files is that of `tensorboard.summary.writer`, records of `Event` messages.
"""

from __future__ import annotations

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


class Board:
    """A file `events.out.tfevents.*` in a folder. Raises OSError where it can't be written."""

    def __init__(self, folder: Path):
        name = f"events.out.tfevents.{int(time.time()):010d}.gyebo"  # its own writer puts the machine's name here
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, name: str, value: float, step: int) -> None:
        """Append one value of a curve."""
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._file.close()
