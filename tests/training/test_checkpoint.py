"""Which checkpoints are kept, which are gone on from, and what is cleaned up."""

import json
import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from gyebo.jobs.pretrain import pretrain
from gyebo.training import checkpoint, log, loop
from gyebo.training.loop import Failed, Stopped
from gyebo.training.trainer import NotFinite, Trainer

MADE = {"torch": "2"}


def write(folder, step, keep=2):
    torch.manual_seed(step)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    state = {"step": step, "tokens": 0, "seconds": 0.0}
    return checkpoint.write(folder, model, optimizer, state, made=MADE, keep=keep)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("damage", ["no manifest", "cut short", "missing"])
def test_a_damaged_one_is_not_counted_and_whole_ones_stay(tmp_path, damage):
    for step in (1, 2, 3):
        path = write(tmp_path, step, keep=3)
    if damage == "no manifest":
        (path / "manifest.json").unlink()
    elif damage == "missing":
        (path / "model.safetensors").unlink()
    else:
        (path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes()[:-1])
    write(tmp_path, 4)
    assert names(tmp_path) == ["step-2", "step-3", "step-4"]
    write(tmp_path, 5)
    assert names(tmp_path) == ["step-4", "step-5"]


def test_digests_are_not_read_when_one_is_written(tmp_path, monkeypatch):
    """Only of what was just written: reading the others too would cost more than writing."""
    for step in (1, 2):
        write(tmp_path, step)
    read = []
    real = checkpoint.digest
    monkeypatch.setattr(checkpoint, "digest", lambda path: read.append(path) or real(path))
    write(tmp_path, 3)
    assert {path.parent.name for path in read} == {".step-3.part"}


def test_an_interrupted_deletion_leaves_no_half_checkpoint(tmp_path, monkeypatch):
    for step in (1, 2):
        write(tmp_path, step)
    real = shutil.rmtree

    def cut(path, **given):
        if path.name == ".step-1.deleted" and path.exists():
            (path / "model.safetensors").unlink()
            raise KeyboardInterrupt
        real(path, **given)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, 3)
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step-3", "step-2"]
    assert all(checkpoint.problem(path) is None for path in checkpoint.steps(tmp_path))


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_that_is_not_finite_is_skipped(tmp_path, file, value):
    write(tmp_path, 1)
    path = write(tmp_path, 2)
    tensors = load_file(path / file)
    name = next(name for name in tensors if tensors[name].dim())
    tensors[name].view(-1)[-1] = value
    save_file(tensors, path / file)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][file]["sha256"] = checkpoint.digest(path / file)
    (path / "manifest.json").write_text(json.dumps(manifest))
    found, (line,) = checkpoint.newest(tmp_path)
    assert found == tmp_path / "step-1" and name in line and "not finite" in line


def test_one_whose_next_step_failed_is_skipped(tmp_path):
    for step in (1, 2):
        write(tmp_path, step)
    assert checkpoint.newest(tmp_path, failed=3)[0].name == "step-1"
    assert checkpoint.newest(tmp_path, failed=4)[0].name == "step-2"


def test_what_is_set_aside_goes_when_its_step_is_passed(tmp_path):
    for step in (2, 4):
        write(tmp_path, step)
    checkpoint.set_aside(tmp_path, 2)
    assert [path.name for path in checkpoint.steps(tmp_path)] == ["step-2"]
    write(tmp_path, 3)
    assert names(tmp_path) == [".step-4.unusable", "step-2", "step-3"]
    write(tmp_path, 4)
    assert names(tmp_path) == ["step-3", "step-4"]


# ---- runs


