"""`gyebo verify`: does a run's last stretch come out the same again, to the bit?"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from gyebo.interchange import load
from gyebo.jobs import run_directory
from gyebo.jobs.finetuning import run as finetuning
from gyebo.jobs.pretraining.setup import set_up
from gyebo.training import checkpoint, log
from gyebo.training.trainer import Trainer

TOLERANCE = 1e-3  # of a loss, and of a weight relative to the largest, on another machine or thread count

Say = Callable[[str], None]


def verify(run: Path, console: Console) -> bool:
    """Check all digests, replay from the last but one checkpoint to the last, and compare losses and weights bit by bit; of a
    finished run also the weights that stand at its root.

    Where torch, the processor, threads or processes are others than in the run, or it ran on a GPU, whose sums have no fixed
    order, that is said and a tolerance is used. False
    where anything differs; raises FileNotFoundError or ValueError where there is nothing to verify.
    """
    say: Say = partial(console.print, highlight=False, markup=False)
    record = run_directory.read(run)
    found = checkpoint.steps(run / "checkpoints")
    if not _whole(found, say):
        return False
    if len(found) < 2:
        raise ValueError(f"{run} has {len(found)} checkpoint{'s' * (len(found) != 1)}: a replay needs two")
    last, before = found[0], found[1]
    plan, tuned = record["plan"], record.get("kind") == "finetune"
    trainer = finetuning.replayed(record, run) if tuned else _pretraining(record, run)
    trainer.restore(checkpoint.read(before, trainer.model, trainer.optimizer), checkpoint.read_carried(before))
    made = json.loads((last / "manifest.json").read_text())["made"]
    here = checkpoint.environment(trainer.device, plan["precision"], 1)
    changed = [f"{name} {made.get(name)} then, {here[name]} now" for name in here if made.get(name) != here[name]]
    if changed:
        say(f"not the same machine ({'; '.join(changed)}): comparing to a tolerance")
    elif trainer.device.type != "cpu":
        say(f"on {trainer.device.type} sums have no fixed order: comparing to a tolerance")
    exact = not changed and trainer.device.type == "cpu"
    if {"processes", "device"} & {change.partition(" ")[0] for change in changed} and _drops(trainer.model):
        say("dropout draws other numbers on another device or number of processes: only the digests are checked")
        return True
    say(f"replaying steps {checkpoint.step_of(before) + 1} to {checkpoint.step_of(last)}")
    tolerance = 0.0 if exact else TOLERANCE
    same = _replay_losses(trainer, checkpoint.step_of(last), run, tolerance, say)
    if same:  # otherwise the replay was cut short, and its weights say nothing
        same = _same_weights(checkpoint.weights(trainer.model), last, tolerance, f"{last}: differs from the replay in", say)
    if record["state"]["finished"] and not tuned:  # the root of a fine-tuning holds its best weights, not the last
        same &= _same_weights(checkpoint.weights(load(run)[0]), last, 0.0, f"{run}: differs from {last} in", say)
    if same:
        say("the run is what its log says" + (", to the bit" if exact else " within the tolerance"))
    return same


def _drops(model: torch.nn.Module) -> bool:
    config: Any = model.config
    return any(getattr(config, name) for name in vars(config) if name.endswith("dropout"))


def _pretraining(record: dict[str, Any], run: Path) -> Trainer:
    """The trainer of a pretraining at its start; ValueError where its corpus is no longer the one that it read."""
    setup = set_up(run_directory.options_of(record, run), run, None)
    if setup.prepared.meta["fingerprint"] != record["corpus"]["fingerprint"]:
        raise ValueError(f"{run}: the corpus has changed since the run, so nothing can be replayed")
    plan = record["plan"]
    return setup.trainer(plan["precision"], plan["steps"], compile=setup.options.train.compile)


def _whole(found: list[Path], say: Say) -> bool:
    """Whether every file has the digest that its manifest names."""
    wrong = {path: checkpoint.problem(path) for path in found}
    for path, problem in wrong.items():
        say(f"{path}: {problem or 'all digests match'}")
    return not any(wrong.values())


def _replay_losses(trainer: Trainer, until: int, run: Path, tolerance: float, say: Say) -> bool:
    logged = {r["step"]: r["loss"] for r in log.read(run) if "loss" in r}
    while trainer.step < until:
        loss = trainer.advance()["loss"]
        stored = logged.get(trainer.step)
        if stored is None or not abs(loss - stored) <= tolerance * max(1.0, abs(stored)):
            say(f"step {trainer.step}: the log says {stored}, the replay gives {loss}")
            return False
    return True


def _same_weights(found: dict[str, Tensor], path: Path, tolerance: float, words: str, say: Say) -> bool:
    from safetensors.torch import load_file

    stored = load_file(path / "model.safetensors")
    wrong = [name for name, tensor in found.items() if not _close(tensor, stored[name], tolerance)]
    if wrong:
        say(f"{words} tensor {wrong[0]}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""))
    return not wrong


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if tolerance == 0.0:
        return torch.equal(a.cpu(), b)
    return float((a.cpu() - b).abs().max()) <= tolerance * max(1e-6, float(b.abs().max()))
