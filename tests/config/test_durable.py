"""What is written lasts: the order of flushes and renames, and what is left behind by an interruption."""

import os
import time
from pathlib import Path

import pytest

from gyebo.config import durable


@pytest.fixture
def operations(monkeypatch):
    """("flush", name) and ("rename", name, name) in the order in which they happen."""
    seen = []
    fsync, replace = os.fsync, Path.replace

    def flushing(handle):
        seen.append(("flush", Path(f"/proc/self/fd/{handle}").resolve().name))
        fsync(handle)

    def replacing(self, target):
        seen.append(("rename", self.name, Path(target).name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushing)
    monkeypatch.setattr(Path, "replace", replacing)
    return seen


def test_content_is_flushed_before_the_rename_and_the_folder_after_it(tmp_path, operations):
    durable.write(tmp_path / "a.txt", "나무")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "나무"
    assert operations == [("flush", ".a.txt.part"), ("rename", ".a.txt.part", "a.txt"), ("flush", tmp_path.name)]


def test_an_error_leaves_the_old_file_alone(tmp_path):
    durable.write(tmp_path / "a.txt", "old")
    with pytest.raises(KeyError), durable.replacing(tmp_path / "a.txt") as aside:
        aside.write_text("half")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


def test_processes_write_a_shared_file_under_names_of_their_own(tmp_path):
    with durable.replacing(tmp_path / "plan.npz", shared=True) as aside:
        aside.touch()
    assert str(os.getpid()) in aside.name and aside.match(durable.LEFTOVERS[0])


def test_a_folder_is_renamed_for_good_before_anything_in_it_goes(tmp_path, monkeypatch):
    folder = tmp_path / "step-3"
    folder.mkdir()
    (folder / "a").touch()
    flushed = []

    def cut(path):
        flushed.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(durable.shutil, "rmtree", lambda path, **_: path.exists() and cut(path))
    with pytest.raises(KeyboardInterrupt):
        durable.remove(folder)
    assert [path.name for path in tmp_path.iterdir()] == [".step-3.deleted"]
    monkeypatch.undo()
    durable.clean(tmp_path)
    assert not list(tmp_path.iterdir())


def test_new_folders_are_flushed_into_their_parents(tmp_path, operations):
    durable.make_folder(tmp_path / "a" / "b")
    assert operations == [("flush", tmp_path.name), ("flush", "a")]
    durable.make_folder(tmp_path / "a" / "b")
    assert len(operations) == 2


def test_only_leftovers_are_cleaned_up(tmp_path):
    kept = ["notes.part", ".hidden", "run.toml", ".git", "saving-x"]
    for name in (*kept, ".run.toml.part", ".saving-x1", ".step-5.part", ".step-2.deleted"):
        (tmp_path / name).mkdir() if "step" in name or "saving" in name else (tmp_path / name).touch()
    (tmp_path / ".step-5.part" / "model.safetensors").touch()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    (tmp_path / ".link.part").symlink_to(outside)
    durable.clean(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "outside"} and (outside / "mine").exists()


def test_what_another_process_may_be_writing_is_left_until_it_is_old(tmp_path):
    (tmp_path / ".plan.npz.77.part").touch()
    durable.clean(tmp_path, older_than=3600)
    assert list(tmp_path.iterdir())
    old = time.time() - 7200
    os.utime(tmp_path / ".plan.npz.77.part", (old, old))
    durable.clean(tmp_path, older_than=3600)
    assert not list(tmp_path.iterdir())


def test_a_line_is_flushed_with_its_file_and_a_new_file_with_its_folder(tmp_path, operations):
    durable.append_json(tmp_path / "a.jsonl", {"나무": 1})
    durable.append_json(tmp_path / "a.jsonl", [2])
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"나무": 1}\n[2]\n'
    assert operations == [("flush", "a.jsonl"), ("flush", tmp_path.name), ("flush", "a.jsonl")]


@pytest.mark.parametrize("left", ["", '{"a": ', '{"b": "' + "x" * 200_000], ids=["nothing", "a bit", "more than a block"])
def test_an_unfinished_line_is_taken_away(tmp_path, left):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' + left, encoding="utf-8")
    durable.mend(path)
    assert path.read_text(encoding="utf-8") == '{"a": 1}\n'
    path.write_text(left, encoding="utf-8")
    durable.append_json(path, {"c": 2})
    assert path.read_text(encoding="utf-8") == '{"c": 2}\n'


def test_a_whole_line_without_its_end_gets_one(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}', encoding="utf-8")
    durable.append_json(path, {"b": 2})
    assert path.read_text(encoding="utf-8") == '{"a": 1}\n{"b": 2}\n'
