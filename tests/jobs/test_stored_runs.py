"""Runs that an earlier version stored (`tests/stored/make.py`) open, are resumed to the same weights, and are verified."""

import contextlib
import io
import shutil
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gyebo.interchange import load
from gyebo.jobs import run_directory
from gyebo.training import checkpoint
from tests.stored.make import COMMON, HALVES, RUNS

ARCHIVE = Path(__file__).parents[1] / "stored" / "runs.tar.xz"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(folder, filter="data")
    return folder


@pytest.fixture
def stored(archive, tmp_path, monkeypatch):
    """A copy of the folder, which becomes the current one."""
    shutil.copytree(archive, tmp_path / "stored")
    for path in (tmp_path / "stored" / "compared-half").rglob("*"):
        if path.suffix in (".toml", ".json"):
            path.write_text(path.read_text(encoding="utf-8").replace("/stored", str(tmp_path / "stored")), encoding="utf-8")
    monkeypatch.chdir(tmp_path / "stored")
    monkeypatch.setenv("GYEBO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "stored"


def gyebo(*arguments):
    from gyebo.cli.app import app

    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        code = app([str(argument) for argument in arguments], standalone_mode=False)
    assert not code, arguments
    return printed.getvalue()


@pytest.mark.parametrize("name", HALVES)
def test_a_killed_run_is_resumed_to_the_same_weights(stored, name):
    """On the machine that made them to the bit; on another a few steps of other rounding apart."""
    gyebo(*RUNS[name], *COMMON, "-o", f"{name}-half", "--resume")
    found, expected = (load_file(stored / run / "model.safetensors") for run in (f"{name}-half", name))
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-5, rtol=1e-4, msg=key)
    record = run_directory.read(stored / f"{name}-half")
    assert record["state"]["finished"] and record["result"]["steps"] == run_directory.read(stored / name)["result"]["steps"]


@pytest.mark.parametrize("name", RUNS)
def test_a_finished_run_opens_and_is_evaluated(stored, name):
    model, tokenizer = load(stored / name)
    assert model.count_parameters() == run_directory.read(stored / name)["result"]["parameters"]
    assert tokenizer is not None and tokenizer.vocab_size <= model.config.vocab_size
    gyebo("evaluate", name, "--json")


def test_a_finished_run_says_so_when_it_is_resumed(stored):
    before = run_directory.read(stored / "gpt2")["result"]
    gyebo(*RUNS["gpt2"], *COMMON, "-o", "gpt2", "--resume")
    assert run_directory.read(stored / "gpt2")["result"] == before


@pytest.mark.parametrize("name", ["lstm", "translator"])
def test_what_was_resumed_is_verified(stored, name):
    gyebo(*RUNS[name], *COMMON, "-o", f"{name}-half", "--resume")
    assert len(checkpoint.steps(stored / f"{name}-half" / "checkpoints")) == 2
    gyebo("verify", f"{name}-half")


def test_a_comparison_goes_on_where_it_was_killed(stored):
    before = (stored / "compared-half" / "runs" / "gpt2-tiny" / "seed-0" / "model.safetensors").stat().st_mtime_ns
    gyebo("compare", "recipe.toml", "-o", "compared-half", "--resume")
    assert (stored / "compared-half" / "runs" / "gpt2-tiny" / "seed-0" / "model.safetensors").stat().st_mtime_ns == before
    assert (stored / "compared-half" / "report.html").is_file()
    assert (stored / "compared-half" / "tasks" / "lstm-tiny" / "classification" / "seed-0" / "model.safetensors").is_file()
