"""Checkpoints: written to a temporary folder, flushed, then renamed; a manifest with the digest of every file; no pickles.

Files are read and compared with their digests where a run is resumed or verified. When a checkpoint is written, sizes tell
which of the others are whole: to read them all each time would cost more than to write one.

checkpoints/step-120/model.safetensors       weights under our names
                     optimizer.safetensors   the optimiser's state as named tensors
                     state.json              counters, and the evaluations so far
                     carried.safetensors     of lanes: the state with which each row of the next batch starts, by name
                     manifest.json           size and SHA-256 of the other files; the environment; the run's identity
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gyebo.config import durable
from gyebo.config.disk import DiskFull
from gyebo.config.durable import digest
from gyebo.nn.state import StateTree, leaves, tree
from gyebo.training.optimizer import load_state_tensors, state_tensors

STATE_FIELDS = {"step", "tokens", "seconds"}
ASIDE = ".unusable"  # ends the hidden name of a checkpoint that was set aside
FILES, CARRIED = {"model.safetensors", "optimizer.safetensors", "state.json"}, "carried.safetensors"


def environment(device: torch.device, precision: str, processes: int) -> dict[str, Any]:
    """What results depend on, to the bit, besides the options: torch, CPU, device, threads, precision, processes."""
    return {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "precision": precision,
        "processes": processes,
    }


def write(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict[str, Any],
    *,
    made: dict[str, Any],
    keep: int,
    carried: StateTree | None = None,
    identity: dict[str, str] | None = None,
) -> Path:
    """Write `folder/step-N` for state["step"] and delete all but the `keep` newest whole ones. `identity`: of the run, for the
    manifest.

    Raises DiskFull where it cannot be written, e.g. on a full disk; existing checkpoints are untouched then.
    """
    durable.make_folder(folder)
    target = folder / f"step-{state['step']}"
    aside = folder / f".{target.name}{durable.PART}"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir()
        save_file(weights(model), aside / "model.safetensors")
        save_file({k: v.reshape(v.shape) for k, v in state_tensors(model, optimizer).items()}, aside / "optimizer.safetensors")
        (aside / "state.json").write_text(json.dumps(state), encoding="utf-8")
        if carried is not None:
            save_file(
                {name: leaf.clone(memory_format=torch.contiguous_format) for name, leaf in leaves(carried).items()},
                aside / CARRIED,
            )
        files = {path.name: {"size": path.stat().st_size, "sha256": digest(path)} for path in sorted(aside.iterdir())}
        manifest = {"files": files, "made": made} | ({"identity": identity} if identity else {})
        (aside / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        durable.flush_files(aside)
        if target.exists():
            durable.remove(target)
        durable.rename(aside, target)
    except Exception as error:  # safetensors wraps an OSError of its own into another type
        shutil.rmtree(aside, ignore_errors=True)
        last = newest(folder)[0]
        raise DiskFull(
            target,
            f"the checkpoint could not be written ({error})",
            f"{'the last good one is ' + str(last) if last else 'there is no earlier one'}: free some space and use ‹resume›",
        ) from error
    _delete_old(folder, keep)
    return target


def _delete_old(folder: Path, keep: int) -> None:
    """Delete what is older than the `keep` newest whole checkpoints, damaged ones among it, and what was set aside before."""
    whole = [path for path in steps(folder) if problem(path, digests=False) is None]
    if len(whole) >= keep:
        for path in steps(folder):
            if step_of(path) < step_of(whole[keep - 1]):
                durable.remove(path)
    for path in folder.glob(f".step-*{ASIDE}"):
        number = path.name.removeprefix(".step-").removesuffix(ASIDE)
        if number.isdecimal() and int(number) <= step_of(whole[0]):
            shutil.rmtree(path)


def set_aside(folder: Path, step: int) -> None:
    """Take away the checkpoints after `step`, from which a run can't go on, so that none is mistaken for one that it writes.

    They are hidden, and deleted when the run has passed their step.
    """
    for path in steps(folder):
        if step_of(path) > step:
            hidden = folder / f".{path.name}{ASIDE}"
            shutil.rmtree(hidden, ignore_errors=True)
            durable.rename(path, hidden)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by our names; tied ones occur once."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach().contiguous()
    return found


def load_average(folder: Path, count: int, model: nn.Module) -> int:
    """Load the average of the newest `count` intact checkpoints (Vaswani et al. 2017, 6.1); returns the number averaged.

    The initial weights of step 0 are never among them. Raises ValueError naming a tensor that doesn't fit.
    """
    whole = [path for path in steps(folder) if step_of(path) and problem(path) is None][:count]
    sums: dict[str, Tensor] = {}
    for path in whole:
        for name, tensor in _tensors(path / "model.safetensors").items():
            sums[name] = sums[name] + tensor if name in sums else tensor
    expected = weights(model)
    if wrong := sorted(set(sums) ^ set(expected)):
        raise ValueError(f"{folder}: tensor {wrong[0]!r} is missing or unexpected: these are not checkpoints of this model")
    with torch.no_grad():
        for name, tensor in expected.items():
            total = sums[name]
            tensor.copy_(total / len(whole) if total.is_floating_point() else total)
    return len(whole)


def steps(folder: Path) -> list[Path]:
    """All checkpoints, newest first, damaged ones included."""
    found = [p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdecimal()]
    return sorted(found, key=step_of, reverse=True)


def step_of(path: Path) -> int:
    """The number in step-N."""
    return int(path.name.removeprefix("step-"))


def problem(path: Path, *, digests: bool = True) -> str | None:
    """What is wrong with the files of a checkpoint, or None: each must have the size given in the manifest, and the digest."""
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        files = manifest["files"]
        if set(files) - {CARRIED} != FILES:
            return "its manifest does not name the three files of a checkpoint"
        for name, entry in files.items():
            if not (path / name).is_file():
                return f"{name} is missing"
            if (path / name).stat().st_size != entry["size"]:
                return f"{name} has {(path / name).stat().st_size} bytes, not {entry['size']}"
            if digests and digest(path / name) != entry["sha256"]:
                return f"{name} is not what was written (SHA-256 differs)"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"manifest.json can't be read ({type(error).__name__})"
    return None


def made(path: Path) -> dict[str, Any]:
    """The environment that an intact checkpoint was written in; empty where its manifest does not say."""
    return dict(json.loads((path / "manifest.json").read_text(encoding="utf-8")).get("made") or {})


def newest(folder: Path, failed: int | None = None) -> tuple[Path | None, list[str]]:
    """The newest checkpoint to go on from, and a line for each newer one that is skipped.

    Its files are intact, its tensors finite, and so was the loss of its weights: `failed` is the step at which the run failed
    with a loss that was not.
    """
    lines: list[str] = []
    for path in steps(folder):
        wrong = problem(path) or _not_finite(path)
        if wrong is None and step_of(path) + 1 == failed:
            wrong = "the loss of its weights is not finite"
        if wrong is None:
            return path, lines
        lines.append(f"{path} is skipped: {wrong}")
    return None, lines


def _not_finite(path: Path) -> str | None:
    """What of a checkpoint holds numbers that are not finite, or None."""
    for file in sorted(path.glob("*.safetensors")):
        if name := first_not_finite(_tensors(file)):
            return f"{name} in {file.name} is not finite"
    return None


def first_not_finite(tensors: dict[str, Tensor]) -> str | None:
    """The name of the first tensor with an infinite element or one that is no number; None where all are finite."""
    return next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)


def read(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> dict[str, Any]:
    """Load a checkpoint into the model and the optimiser, strictly; returns the state. ValueError names what doesn't fit."""
    tensors = _tensors(path / "model.safetensors")
    expected = weights(model)
    wrong = sorted(set(tensors) ^ set(expected)) or [n for n in expected if tensors[n].shape != expected[n].shape]
    if wrong:
        raise ValueError(
            f"{path}: tensor {wrong[0]!r} is missing, unexpected or of another shape: not a checkpoint of this model"
        )
    with torch.no_grad():
        for name, tensor in expected.items():
            tensor.copy_(tensors[name])
    if optimizer is not None:
        load_state_tensors(model, optimizer, _tensors(path / "optimizer.safetensors"))
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path}/state.json: not JSON ({error}): delete {path} to resume from the checkpoint before it"
        ) from error
    if not isinstance(state, dict) or set(state) - {"evaluations"} != STATE_FIELDS:  # older ones have no evaluations
        raise ValueError(f"{path}/state.json has the fields {sorted(state)}, expected {sorted(STATE_FIELDS)}")
    return state


def read_carried(path: Path) -> StateTree | None:
    """The state with which the rows of the next batch start; None where none is carried."""
    return tree(_tensors(path / CARRIED)) if (path / CARRIED).is_file() else None


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(
            f"{path}: not safetensors ({error}): delete {path.parent} to resume from the checkpoint before it"
        ) from error
