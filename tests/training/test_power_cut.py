"""Resumed from what a power cut may leave of a run and the cache, it comes to the same result, or begins again."""

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gyebo.config import durable
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretrain import pretrain
from gyebo.training import checkpoint, log
from tests.jobs.tuning_files import reviews, saved_model, tuning
from tests.training.power_cut import Disk, follow


def followed(disk, work):
    follow(disk)
    work()
    disk.before()
    os._exit(0)


def images_of(root, images, work, *, chance, most, seed):
    """Do the work in a process that is followed; folders, each what a cut may leave of `root`."""
    disk = Disk(root, images, seed=seed, chance=chance, most=most)
    process = multiprocessing.get_context("fork").Process(target=followed, args=(disk, work))
    process.start()
    process.join()
    assert process.exitcode == 0
    found = sorted(images.iterdir())
    assert len(found) > most // 2
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pretrain", "finetune"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_power_cut_at_random_instants(run_options, tokenizer_folder, tmp_path, monkeypatch, kind, seed):
    root = tmp_path / "disk"
    out = root / "runs" / "out"
    if kind == "pretrain":
        options = run_options(6, train={"checkpoint_every": 2, "evaluate_every": 2})
    else:
        model = saved_model(tmp_path / "bert", "bert", tokenizer_folder)
        options = tuning(model, reviews(tmp_path, 60), epochs=3, patience=3)
    job = pretrain if kind == "pretrain" else finetune

    def same(a, b):
        return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)

    whole = job(options, tmp_path / "whole")
    weights = load_file(tmp_path / "whole" / "model.safetensors")
    records = [(r["step"], r.get("loss"), r.get("evaluation")) for r in log.read(tmp_path / "whole")]
    monkeypatch.setenv("GYEBO_CACHE", str(root / "cache"))
    found = images_of(root, tmp_path / "images", lambda: job(options, out), chance=0.15, most=12, seed=seed)
    for image in found:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(image, root)
        result = job(options, out, resume=True)
        assert {k: v for k, v in result.valid.items() if v is not None} == {
            k: v for k, v in whole.valid.items() if v is not None
        }, image
        assert same(load_file(out / "model.safetensors"), weights), image
        assert [(r["step"], r.get("loss"), r.get("evaluation")) for r in log.read(out)] == records, image
        assert not list(out.glob(".*")) and not list((out / "checkpoints").glob(".*")), image


def test_what_a_rename_brings_is_flushed_and_so_is_what_it_depends_on(run_options, tmp_path, monkeypatch):
    """Whatever is renamed to its name is on the disk; so are the log before a checkpoint, and all files before the result."""
    flushed: dict[int, bytes] = {}
    seen: list[str] = []
    out = tmp_path / "run"
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    fsync, replace = os.fsync, Path.replace

    def flushing(handle):
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_file():
            flushed[path.stat().st_ino] = path.read_bytes()
        fsync(handle)

    def certain(path):
        return flushed.get(path.stat().st_ino) == path.read_bytes()

    def replacing(self, target):
        files = [path for path in self.rglob("*") if path.is_file()] if self.is_dir() else [self]
        if not Path(target).name.endswith(durable.DELETED):
            assert all(certain(path) for path in files), self
        if Path(target).name.startswith("step-"):
            assert certain(out / log.NAME) and certain(out / "run.toml")
        if Path(target).name == "meta.json":
            assert all(certain(path) for path in (tmp_path / "cache").rglob("parts/*"))
        if Path(target).name == "run.toml" and seen.count("run.toml"):
            assert all(certain(path) for path in out.iterdir() if path.is_file() and path != out / "run.toml")
        seen.append(Path(target).name)
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(Path, "replace", replacing)
    pretrain(run_options(4, train={"checkpoint_every": 2}), out)
    assert {"step-0", "step-2", "step-4", "meta.json", "model.safetensors", "loss.png", "README.md"} <= set(seen)
    assert seen.count("run.toml") == 2 and [path.name for path in checkpoint.steps(out / "checkpoints")] == ["step-4", "step-2"]
