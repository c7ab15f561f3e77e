"""`gyebo verify`: is a run what was written, and does its last stretch come out the same again, to the bit?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from gyebo.interchange import load
from gyebo.jobs import changes, identity, places, root_files, run_directory
from gyebo.jobs.finetuning import run as finetuning
from gyebo.jobs.model_building import dropouts
from gyebo.jobs.pretraining.build import set_up
from gyebo.training import checkpoint, log
from gyebo.training.trainer import Trainer

TOLERANCE = 1e-3  # of a loss, and of a weight relative to the largest, on another machine or thread count
SECTIONS = ("options", "plan", "state")  # of the record of a run that was trained in steps

Say = Callable[[str], None]


def verify(run: Path, console: Console) -> bool:
    """Check all digests, replay from the last but one checkpoint to the last, and compare losses and weights bit by bit; of a
    finished run also every file at its root that gyebo wrote, and that its weights are those of the last checkpoint.

    Where torch, the processor, threads or processes are others than in the run, or it ran on a GPU, whose sums have no fixed
    order, that is said and a tolerance is used; where they changed during the run, that too. A line says what differs or can't
    be read, and what only an edit by the user changed. False where anything differs; raises FileNotFoundError or ValueError
    where there is nothing to verify.
    """
    say: Say = partial(console.print, highlight=False, markup=False)
    record = run_directory.read(run)
    if missing := [name for name in SECTIONS if name not in record]:
        raise ValueError(f"{run / 'run.toml'}: has no section {missing[0]}, so this is no run that was trained in steps")
    identity.refuse_foreign(record, run)
    whole = _whole_root(run, record, say)
    found = _whole_checkpoints(run, say)
    if found is None:
        return False
    if len(found) < 2:
        raise ValueError(f"{run} has {len(found)} checkpoint{'s' * (len(found) != 1)}: a replay needs two")
    last, before = found[0], found[1]
    done, until = checkpoint.step_of(before), checkpoint.step_of(last)
    trainer = _trainer(record, run, done)
    trainer.restore(checkpoint.read(before, trainer.model, trainer.optimizer), checkpoint.read_carried(before))
    elsewhere = _elsewhere(record, trainer, last, done, say)
    exact = not elsewhere and trainer.device.type == "cpu"
    if {"processes", "device"} & elsewhere and _drops(trainer.model):
        say("dropout draws other numbers on another device or number of processes: only the digests are checked")
        return whole
    say(f"replaying steps {done + 1} to {until}")
    tolerance = 0.0 if exact else TOLERANCE
    same = _replay_losses(trainer, until, record, run, tolerance, say)
    if same:  # otherwise the replay was cut short, and its weights say nothing
        same = _same_weights(checkpoint.weights(trainer.model), last, tolerance, f"{last}: differs from the replay in", say)
    if record["state"]["finished"] and record.get("kind") != finetuning.KIND:  # there the root holds its best weights
        same &= _same_root(run, last, say)
    if whole and same:
        say("the run is what its log says" + (", to the bit" if exact else " within the tolerance") + _resumed(record, found))
    return whole and same


def _whole_root(run: Path, record: dict[str, Any], say: Say) -> bool:
    """Whether the files at the root are as the run wrote them; an edit of a text for readers is only a note."""
    wrong = root_files.changed(run, record.get("files", {}))
    for line, noted in wrong:
        say(f"note: {line}" if noted else line)
    return all(noted for _, noted in wrong)


def _whole_checkpoints(run: Path, say: Say) -> list[Path] | None:
    """The checkpoints whose files have the digests that their manifests name, newest first; None where one is damaged.

    One that lacks a file and is older than two whole ones was being deleted: it is left out.
    """
    whole: list[Path] = []
    damaged = False
    for path in checkpoint.steps(run / "checkpoints"):
        problem = checkpoint.problem(path)
        if problem is None:
            whole.append(path)
        elif len(whole) >= 2 and not {*checkpoint.FILES, "manifest.json"} <= {file.name for file in path.glob("*")}:
            say(f"note: {path}: was being deleted, and is left out")
            continue
        else:
            damaged = True
        say(f"{path}: {problem or 'all digests match'}")
    return None if damaged else whole


def _trainer(record: dict[str, Any], run: Path, done: int) -> Trainer:
    """The trainer of the step after `done`, at step 0; ValueError where what the run was made of has changed since."""
    held = changes.at(record, done)
    if record.get("kind") == finetuning.KIND:
        return finetuning.replayed(held, run)
    options = places.placed(run_directory.options_of(held, run), run, typed=False)
    setup = set_up(options, run, None)
    identity.refuse_other(held, identity.of_pretraining(options, run, setup.prepared.meta["fingerprint"]), run)
    return setup.trainer(held["plan"]["precision"], held["plan"]["steps"], compile=options.train.compile)


def _elsewhere(record: dict[str, Any], trainer: Trainer, last: Path, done: int, say: Say) -> set[str]:
    """What of the environment is another one here than it was in the steps after `done`, said."""
    made = checkpoint.made(last)
    here = checkpoint.environment(trainer.device, record["plan"]["precision"], 1)
    told = {name: f"{name} {made.get(name)} then, {here[name]} now" for name in here if made.get(name) != here[name]}
    for change in record.get(changes.CHANGES, []):
        section, _, name = change["option"].partition(".")
        if section == "made" and done < change["step"] < checkpoint.step_of(last):
            told[name] = changes.described(change)
    if told:
        say(f"not the same machine ({'; '.join(told.values())}): comparing to a tolerance")
    elif trainer.device.type != "cpu":
        say(f"on {trainer.device.type} sums have no fixed order: comparing to a tolerance")
    return set(told)


def _resumed(record: dict[str, Any], found: list[Path]) -> str:
    """The end of the verdict where the run was resumed in another environment, or its checkpoints were made in several."""
    until = checkpoint.step_of(found[0])
    noted = [c for c in record.get(changes.CHANGES, []) if c["option"].startswith("made.") and c["step"] < until]
    told = [changes.described(change) for change in noted]
    if not noted:  # of an earlier version, which stored no more than the checkpoints do
        new, old = checkpoint.made(found[0]), checkpoint.made(found[1])
        told = [f"{name} {old[name]} before, {new.get(name)} at the end" for name in old if old[name] != new.get(name)]
    return f"; it was resumed elsewhere, so it is not bit-equal to an uninterrupted run ({'; '.join(told)})" if told else ""


def _drops(model: Any) -> bool:
    return any(dropouts(model.config).values())


def _replay_losses(trainer: Trainer, until: int, record: dict[str, Any], run: Path, tolerance: float, say: Say) -> bool:
    try:
        logged = {line["step"]: line["loss"] for line in log.read(run) if "loss" in line}
    except (OSError, ValueError, KeyError, TypeError) as error:
        say(f"{run / 'metrics.jsonl'}: can't be read ({error})")
        return False
    turns = {change["step"] for change in record.get(changes.CHANGES, [])}
    while trainer.step < until:
        if trainer.step in turns:  # its checkpoint is gone: budget or rate changed within the stretch
            other = _trainer(record, run, trainer.step)
            trainer.steps, trainer.peak_lr = other.steps, other.peak_lr
        loss = trainer.advance()["loss"]
        stored = logged.get(trainer.step)
        if stored is None or not abs(loss - stored) <= tolerance * max(1.0, abs(stored)):
            say(f"step {trainer.step}: the log says {stored}, the replay gives {loss}")
            return False
    return True


def _same_root(run: Path, last: Path, say: Say) -> bool:
    """Whether the model at the root opens and has the weights of the last checkpoint."""
    try:
        model, _ = load(run)
    except (OSError, ValueError) as error:
        say(f"{run}: its model can't be opened ({error})")
        return False
    return _same_weights(checkpoint.weights(model), last, 0.0, f"{run}: differs from {last} in", say)


def _same_weights(found: dict[str, Tensor], path: Path, tolerance: float, words: str, say: Say) -> bool:
    from safetensors.torch import load_file

    stored = load_file(path / "model.safetensors")
    wrong = [name for name, tensor in found.items() if name not in stored or not _close(tensor, stored[name], tolerance)]
    if wrong:
        say(f"{words} tensor {wrong[0]}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""))
    return not wrong


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if tolerance == 0.0:
        return torch.equal(a.cpu(), b)
    return a.shape == b.shape and float((a.cpu() - b).abs().max()) <= tolerance * max(1e-6, float(b.abs().max()))
