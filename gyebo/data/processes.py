"""Processes that end with the one that started them, also where that one was killed, and that leave Ctrl-C to it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS = 0.5  # between two looks


def end_with_parent() -> None:
    """Watch the process that started this one, in a thread: once it is gone, this one ends at once."""
    parent, python = os.getppid(), multiprocessing.parent_process()

    def watch() -> None:
        while os.getppid() == parent and (python is None or python.is_alive()):
            time.sleep(SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="watch of the parent process").start()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end of this; a process that is started inside never hears it (not on Windows)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
