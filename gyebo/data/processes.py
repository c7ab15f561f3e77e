"""Processes that end with the one that started them, also where that one was killed."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time

SECONDS = 0.5  # between two looks


def end_with_parent() -> None:
    """Watch the process that started this one, in a thread: once it is gone, this one ends at once."""
    parent, python = os.getppid(), multiprocessing.parent_process()

    def watch() -> None:
        while os.getppid() == parent and (python is None or python.is_alive()):
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch of the parent process").start()
