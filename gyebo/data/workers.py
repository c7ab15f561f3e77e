"""Processes that prepare the parts of a corpus side by side, whatever program asks for it.

A fork of a process that has run threads of torch or tokenizers can hang. A process that `multiprocessing` spawns runs the
caller's program again, where that is no module, and so asks for the lock that the caller holds; in a notebook it finds nothing
to run. These are plain processes that import gyebo alone, and are sent everything else through a pipe.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from queue import SimpleQueue
from subprocess import PIPE, Popen
from typing import IO, Any, Protocol, Self

from gyebo.data.processes import end_with_parent, interrupts_held
from gyebo.data.source import Chunk

# The path first: gyebo itself may lie where only the caller's program looks.
_START = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from gyebo.data.workers import serve; serve()"


class Worker(Protocol):
    """What is done with each chunk of a corpus; sent to each process once."""

    def part(self, chunk: Chunk, number: int, cut: int | None, held_out: bool) -> dict[str, Any]:
        """The record of part `number`."""


class Workers:
    """Up to so many processes with a copy of a worker each, for threads that each wait for a part."""

    def __init__(self, worker: Worker, count: int):
        self._worker = pickle.dumps(worker)
        self._processes: list[Popen[bytes]] = []
        self._free: SimpleQueue[Popen[bytes] | None] = SimpleQueue()  # None: one that has to be started
        for _ in range(count):
            self._free.put(None)

    def part(self, *job: Any) -> dict[str, Any]:
        """The record of a part, from the next process that is free. Raises what the worker raised there, RuntimeError where
        the process has ended."""
        process = self._free.get() or self._start()
        try:
            if process not in self._processes:
                self._greet(process)
            found, error = self._answer(process, job)
        except (EOFError, OSError, pickle.UnpicklingError):
            code = process.wait()
            ended = f"signal {-code}" if code < 0 else f"exit {code}"
            raise RuntimeError(
                f"a process that prepared the corpus has ended ({ended}): where memory was short, end other programs; start "
                "again, the parts that were finished are kept"
            ) from None
        finally:
            self._free.put(process)
        if error is not None:
            raise error
        return found

    def _start(self) -> Popen[bytes]:
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false"}  # the processes are the parallelism
        with interrupts_held():  # Ctrl-C is for all processes of a terminal: the first one stops the others
            process = Popen([sys.executable, "-c", _START], stdin=PIPE, stdout=PIPE, env=environment)
        return process

    def _greet(self, process: Popen[bytes]) -> None:
        assert process.stdin
        self._processes.append(process)
        pickle.dump(sys.path, process.stdin)
        process.stdin.write(self._worker)

    def _answer(self, process: Popen[bytes], job: Any) -> tuple[dict[str, Any], Exception | None]:
        assert process.stdin and process.stdout
        pickle.dump(job, process.stdin)
        process.stdin.flush()
        answer: tuple[dict[str, Any], Exception | None] = pickle.load(process.stdout)
        return answer

    def kill(self) -> None:
        """End all processes at once, whatever they are doing."""
        for process in self._processes:
            process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """Let the processes, which have nothing left to do, end by themselves."""
        for process in self._processes:
            process.communicate()


def serve() -> None:
    """What such a process does: read the worker, then jobs until there are no more, and write what became of each."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs, answers = sys.stdin.buffer, _own_output()
    worker: Worker = pickle.load(jobs)
    while job := _next(jobs):
        try:
            answer: tuple[dict[str, Any], Exception | None] = (worker.part(*job), None)
        except Exception as error:
            answer = ({}, error)
        pickle.dump(answer, answers)
        answers.flush()


def _own_output() -> IO[bytes]:
    """Where answers go; what anything else prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _next(jobs: IO[bytes]) -> Any:
    try:
        return pickle.load(jobs)
    except EOFError:
        return None
