"""Symbolic links that someone planted in a run directory are not written through."""

from __future__ import annotations

import pytest

import gyebo
from gyebo.compare.run import WRITTEN
from gyebo.config.errors import OptionError
from gyebo.data.lock import sole_writer
from gyebo.jobs import run_directory
from gyebo.models.bert import Bert, BertConfig


@pytest.fixture
def run(tmp_path):
    """What looks like a run, and what lies outside of it."""
    (tmp_path / "run" / "checkpoints" / "step-3").mkdir(parents=True)
    (tmp_path / "run" / "run.toml").write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("mine")
    return tmp_path / "run"


def test_a_lock_that_is_a_link(run, tmp_path):
    (tmp_path / ".run.lock").symlink_to(tmp_path / "outside" / "file")
    with pytest.raises(ValueError, match=r"\.run\.lock is a symbolic link"), sole_writer(run):
        pass
    assert (tmp_path / "outside" / "file").read_text() == "mine"


def test_saving_takes_the_place_of_links(tmp_path):
    """What is saved is written aside and renamed, so a link goes, and what it named stays."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "model").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "model" / name).symlink_to(tmp_path / "mine")
    model = Bert(BertConfig(vocab_size=7, context=16, width=8, layers=1, heads=2))
    gyebo.save(model, None, tmp_path / "model")
    assert (tmp_path / "mine").read_text() == "mine" and not (tmp_path / "model" / "config.json").is_symlink()
    (tmp_path / "model" / "picture_tokenizer").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="picture_tokenizer is a symbolic link"):
        gyebo.save(model, None, tmp_path / "model")


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "events.out.tfevents.1", ".run.toml.part", "checkpoints", "checkpoints/step-3/model.safetensors"]
)
def test_a_run_with_a_link_is_not_resumed(run, tmp_path, name):
    """The log is appended to, and checkpoints are written, where they lie."""
    if name == "checkpoints":
        (run / name).rename(run / "before")
    (run / name).symlink_to(tmp_path / "outside" if name == "checkpoints" else tmp_path / "outside" / "file")
    with (
        pytest.raises(OptionError, match=f"holds {name}, a symbolic link, which gyebo did not write there"),
        run_directory.claim(run, resume=True, overwrite=False),
    ):
        pass
    assert (tmp_path / "outside" / "file").read_text() == "mine"


def test_notes_and_links_under_other_names_may_stay(run, tmp_path):
    (run / "notes.txt").symlink_to(tmp_path / "outside" / "file")
    with run_directory.claim(run, resume=True, overwrite=False) as resumed:
        assert resumed


def test_a_comparison_with_a_link_is_not_resumed(tmp_path):
    (tmp_path / "runs" / "gpt2" / "seed-0").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "runs" / "gpt2" / "seed-0" / "metrics.jsonl").symlink_to(tmp_path / "file")
    with pytest.raises(OptionError, match=r"holds runs/gpt2/seed-0/metrics\.jsonl, a symbolic link"):
        run_directory.refuse_links(tmp_path, WRITTEN)
