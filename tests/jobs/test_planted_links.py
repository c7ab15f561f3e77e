"""Symbolic links that someone planted in a run directory are not written through."""

from __future__ import annotations

import pytest

import gyebo
from gyebo.data.lock import sole_writer
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
