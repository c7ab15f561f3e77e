"""The training loop: evaluate? save? stop? step, log."""

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
    """SIGTERM or Ctrl-C; the message says how to go on."""


def refuse_to_go_on(trainer: Trainer, out: Path) -> None:
    """Stopped where the signal came with the last step: the run is whole, but whoever trains several may not begin another."""
    if trainer.asked_to_stop:
        raise Stopped(f"stopped; {out} is finished")


class Failed(NamesOptions, RuntimeError):
    """The run can't go on; the message says why, and what is left."""


@dataclass
class Rhythm:
    """When things happen, in steps; `keep` checkpoints stay."""

    checkpoint_every: int
    evaluate_every: int
    keep: int


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """A function that says whether SIGTERM or Ctrl-C came; a second Ctrl-C interrupts at once."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: whoever runs us there stops us
        yield lambda: False
        return
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def resume(trainer: Trainer, out: Path, say: Callable[[str], None]) -> bool:
    """Load the newest whole checkpoint of a run; False where there is none. Incomplete and damaged ones are named."""
    path, skipped = checkpoint.newest(out / "checkpoints")
    for line in skipped:
        say(line)
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
    rhythm: Rhythm,
    *,
    evaluate: Evaluate,
    save: Save,
    progress: Progress,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Train to the last step; the run directory always holds what is needed to go on.

    `evaluate` gives metrics and lines of a sample; `save` writes the root's model directory; `enough` says after an evaluation
    whether to end before the last step. All run on the first process.
    Raises Stopped after a signal, Failed where the loss is not finite, checkpoint.DiskFull.
    """
    first = distributed.rank() == 0
    book = log.Log(out) if first else None
    made = checkpoint.environment(trainer.device, trainer.precision, distributed.world_size())

    def store() -> None:
        carried = trainer.all_carried()
        if first:
            folder, state = out / "checkpoints", trainer.state()
            checkpoint.write(folder, trainer.model, trainer.optimizer, state, made, rhythm.keep, carried)
            save(trainer.model)
        distributed.barrier()

    with stop_signals() as asked:
        try:
            if trainer.step == 0:
                store()
            progress.start(trainer)
            while trainer.step < trainer.steps and not distributed.from_first(enough()):
                _step(trainer, out, book, progress)
                done = trainer.step == trainer.steps
                if done or trainer.step % rhythm.evaluate_every == 0:
                    _evaluate(trainer, book, evaluate, progress)
                    done = done or distributed.from_first(enough())
                stop = distributed.any_process(asked(), trainer.device)
                if done or stop or trainer.step % rhythm.checkpoint_every == 0:
                    store()
                trainer.asked_to_stop = stop
                if stop and not done:
                    raise Stopped(f"stopped after step {trainer.step} of {trainer.steps}, saved in {out}; go on with ‹resume›")
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
