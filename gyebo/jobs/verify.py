"""`gyebo verify`: does a run's last stretch come out the same again, to the bit?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gyebo.jobs import runs
from gyebo.jobs.pretrain import set_up
from gyebo.training import checkpoint, log
from gyebo.training.trainer import Trainer

TOLERANCE = 1e-3  # of a loss, and of a weight relative to the largest, on another machine or thread count


def verify(run: Path, console: Console) -> bool:
    """Check all digests, replay from the last but one checkpoint to the last, and compare losses and weights bit by bit.

    Where torch, the processor, threads or processes are others than in the run, that is said and a tolerance is used. False
    where anything differs; raises FileNotFoundError or ValueError where there is nothing to verify.
    """
    record = runs.read(run)
    folder = run / "checkpoints"
    found = checkpoint.steps(folder)
    wrong = [(path, checkpoint.problem(path)) for path in found]
    for path, what in wrong:
        console.print(f"{path}: {what or 'all digests match'}", highlight=False)
    if any(what for _, what in wrong):
        return False
    if len(found) < 2:
        raise ValueError(f"{run} has {len(found)} checkpoints: a replay needs two")
    last, before = found[0], found[1]
    console.print(f"replaying steps {checkpoint.step_of(before) + 1} to {checkpoint.step_of(last)}", highlight=False)
    setup = set_up(runs.options_of(record, run), run, None)
    if setup.prepared.meta["fingerprint"] != record["corpus"]["fingerprint"]:
        raise ValueError(f"{run}: the corpus has changed since the run, so nothing can be replayed")
    plan = record["plan"]
    trainer = setup.trainer(plan["precision"], plan["steps"], compile=setup.options.train.compile)
    trainer.restore(checkpoint.read(before, trainer.model, trainer.optimizer))
    made = json.loads((last / "manifest.json").read_text())["made"]
    here = checkpoint.environment(plan["precision"], 1)
    changed = [f"{name} {made[name]} then, {here[name]} now" for name in here if made.get(name) != here[name]]
    if changed:
        console.print(f"not the same machine ({'; '.join(changed)}): comparing to a tolerance", highlight=False)
    losses = _replay_losses(trainer, checkpoint.step_of(last), run, 0.0 if not changed else TOLERANCE, console)
    weights = _same_weights(trainer, last, 0.0 if not changed else TOLERANCE, console)
    if losses and weights:
        console.print("the run is what its log says" + ("" if changed else ", to the bit"), highlight=False)
    return losses and weights


def _replay_losses(trainer: Trainer, until: int, run: Path, tolerance: float, console: Console) -> bool:
    logged = {r["step"]: r["loss"] for r in log.read(run) if "loss" in r}
    while trainer.step < until:
        loss = trainer.advance()["loss"]
        stored = logged.get(trainer.step)
        if stored is None or abs(loss - stored) > tolerance * max(1.0, abs(stored)):
            console.print(f"step {trainer.step}: the log says {stored}, the replay gives {loss}", highlight=False)
            return False
    return True


def _same_weights(trainer: Trainer, path: Path, tolerance: float, console: Console) -> bool:
    from safetensors.torch import load_file

    stored = load_file(path / "model.safetensors")
    for name, tensor in checkpoint.weights(trainer.model).items():
        if not _close(tensor, stored[name], tolerance):
            console.print(f"{path}: tensor {name} differs from the replay", highlight=False)
            return False
    return True


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if tolerance == 0.0:
        return torch.equal(a.cpu(), b)
    return float((a.cpu() - b).abs().max()) <= tolerance * max(1e-6, float(b.abs().max()))
