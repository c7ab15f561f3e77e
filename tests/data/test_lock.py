"""One writer a directory: a second process is told who the first one is; a killed one leaves nothing that counts."""

import os
import signal
import sys
import threading
from subprocess import PIPE, Popen

import pytest

from gyebo.config import durable
from gyebo.data.lock import Busy, refuse_busy_below, sole_writer

HOLDER = """
import sys, time
from pathlib import Path
from gyebo.data.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder():
    """A function that has another process hold the lock of a directory; gives the process."""
    processes = []

    def start(folder):
        process = Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_a_second_writer_is_refused_with_the_id_of_the_first(holder, tmp_path):
    process = holder(tmp_path / "run")
    with pytest.raises(Busy, match=rf"run: another process \(pid {process.pid}\)"), sole_writer(tmp_path / "run"):
        pass
    with sole_writer(tmp_path / "other"):
        assert {path.name for path in tmp_path.iterdir()} == {".run.lock", ".other.lock"}


def test_the_lock_of_a_process_that_was_killed_is_taken_over(holder, tmp_path):
    process = holder(tmp_path / "run")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / ".run.lock").is_file()  # left behind
    with sole_writer(tmp_path / "run"):
        assert (tmp_path / ".run.lock").read_text() == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_directories_around_and_inside(holder, tmp_path):
    """What a comparison writes is nobody else's, and it isn't replaced while one of its runs is written."""
    (tmp_path / "all" / "runs").mkdir(parents=True)
    process = holder(tmp_path / "all")
    with pytest.raises(Busy, match="all: another"), sole_writer(tmp_path / "all" / "runs" / "one"):
        pass
    process.kill()
    process.wait()
    with sole_writer(tmp_path / "all"), sole_writer(tmp_path / "all" / "runs" / "one"):
        pass  # of one process
    refuse_busy_below(tmp_path / "all")
    process = holder(tmp_path / "all" / "runs" / "one")
    with pytest.raises(Busy, match=rf"one: another process \(pid {process.pid}\)"):
        refuse_busy_below(tmp_path / "all")


def test_a_name_that_is_a_link_has_the_lock_of_its_target(holder, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    holder(tmp_path / "link")
    with pytest.raises(Busy), sole_writer(tmp_path / "run"):
        pass


def test_who_waits_comes_next(holder, tmp_path):
    process = holder(tmp_path / "corpus")
    stop = threading.Timer(0.2, process.kill)
    stop.start()
    with sole_writer(tmp_path / "corpus", wait=True):
        assert process.wait(5) == -signal.SIGKILL
    stop.join()


@pytest.mark.parametrize("which", ["parent", "both"])
def test_where_nothing_can_be_written_beside_it(tmp_path, monkeypatch, which):
    """As in a mounted volume; and a directory that can't be written needs no lock."""
    run = tmp_path / "run"
    run.mkdir()
    refused = {tmp_path} if which == "parent" else {tmp_path, run}
    monkeypatch.setattr(os, "access", lambda path, mode: path not in refused)
    with sole_writer(run):
        assert [path.name for path in tmp_path.rglob("*")] == (["run", ".lock"] if which == "parent" else ["run"])
    assert list(run.iterdir()) == []


def test_the_folders_around_a_directory_last(tmp_path, monkeypatch):
    """They are made for the lock, before the directory: a power cut must not take them with what is written in it later."""
    flushed = []
    monkeypatch.setattr(durable, "flush", lambda path: flushed.append(path))
    with sole_writer(tmp_path / "tasks" / "linear" / "run"):
        assert flushed == [tmp_path, tmp_path / "tasks"]
