"""The training loop: step, log, and at intervals evaluate, save, stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gyebo.config.errors import NamesOptions
from gyebo.nn.state import leaves
from gyebo.training import checkpoint, distributed, log
from gyebo.training.optimizer import state_tensors
from gyebo.training.progress import Progress
from gyebo.training.trainer import Figures, NotFinite, Trainer, read

Evaluate = Callable[[nn.Module], tuple[dict[str, float], list[str]]]
Save = Callable[[nn.Module], None]
LAG = 16  # steps whose figures stay on a device before they are read


class Stopped(NamesOptions):
    """SIGTERM or Ctrl-C; the message says how to resume."""


def raise_if_stopped(trainer: Trainer, out: Path) -> None:
    """Raise Stopped if the signal came with the last step: this run is finished, but no further one may be started."""
    if trainer.stop_requested:
        raise Stopped(f"stopped; {out} is finished")


class Failed(NamesOptions, RuntimeError):
    """The run cannot continue; the message says why, and names the last good checkpoint."""


@dataclass
class Intervals:
    """Steps between checkpoints and between evaluations; `keep`: number of newest checkpoints to keep."""

    checkpoint_every: int
    evaluate_every: int
    keep: int


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGTERM or Ctrl-C was received; a second Ctrl-C interrupts at once."""
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread, where no handler can be set: the caller stops us
        yield lambda: False
        return
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume(trainer: Trainer, out: Path, report: Callable[[str], None]) -> bool:
    """Load the newest checkpoint that a run can go on from; False where there is none.

    Reported, and set aside, are newer ones that are incomplete or damaged, and those that led to a loss that is not finite;
    what is lost of the log is reported too.
    """
    folder = out / "checkpoints"
    first = distributed.rank() == 0
    path, said = distributed.from_first(checkpoint.newest(folder, log.failed_step(out)) if first else None)
    if path is not None:
        state = checkpoint.read(path, trainer.model, trainer.optimizer)
        trainer.restore({"evaluations": _evaluated(out, state["step"])} | state, checkpoint.read_carried(path))
    distributed.barrier()  # all have read before the first changes anything
    if first:
        checkpoint.set_aside(folder, trainer.step if path else -1)
        for line in [*said, *log.repair(out, trainer.step, trainer.evaluations)]:
            report(line)
    distributed.barrier()
    return path is not None


def _evaluated(out: Path, step: int) -> list[dict[str, Any]]:
    """The evaluations up to a step by the log, for a checkpoint that has none because an older version wrote it."""
    return [record for record in log.read(out) if "evaluation" in record and record["step"] <= step]


def train(
    trainer: Trainer,
    out: Path,
    intervals: Intervals,
    *,
    evaluate: Evaluate,
    save: Save,
    progress: Progress,
    early_stop: Callable[[], bool] = lambda: False,
    between: Callable[[], None] | None = None,
    identity: dict[str, str] | None = None,
) -> None:
    """Train to the last step; the run directory `out` always holds what is needed to resume.

    `evaluate` returns metrics and lines of a sample; `save` writes the model into `out`; `early_stop` says after an evaluation
    whether to end before the last step. All run on the first process. `between`: called before every step, when everything of
    the one before is stored; what it raises ends the run. `identity`: of the run, for its checkpoints.
    Raises Stopped after a signal, Failed where the loss is not finite, checkpoint.DiskFull.
    """
    first = distributed.rank() == 0
    book = log.Log(out) if first else None
    made = checkpoint.environment(trainer.device, trainer.precision, distributed.world_size())
    steps = _Steps(trainer, out, book, progress, watched=between is not None)

    def store() -> None:
        carried = trainer.all_carried()
        if book:
            book.flush()
            folder, state = out / "checkpoints", trainer.state()
            checkpoint.write(
                folder,
                trainer.model,
                trainer.optimizer,
                state,
                made=made,
                keep=intervals.keep,
                carried=carried,
                identity=identity,
            )
            save(trainer.model)
        distributed.barrier()

    with stop_signals() as stop_received:
        try:
            if trainer.step == 0:
                store()
            progress.start(trainer)
            while trainer.step < trainer.steps and not distributed.from_first(early_stop()):
                if between:
                    between()
                steps.take()
                done = trainer.step == trainer.steps
                if done or trainer.step % intervals.evaluate_every == 0:
                    steps.flush()
                    _check_finite(trainer, out, book)
                    _evaluate(trainer, book, evaluate, progress)
                    done = done or distributed.from_first(early_stop())
                stop = distributed.any_process(stop_received(), trainer.device)
                if done or stop or trainer.step % intervals.checkpoint_every == 0:
                    steps.flush()
                    _check_finite(trainer, out, book)
                    store()
                trainer.stop_requested = stop
                if stop and not done:
                    raise Stopped(
                        f"stopped after step {trainer.step} of {trainer.steps}, saved in {out}; continue with ‹resume›"
                    )
            if distributed.from_first(all(record["step"] != trainer.step for record in trainer.evaluations)):
                _evaluate(trainer, book, evaluate, progress)  # of an older checkpoint whose log is lost
        finally:
            progress.stop()
            if book:
                book.close()


