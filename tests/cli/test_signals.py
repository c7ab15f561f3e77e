"""SIGTERM and kill -9 outside of the training loop: one line, exit 1, no processes left, nothing half-written that counts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import sentences

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="no /proc")


@pytest.fixture
def typed(tmp_path):
    """A function that types a command in a process of its own; gives the process."""
    processes = []

    def run(*words, **options):
        environment = os.environ | {"GYEBO_CACHE": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "gyebo", *map(str, words)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(seen, process, seconds=60):
    stop = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < stop
        time.sleep(0.01)


def family(pid):
    """The processes that a process started, and those that these did."""
    found, parents = [], {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        if fields[0] != "Z":
            parents[int(path.parent.name)] = int(fields[1])
    for child, parent in parents.items():
        if parent == pid:
            found += [child, *family(child)]
    return found


def test_while_a_corpus_is_read(typed, tmp_path):
    process = typed("pretrain", "gpt2", "-", "-o", tmp_path / "run", "--steps", "1", stdin=subprocess.PIPE)
    wait_for(lambda: list(tmp_path.glob("cache/spool/*.part")), process)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "gyebo: interrupted\n")
    assert list(tmp_path.glob("cache/spool/*")) == [] and not (tmp_path / "run").exists()


def preparing(typed, tmp_path, tokenizer_folder):
    """A preparation in several processes that has finished some parts."""
    (tmp_path / "texts").mkdir()
    for number in range(1000):
        (tmp_path / "texts" / f"{number}.txt").write_text("\n".join(sentences(60, seed=number)), encoding="utf-8")
    words = ["--tokenizer", tokenizer_folder, "--steps", "1", "--size", "tiny", "-o", tmp_path / "run"]
    process = typed("pretrain", "gpt2", tmp_path / "texts", *words, stdout=subprocess.DEVNULL)
    wait_for(lambda: len(list(tmp_path.glob("cache/corpora/*/parts/*.json"))) > 2, process)
    workers = family(process.pid)
    assert len(workers) >= min(2, os.cpu_count())
    return process, workers


def gone(processes, seconds=10):
    stop = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in processes) and time.monotonic() < stop:
        time.sleep(0.02)
    return not any(Path(f"/proc/{pid}").exists() for pid in processes)


@pytest.mark.slow
def test_sigterm_while_a_corpus_is_prepared(typed, tmp_path, tokenizer_folder):
    process, workers = preparing(typed, tmp_path, tokenizer_folder)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "gyebo: interrupted\n")
    assert gone(workers)
    assert not (tmp_path / "run").exists() and not list(tmp_path.rglob(".*.lock"))


@pytest.mark.slow
def test_ctrl_c_reaches_all_processes_and_one_speaks(typed, tmp_path, tokenizer_folder):
    process, workers = preparing(typed, tmp_path, tokenizer_folder)
    for pid in (*workers, process.pid):  # the first one ends the others
        os.kill(pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "gyebo: interrupted\n")


@pytest.mark.slow
def test_kill_while_a_corpus_is_prepared(typed, tmp_path, tokenizer_folder):
    process, workers = preparing(typed, tmp_path, tokenizer_folder)
    process.kill()
    process.wait()
    assert gone(workers)


@pytest.mark.parametrize("place", ["gyebo.jobs.evaluate.evaluate", "gyebo.jobs.generate.generate"])
def test_sigterm_in_other_work_is_what_ctrl_c_is(refused, trained, monkeypatch, place):
    before = signal.getsignal(signal.SIGTERM)

    def terminated(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    monkeypatch.setattr(place, terminated)
    command = place.rpartition(".")[2]
    assert refused(command, trained, *(["--prompt", "a"] if command == "generate" else []), code=1) == "gyebo: interrupted"
    assert signal.getsignal(signal.SIGTERM) == before


BUSY = """
import hashlib, os, signal, threading
from gyebo.cli import app
app.PATIENCE = 0.2
def work(*arguments, **options):
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    hashlib.pbkdf2_hmac("sha256", b"outside", b"of Python", 10**9)
app.program = lambda arguments: work
app.main()
"""


def test_sigterm_where_python_does_not_hear_it():
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "gyebo: interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_answer_that_finds_no_room(typed):
    with Path("/dev/full").open("w") as full:
        process = typed("families", stdout=full)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == "gyebo: standard output: no space left on device: free some space and start again\n"
