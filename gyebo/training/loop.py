"""The training loop: step, log, and at intervals evaluate, save, stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from gyebo.config.errors import NamesOptions
from gyebo.training import checkpoint, distributed, log
from gyebo.training.progress import Progress
from gyebo.training.trainer import NotFinite, Trainer

Evaluate = Callable[[nn.Module], tuple[dict[str, float], list[str]]]
Save = Callable[[nn.Module], None]


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
    """Load the newest intact checkpoint of a run; False where there is none. Incomplete and damaged ones are reported."""
    path, skipped = checkpoint.newest(out / "checkpoints")
    for line in skipped:
        report(line)
    if path is None:
        if distributed.rank() == 0:
            log.truncate(out, 0)
        return False
    trainer.restore(checkpoint.read(path, trainer.model, trainer.optimizer), checkpoint.read_carried(path))
    if distributed.rank() == 0:
        log.truncate(out, trainer.step)
    distributed.barrier()
    return True


def train(
    trainer: Trainer,
    out: Path,
    intervals: Intervals,
    *,
    evaluate: Evaluate,
    save: Save,
    progress: Progress,
    early_stop: Callable[[], bool] = lambda: False,
    identity: dict[str, str] | None = None,
) -> None:
    """Train to the last step; the run directory `out` always holds what is needed to resume.

    `evaluate` returns metrics and lines of a sample; `save` writes the model into `out`; `early_stop` says after an evaluation
    whether to end before the last step. All run on the first process. `identity`: of the run, for its checkpoints.
    Raises Stopped after a signal, Failed where the loss is not finite, checkpoint.DiskFull.
    """
    first = distributed.rank() == 0
    book = log.Log(out) if first else None
    made = checkpoint.environment(trainer.device, trainer.precision, distributed.world_size())

    def store() -> None:
        carried = trainer.all_carried()
        if first:
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
                _step(trainer, out, book, progress)
                done = trainer.step == trainer.steps
                if done or trainer.step % intervals.evaluate_every == 0:
                    _evaluate(trainer, book, evaluate, progress)
                    done = done or distributed.from_first(early_stop())
                stop = distributed.any_process(stop_received(), trainer.device)
                if done or stop or trainer.step % intervals.checkpoint_every == 0:
                    store()
                trainer.stop_requested = stop
                if stop and not done:
                    raise Stopped(
                        f"stopped after step {trainer.step} of {trainer.steps}, saved in {out}; continue with ‹resume›"
                    )
        finally:
            progress.stop()
            if book:
                book.close()


def _step(trainer: Trainer, out: Path, book: log.Log | None, progress: Progress) -> None:
    start = time.perf_counter()
    try:
        record = trainer.advance()
    except NotFinite as error:
        last, _ = checkpoint.newest(out / "checkpoints")
        rows = trainer.rows.ids(trainer.step, trainer.batch_rows, trainer.seed)
        raise Failed(
            f"{error}: the loss is not finite, training stopped (documents {rows}); the last good checkpoint is {last}. "
            "Lower the learning rate (‹optim.lr›), or look at these documents"
        ) from None
    trainer.seconds += time.perf_counter() - start
    if book:
        book.write(record | {"seconds": round(trainer.seconds, 4)})
    progress.step(trainer, record)


def _evaluate(trainer: Trainer, book: log.Log | None, evaluate: Evaluate, progress: Progress) -> None:
    if book is not None:
        trainer.model.eval()
        metrics, sample = evaluate(trainer.model)
        trainer.model.train()
        book.write(
            {"step": trainer.step, "tokens": trainer.tokens, "seconds": round(trainer.seconds, 4), "evaluation": metrics}
        )
        progress.evaluation(trainer, metrics, sample)
    distributed.barrier()
