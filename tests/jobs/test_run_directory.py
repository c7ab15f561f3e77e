"""A run directory has one writer, and is replaced only where it holds nothing but what gyebo wrote."""

import shutil
import subprocess
import sys

import pytest

from gyebo.config.disk import DiskFull
from gyebo.config.finetune import FinetuneOptions, TaskOptions
from gyebo.data.lock import Busy
from gyebo.jobs import run_directory
from gyebo.jobs.finetune import finetune_seeds
from gyebo.jobs.finetuning.linear import finetune_linear
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.run_directory import STARTING, claim, started
from gyebo.jobs.written import RUN, SEEDS, foreign
from tests.jobs.tuning_files import sentences, table

HOLDER = """
import sys, time
from pathlib import Path
from gyebo.data.lock import sole_writer
with sole_writer(Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(60)
"""


def written(out):
    """A directory as a run leaves it, empty files."""
    for name in ("run.toml", "config.json", "checkpoints/step-3/model.safetensors", "tokenizer/tokenizer.json"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("old")
    return out


def contents(out):
    """What each file holds; of a link and a folder only that they are there."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in out.rglob("*")
    }


def of_ones_own(out, what):
    """Put something of the user's into a directory; gives its name."""
    if what == "link":
        (out / "config.json").unlink()
        (out / "config.json").symlink_to("/etc/hostname")
        return "config.json"
    if what == "linked folder":
        shutil.move(out / "checkpoints", out.parent / "elsewhere")
        (out / "checkpoints").symlink_to(out.parent / "elsewhere")
        return "checkpoints"
    path = out / what
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    return what if (out / what).parent in (out, out / "checkpoints", out / "checkpoints" / "step-3") else path.parent.name


@pytest.mark.parametrize(
    "what",
    [
        "notes.txt",
        ".git/config",
        "data/mine.csv",
        "checkpoints/notes.txt",
        "checkpoints/step-3/notes.txt",
        "my.png",
        "link",
        "linked folder",
    ],
)
def test_what_is_the_users_own_is_named_and_stays(tmp_path, what):
    out = written(tmp_path / "run")
    name = of_ones_own(out, what)
    before = contents(tmp_path)
    with (
        pytest.raises(ValueError, match=f"holds {name}, which gyebo did not write there"),
        claim(out, resume=False, overwrite=True),
    ):
        pass
    assert contents(tmp_path) == before
    if "link" not in what:  # tests/jobs/test_planted_links.py
        with claim(out, resume=True, overwrite=False) as found:  # hinders no resumption
            assert found


def test_what_runs_leave_is_known(run_options, corpus, tokenizer_folder, tmp_path):
    """Every file of a real run, of one with several seeds, and of the baseline."""
    pretrain(run_options(3, tokenizer=None, vocab_size=300), tmp_path / "run")
    assert foreign(tmp_path / "run", RUN) is None
    data = str(table(tmp_path / "data.csv", ("text", "label"), sentences(60)))
    task = {"name": "classification", "data": data}
    options = {"model": str(tmp_path / "run"), "task": task, "epochs": 1, "device": "cpu", "precision": "float32"}
    finetune_seeds(FinetuneOptions.model_validate(options), [0, 1], tmp_path / "seeds")
    assert foreign(tmp_path / "seeds", SEEDS) is None and foreign(tmp_path / "seeds" / "seed-1", RUN) is None
    finetune_linear(TaskOptions.model_validate(task), tmp_path / "linear")
    assert foreign(tmp_path / "linear", RUN) is None
    assert {path.name for path in tmp_path.iterdir()} == {"run", "seeds", "linear", "data.csv"}


def test_a_linked_directory_is_replaced_where_it_lies(tmp_path):
    written(tmp_path / "disk" / "run")
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    with claim(tmp_path / "run", resume=False, overwrite=True):
        (tmp_path / "run" / "run.toml").write_text("new")
        started(tmp_path / "run")
    assert (tmp_path / "run").is_symlink() and contents(tmp_path / "disk") == {"run": None, "run/run.toml": b"new"}


def test_what_is_replaced_comes_back_unless_the_new_one_has_begun(tmp_path):
    out = written(tmp_path / "run")
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt), claim(out, resume=False, overwrite=True):
        (out / "tokenizer").mkdir()
        raise KeyboardInterrupt
    assert contents(tmp_path) == before


