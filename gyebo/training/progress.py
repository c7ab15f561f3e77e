"""Progress of a training on the console."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from gyebo.training import distributed
from gyebo.training.device import matmul_rate

if TYPE_CHECKING:
    from gyebo.training.trainer import Trainer


BAR = 30  # characters of a bar in a notebook


def _plain(text: str) -> dict[str, str]:
    """A text as a notebook takes it."""
    return {"text/plain": text}


class Progress:
    """A bar on a terminal and in a notebook, elsewhere a line for each evaluation: loss, tokens/s, share of the measured
    matrix-product rate. `flops_per_token`: of training, forward and backward."""

    def __init__(self, console: Console | None, flops_per_token: float):
        self.console = None if console is None or console.quiet else console
        self.flops = flops_per_token
        self._bar: Bar | None = None
        self._line: Any = None  # of a notebook
        self._mark = (0.0, 0)
        self._evaluated = (0.0, 0)
        self._rate = 0.0

    def start(self, trainer: Trainer) -> None:
        """Start the display at the trainer's current step."""
        if self.console is None:
            return
        self._mark = (time.perf_counter(), trainer.tokens)
        self._evaluated = (trainer.seconds, trainer.tokens)
        self._limit = matmul_rate(trainer.device.type, trainer.precision) * distributed.world_size()
        if self.console.is_terminal:
            columns = (TextColumn("step {task.completed}/{task.total}"), BarColumn(None), TextColumn("{task.description}"))
            self._bar = Bar(*columns, TimeRemainingColumn(), console=self.console)
            self._task = self._bar.add_task("", total=trainer.steps, completed=trainer.step)
            self._bar.start()
        elif self.console.is_jupyter:
            from IPython.display import display

            self._line = display(_plain(f"step {trainer.step}/{trainer.steps}"), raw=True, display_id=True)

    def step(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """After every step."""
        if self.console is None:
            return
        now = time.perf_counter()
        if now - self._mark[0] >= 0.5:
            self._rate = (trainer.tokens - self._mark[1]) / (now - self._mark[0])
            self._mark = (now, trainer.tokens)
            self._show_line(trainer, record)
        if self._bar:
            self._bar.update(self._task, completed=trainer.step, description=self._describe(record))

    def _show_line(self, trainer: Trainer, record: dict[str, Any]) -> None:
        """In a notebook, whose one line is written anew twice a second."""
        if self._line is None:
            return
        done = trainer.step / trainer.steps
        bar = ("█" * round(BAR * done)).ljust(BAR, "░")
        self._line.update(_plain(f"{bar} step {trainer.step}/{trainer.steps}  {self._describe(record)}"), raw=True)

    def _describe(self, record: dict[str, Any]) -> str:
        loss = f"loss {record['loss']:.3f}"
        if not self._rate:  # not measured yet
            return loss
        return f"{loss}  {self._rate:>9,.0f} tokens/s  {self._rate * self.flops / self._limit:>4.0%} of peak"

    def evaluation(self, trainer: Trainer, metrics: dict[str, float], sample: list[str]) -> None:
        """After every evaluation: its metrics and the lines of a sample."""
        if self.console is None:
            return
        shown = "  ".join(
            f"{name.replace('_', ' ')} {value:.3f}" for name, value in metrics.items() if isinstance(value, float)
        )
        left = ""
        if trainer.step < trainer.steps:
            left = f"  {(trainer.steps - trainer.step) * trainer.seconds / max(1, trainer.step) / 60:.1f} min left"
        seconds, tokens = trainer.seconds - self._evaluated[0], trainer.tokens - self._evaluated[1]
        mean = tokens / seconds if seconds > 0 else 0.0  # of the steps since the last evaluation, however few
        rate = f"  {mean:,.0f} tokens/s  {mean * self.flops / self._limit:.0%} of peak" if mean else ""
        self.console.print(f"step {trainer.step}/{trainer.steps}  {shown}{rate}{left}", highlight=False)
        for line in sample:
            self.console.print(f"  [dim]{escape(line)}[/dim]", highlight=False)
        if self._line is not None:
            self._line.update(_plain(f"step {trainer.step}/{trainer.steps}"), raw=True)
        self._mark = (time.perf_counter(), trainer.tokens)
        self._evaluated = (trainer.seconds, trainer.tokens)

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar:
            self._bar.stop()