class _Steps:
    """Takes steps and writes their records. A CPU is asked for each step's figures; another device keeps those of up to `LAG`
    steps, as it need not wait for us then."""

    def __init__(self, trainer: Trainer, out: Path, book: log.Log | None, progress: Progress, *, watched: bool):
        self.trainer, self.out, self.book, self.progress = trainer, out, book, progress
        self.lag = 1 if watched else lag(trainer.device)
        self.unread: list[Figures] = []
        self.written = trainer.seconds  # of the last record

    def take(self) -> None:
        """One step; Failed where one that is read now was not finite."""
        start = time.perf_counter()
        if self.lag > 1:
            self.unread.append(self.trainer.advance_unread())
            self.trainer.seconds += time.perf_counter() - start
        else:
            try:
                record = self.trainer.advance()
            except NotFinite as error:
                raise self._failed(error) from None
            self.trainer.seconds += time.perf_counter() - start
            self._write([record])
        if len(self.unread) == self.lag:
            self.flush()

    def flush(self) -> None:
        """Write the records of all steps; Failed as of `take`."""
        if not self.unread:
            return
        start, records, failed = time.perf_counter(), [], None
        try:
            for record in read(self.unread):
                records.append(record)
        except NotFinite as error:
            failed = error
        self.unread = []
        self.trainer.seconds += time.perf_counter() - start
        self._write(records)
        if failed:
            raise self._failed(failed)

    def _failed(self, error: NotFinite) -> Failed:
        rows = self.trainer.rows.ids(error.step - 1, self.trainer.batch_rows, self.trainer.seed)
        reason = f"{error}: the loss is not finite, training stopped (documents {rows})"
        return _failed(self.trainer, self.out, self.book, reason, error.step)

    def _write(self, records: list[dict[str, Any]]) -> None:
        """Each with the seconds up to it; those that were read together took equally long."""
        each = (self.trainer.seconds - self.written) / max(1, len(records))
        for number, record in enumerate(records, 1):
            if self.book:
                self.book.write(record | {"seconds": round(self.written + number * each, 4)})
            self.progress.step(self.trainer, record)
        self.written = self.trainer.seconds if records else self.written


def lag(device: torch.device) -> int:
    """How many steps' figures are read together."""
    return 1 if device.type == "cpu" else LAG


def _check_finite(trainer: Trainer, out: Path, book: log.Log | None) -> None:
    """Raise Failed, on every process, where the weights, the optimiser's state or the carried state are not finite."""
    found = checkpoint.weights(trainer.model) | state_tensors(trainer.model, trainer.optimizer)
    name = checkpoint.first_not_finite(found | leaves(trainer.carried or {}))
    if distributed.any_process(name is not None, trainer.device):
        reason = f"after step {trainer.step}, {name or 'a tensor'} is not finite, training stopped"
        raise _failed(trainer, out, book, reason, trainer.step + 1)


def _failed(trainer: Trainer, out: Path, book: log.Log | None, reason: str, failed: int) -> Failed:
    """The error that says from where to go on and how; the log keeps the step that failed, as no later run can go on from these
    weights."""
    if book:
        book.write({"step": failed, "failed": reason})
        book.flush()
    last, _ = checkpoint.newest(out / "checkpoints", failed)
    lower = f"‹optim.lr›={trainer.peak_lr / 2:.3g}"
    return Failed(
        f"{reason}; the last good checkpoint is {last}: go on from it with a lower learning rate (‹resume› {lower})"
        if last
        else f"{reason}; there is no good checkpoint: start again with a lower learning rate (‹overwrite› {lower})"
    )


def _evaluate(trainer: Trainer, book: log.Log | None, evaluate: Evaluate, progress: Progress) -> None:
    if book is not None:
        trainer.model.eval()
        metrics, sample = evaluate(trainer.model)
        trainer.model.train()
        record = {"step": trainer.step, "tokens": trainer.tokens, "seconds": round(trainer.seconds, 4), "evaluation": metrics}
        book.write(record)
        trainer.evaluations.append(record)
        progress.evaluation(trainer, metrics, sample)
    distributed.barrier()
