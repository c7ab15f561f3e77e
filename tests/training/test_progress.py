"""What a run shows while it trains."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from gyebo.training import progress


@pytest.fixture
def shown(monkeypatch):
    """Shows one step of 1000 tokens that took 2 seconds, then an evaluation; gives what stands on the console."""

    def show():
        clock = iter([10.0, 12.0, 12.0, 12.0, 12.0])
        monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
        monkeypatch.setattr(progress, "matmul_rate", lambda device, precision: 1e6)
        out = io.StringIO()
        console = Console(file=out, width=120)
        display = progress.Progress(console, 300.0)
        trainer = SimpleNamespace(tokens=0, step=0, steps=4, device=torch.device("cpu"), precision="float32", seconds=0.0)
        display.start(trainer)
        trainer.tokens, trainer.step, trainer.seconds = 1000, 1, 2.0
        display.step(trainer, {"loss": 1.5})
        display.evaluation(trainer, {"bits_per_byte": 2.25, "bytes": 7}, ["a [b] c"])
        display.stop()
        return out.getvalue()

    return show


def test_a_log_has_a_line_for_each_evaluation(shown):
    line, sample = shown().splitlines()
    assert "step 1/4" in line and "2.250" in line and "500 tokens/s" in line
    assert "15% of peak" in line  # 300 FLOPs a token, 500 tokens/s, of 1e6 FLOP/s
    assert "0.1 min left" in line  # 3 steps of 2 s
    assert sample.strip() == "a [b] c"  # not read as rich's markup


def test_the_rate_of_a_line_is_that_of_its_own_steps(monkeypatch):
    """Also where they took less than what the bar waits for, and evaluations much longer."""
    monkeypatch.setattr(progress, "matmul_rate", lambda device, precision: 1e6)
    out = io.StringIO()
    display = progress.Progress(Console(file=out, width=120), 300.0)
    trainer = SimpleNamespace(tokens=0, step=0, steps=2, device=torch.device("cpu"), precision="float32", seconds=0.0)
    display.start(trainer)
    for trainer.tokens, trainer.seconds, trainer.step in ((100, 0.25, 1), (300, 0.35, 2)):
        display.step(trainer, {"loss": 1.5})
        display.evaluation(trainer, {}, [])
    first, second = out.getvalue().splitlines()
    assert "  400 tokens/s  12% of peak" in first  # 100 in 0.25 s
    assert "  2,000 tokens/s  60% of peak" in second  # 200 in 0.1 s


def test_without_a_console_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(progress, "matmul_rate", lambda *_: pytest.fail("measured"))
    display = progress.Progress(None, 1.0)
    trainer = SimpleNamespace(tokens=0)
    display.start(trainer)
    display.step(trainer, {"loss": 1.0})
    display.evaluation(trainer, {}, [])
    display.stop()


def test_a_terminal_has_a_bar_with_the_loss_and_the_rate_once_it_is_measured(monkeypatch):
    clock = iter([10.0, 10.1, 12.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(progress, "matmul_rate", lambda device, precision: 1e6)
    display = progress.Progress(Console(file=io.StringIO(), force_terminal=True, width=120), 300.0)
    trainer = SimpleNamespace(tokens=0, step=0, steps=4, device=torch.device("cpu"), precision="float32", seconds=0.0)
    monkeypatch.setattr(progress.Bar, "start", lambda self: None)
    display.start(trainer)
    said = []
    for trainer.tokens, trainer.step in ((100, 1), (1000, 2)):
        display.step(trainer, {"loss": 1.5})
        said.append(display._bar.tasks[0].description)
    assert said[0] == "loss 1.500"  # a tenth of a second is too short to tell
    assert said[1].split() == ["loss", "1.500", "500", "tokens/s", "15%", "of", "peak"]