def test_a_start_that_fails_takes_nothing_of_the_users_away(tmp_path):
    """Who puts a file into a directory while a run starts there keeps it, and is told of it."""
    out = written(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), claim(out, resume=False, overwrite=True):
        (out / "notes.txt").write_text("mine")
        raise KeyboardInterrupt
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match=r"holds notes\.txt"), claim(out, resume=False, overwrite=False):
        pass
    (out / "notes.txt").unlink()
    with claim(out, resume=True, overwrite=False) as found:
        assert found and (out / "run.toml").read_text() == "old"


def test_what_was_being_deleted_never_comes_back(tmp_path):
    out = tmp_path / "run"
    written(tmp_path / ".run.deleted")
    with claim(out, resume=False, overwrite=False) as found:
        assert not found and {path.name for path in out.iterdir()} == {STARTING}


def test_a_baseline_that_was_cut_short_is_begun_anew(tmp_path):
    out = tmp_path / "linear"
    with pytest.raises(SystemExit), claim(out, resume=False, overwrite=False):
        (out / "vocabulary.json").write_text("{")
        raise SystemExit
    assert not out.exists()
    out.mkdir()
    for name in (STARTING, "vocabulary.json", ".model.safetensors.part"):  # after a kill
        (out / name).touch()
    with claim(out, resume=False, overwrite=False):
        assert {path.name for path in out.iterdir()} == {STARTING}


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}, {}])
def test_a_directory_that_another_process_writes_is_not_touched(tmp_path, how):
    out = written(tmp_path / "run")
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        before = contents(tmp_path)
        with pytest.raises(Busy, match=str(other.pid)), claim(out, **{"resume": False, "overwrite": False, **how}):
            pass
        assert contents(tmp_path) == before
        with pytest.raises(Busy), run_directory.claim(tmp_path / "run" / "inside", resume=False, overwrite=False):
            pass
    finally:
        other.kill()
        other.wait()


def test_a_directory_is_not_replaced_while_a_run_in_it_is_written(tmp_path):
    out = written(tmp_path / "seeds")
    (out / "run.toml").rename(out / "results.json")
    written(out / "seed-0")
    other = subprocess.Popen([sys.executable, "-c", HOLDER, str(out / "seed-0")], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        with pytest.raises(Busy, match="seed-0"), claim(out, resume=False, overwrite=True, kind="results.json"):
            pass
        assert (out / "results.json").is_file() and (out / "seed-0" / "run.toml").is_file()
    finally:
        other.kill()
        other.wait()


def test_a_full_disk_does_not_tell_to_resume_what_was_to_be_replaced(tmp_path):
    out = written(tmp_path / "run")
    with pytest.raises(DiskFull, match="nothing is kept of this start"), claim(out, resume=False, overwrite=True):
        raise OSError(28, "No space left on device")
    assert (out / "run.toml").read_text() == "old"


@pytest.mark.parametrize("begun", [True, False])
def test_a_full_disk_says_what_is_kept(tmp_path, begun):
    out = tmp_path / "run"
    kept = r"step-12 is kept: free some space and use resume" if begun else "nothing is kept of this start"
    with pytest.raises(DiskFull, match=rf"run: No space left on device; .*{kept}"), claim(out, resume=False, overwrite=False):
        if begun:
            written(out)
            (out / "checkpoints" / "step-12").mkdir()
            started(out)
        raise OSError(28, "No space left on device")
    assert out.exists() == begun