def stopped(options, out, step, monkeypatch):
    advance = Trainer.advance

    def stopping(self):
        record = advance(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", stopping)
        with pytest.raises(Stopped):
            pretrain(options, out, resume=True)


def weights(out):
    return load_file(checkpoint.newest(out / "checkpoints")[0] / "model.safetensors")


def assert_same(a, b):
    one, two = weights(a), weights(b)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_leftovers_of_a_cut_are_gone_after_a_resumption(run_options, tmp_path, monkeypatch):
    options, out = run_options(6), tmp_path / "run"
    stopped(options, out, 3, monkeypatch)
    for path in (out / ".saving-abc", out / "checkpoints" / ".step-4.part", out / "checkpoints" / ".step-1.deleted"):
        path.mkdir()
        (path / "model.safetensors").write_bytes(b"half")
    (out / ".run.toml.part").write_text("[half")
    (out / ".notes").write_text("the user's")
    pretrain(options, out, resume=True)
    assert {path.name for path in out.iterdir() if path.name.startswith(".")} == {".notes"}
    assert all(path.name.startswith("step-") for path in (out / "checkpoints").iterdir() if path.name != "sources.json")


@pytest.mark.parametrize("lost", ["all", "evaluations", "torn"])
def test_a_lost_log_gives_the_same_result(run_options, tmp_path, monkeypatch, capsys, lost):
    """Also where the last step was trained and its evaluation is gone, which is then made again."""
    options = run_options(6, train={"checkpoint_every": 2, "evaluate_every": 2})
    whole = pretrain(options, tmp_path / "whole")
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("gyebo.jobs.pretrain._finish", lambda *_, **__: None)  # killed after the last step
        pretrain(options, out)
    path = out / log.NAME
    lines = path.read_text().splitlines(keepends=True)
    if lost == "all":
        path.unlink()
    else:
        kept = [line for line in lines if "evaluation" not in line]
        path.write_text("".join(kept) if lost == "evaluations" else "".join(kept)[:-9])
    state = out / "checkpoints" / "step-6" / "state.json"
    assert len(json.loads(state.read_text())["evaluations"]) == 3
    again = pretrain(options, out, resume=True)
    assert again.valid == whole.valid and (out / "loss.png").stat().st_size
    said = capsys.readouterr().out
    assert ("steps are missing" in said) == (lost != "evaluations")
    assert [r["step"] for r in log.read(out) if "evaluation" in r] == [2, 4, 6]


def test_an_older_checkpoint_without_evaluations_is_evaluated_again(run_options, tmp_path, monkeypatch):
    options = run_options(4, train={"checkpoint_every": 2})
    whole = pretrain(options, tmp_path / "whole")
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "state", lambda self: {"step": self.step, "tokens": self.tokens, "seconds": self.seconds})
        patch.setattr("gyebo.jobs.pretrain._finish", lambda *_, **__: None)
        pretrain(options, out)
    (out / log.NAME).unlink()
    assert pretrain(options, out, resume=True).valid == whole.valid


EXPLODES = {"lr": 1e30, "clip": 0, "warmup": 0, "schedule": "constant"}


def test_the_line_names_the_last_sane_checkpoint_and_what_to_type(run_options, tmp_path):
    """The weights after the first step are finite, but the loss of the second is not: step 0 is the last good one."""
    options = run_options(60, optim=EXPLODES, train={"checkpoint_every": 1})
    with pytest.raises(Failed) as caught:
        pretrain(options, tmp_path / "run")
    assert str(tmp_path / "run" / "checkpoints" / "step-0") in str(caught.value)
    assert "‹resume› ‹optim.lr›=5e+29" in caught.value.text
    assert [path.name for path in checkpoint.steps(tmp_path / "run" / "checkpoints")] == ["step-1", "step-0"]
    assert log.failed_step(tmp_path / "run") == 2


def test_it_goes_on_from_the_last_sane_checkpoint(run_options, tmp_path, monkeypatch, capsys):
    """As an uninterrupted run: steps 4 and 5 are trained again, and what came of them is gone."""
    options = run_options(8, train={"checkpoint_every": 2})
    pretrain(options, tmp_path / "whole")
    out, advance, failing = tmp_path / "run", Trainer.advance, [True]

    def fail(self):
        if self.step == 4 and failing.pop():
            raise NotFinite(5, float("nan"), 1.0)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", fail)
        with pytest.raises(Failed, match=r"last good checkpoint is .*step-2:"):
            pretrain(options, out)
    seen = []
    real = loop.log.repair
    monkeypatch.setattr(loop.log, "repair", lambda folder, step, *rest: seen.append(step) or real(folder, step, *rest))
    pretrain(options, out, resume=True)
    assert seen == [2] and "step-4 is skipped: the loss of its weights is not finite" in capsys.readouterr().out
    assert_same(out, tmp_path / "whole")
    assert not list((out / "checkpoints").glob(".*"))


def test_weights_that_are_not_finite_are_never_stored(run_options, tmp_path, monkeypatch):
    advance = Trainer.advance

    def poisoned(self):
        record = advance(self)
        if self.step == 4:
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0] = float("nan")
        return record

    monkeypatch.setattr(Trainer, "advance", poisoned)
    out = tmp_path / "run"
    with pytest.raises(Failed, match=r"after step 4, .* is not finite.*last good checkpoint is .*step-3:"):
        pretrain(run_options(8, train={"checkpoint_every": 1}), out)
    assert [path.name for path in checkpoint.steps(out / "checkpoints")] == ["step-3", "step-2"]
    assert all(torch.isfinite(tensor).all() for tensor in load_file(out / "model.safetensors").values())
