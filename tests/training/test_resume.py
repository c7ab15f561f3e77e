"""Killed, stopped, cut short, out of disk: nothing is lost, and the weights come out the same to the bit."""

import json
import os
import random
import shutil
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from gyebo.config import toml
from gyebo.jobs.pretrain import pretrain
from gyebo.training import checkpoint, log
from gyebo.training.loop import Failed, Stopped
from tests.training.own_process import errors_of, start

STEPS = 40


def final_weights(out):
    return load_file(checkpoint.newest(out / "checkpoints")[0] / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def losses(out):
    return [(r["step"], r["loss"]) for r in log.read(out) if "loss" in r]


@pytest.fixture(scope="module")
def whole(corpus, tokenizer_folder, tmp_path_factory):
    """An uninterrupted run that crosses an epoch's border, in its own process as the killed ones are."""
    folder = tmp_path_factory.mktemp("whole")
    options = {
        "family": "gpt2",
        "size": "tiny",
        "model": {"layers": 2, "width": 32, "heads": 2},
        "tokenizer": str(tokenizer_folder),
        "context": 32,
        "data": {"corpus": [str(corpus)], "valid_share": 0.05},
        "budget": {"steps": STEPS},
        "train": {
            "batch_tokens": 1000,  # 31 rows: neither the rows of an epoch nor of a micro-batch divide
            "micro_batch_tokens": 400,
            "precision": "float32",
            "checkpoint_every": 3,
            "evaluate_every": 1000,
            "device": "cpu",
        },
    }
    (folder / "run.toml").write_text(toml.dump(options))
    out = folder / "run"
    start(folder / "run.toml", out).join()
    record = toml.read(out / "run.toml")
    assert record["state"]["finished"] and record["result"]["epochs"] > 1
    return folder / "run.toml", out


def wait_for_step(out, step, process):
    stop = time.monotonic() + 60
    while time.monotonic() < stop and process.is_alive():
        if (out / "metrics.jsonl").exists() and len((out / "metrics.jsonl").read_text().splitlines()) >= step:
            return
        time.sleep(0.002)


def killed_and_resumed(whole, tmp_path, instants):
    """Kill -9 a little after each given step, resume each time; gives the run."""
    options, _ = whole
    out = tmp_path / "run"
    for step, delay in instants:
        process = start(options, out)
        wait_for_step(out, step, process)
        time.sleep(delay)
        process.kill()
        process.join()
    process = start(options, out)
    process.join()
    assert process.exitcode == 0, errors_of(out).read_text()
    return out


def random_instants(count):
    """Steps after which to kill, and how many seconds later; printed, so that a failure can be repeated."""
    seed = int(os.environ.get("GYEBO_KILL_SEED") or random.SystemRandom().randrange(10**6))
    rng = random.Random(seed)
    instants = [(step, rng.random() * 0.05) for step in sorted(rng.sample(range(1, STEPS), count))]
    print(f"GYEBO_KILL_SEED={seed}: killed after {instants}")
    return instants


def test_killed_at_random_instants(whole, tmp_path):
    out = killed_and_resumed(whole, tmp_path, random_instants(4))
    assert same(final_weights(out), final_weights(whole[1]))
    assert losses(out) == losses(whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(5))
def test_killed_at_twenty_random_instants(whole, tmp_path, turn):
    test_killed_at_random_instants(whole, tmp_path)


def test_sigterm_saves_and_says_how_to_go_on(whole, tmp_path):
    options, _ = whole
    out = tmp_path / "run"
    process = start(options, out)
    wait_for_step(out, 5, process)
    process.terminate()
    process.join(60)
    last = errors_of(out).read_text().splitlines()[-1]  # the traceback above it has the word resume in any case
    assert process.exitcode == 1 and last.startswith("gyebo.training.loop.Stopped: ") and "continue with resume" in last
    step = checkpoint.step_of(checkpoint.newest(out / "checkpoints")[0])
    assert step == len(losses(out)) >= 5
    assert killed_and_resumed(whole, tmp_path, []) and same(final_weights(out), final_weights(whole[1]))


def interrupted(options, out, step, monkeypatch, said="stopped after step {} of"):
    """Run in this process until SIGTERM arrives during `step`."""
    from gyebo.training.trainer import Trainer

    advance = Trainer.advance

    def stopping(self):
        record = advance(self)
        if self.step == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return record

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "advance", stopping)
        with pytest.raises(Stopped, match=said.format(step)):
            pretrain(options, out, resume=out.exists())


def test_resumed_twice(run_options, tmp_path, monkeypatch):
    options = run_options(12, train={"micro_batch_tokens": 96})
    pretrain(options, tmp_path / "a")
    for step in (4, 5):
        interrupted(options, tmp_path / "b", step, monkeypatch)
    pretrain(options, tmp_path / "b", resume=True)
    assert same(final_weights(tmp_path / "a"), final_weights(tmp_path / "b"))
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    boards = list((tmp_path / "b").glob("events.*"))
    assert len(boards) == 1


def test_a_finished_run_gives_its_result_again(run_options, tmp_path):
    options = run_options(3)
    first = pretrain(options, tmp_path / "a")
    again = pretrain(options, tmp_path / "a", resume=True)
    assert again.valid["bits_per_byte"] == first.valid["bits_per_byte"] and again.samples == first.samples


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing", "no manifest"])
def test_a_damaged_checkpoint_is_skipped_with_a_line(run_options, tmp_path, monkeypatch, capsys, damage):
    options = run_options(12, train={"checkpoint_every": 3})
    pretrain(options, tmp_path / "a")
    out = tmp_path / "b"
    interrupted(options, out, 7, monkeypatch)
    newest = out / "checkpoints" / "step-7"
    weights = newest / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    if damage == "truncated":
        weights.write_bytes(raw[:-100])
    elif damage == "flipped":
        raw[-1000] ^= 1
        weights.write_bytes(raw)
    elif damage == "missing":
        (newest / "optimizer.safetensors").unlink()
    else:
        (newest / "manifest.json").unlink()
    pretrain(options, out, resume=True)
    assert "step-7 is skipped" in capsys.readouterr().out
    assert same(final_weights(tmp_path / "a"), final_weights(out))
    assert losses(tmp_path / "a") == losses(out)


def test_a_checkpoint_of_pickles_runs_nothing(run_options, tmp_path, monkeypatch, capsys):
    import pickle

    marker = tmp_path / "executed"

    class Hostile:
        def __reduce__(self):
            return (os.system, (f"touch {marker}",))

    options = run_options(8)
    out = tmp_path / "run"
    interrupted(options, out, 4, monkeypatch)
    for path in (out / "checkpoints").glob("step-*/*"):
        path.write_bytes(pickle.dumps(Hostile()))
    # A manifest that vouches for the hostile files: digests alone would let them pass.
    newest = out / "checkpoints" / "step-4"
    names = ["model.safetensors", "optimizer.safetensors", "state.json"]
    files = {n: {"size": (newest / n).stat().st_size, "sha256": checkpoint.digest(newest / n)} for n in names}
    own = toml.read(out / "run.toml")["identity"]
    (newest / "manifest.json").write_text(json.dumps({"files": files, "made": {}, "identity": own}))
    with pytest.raises(Exception, match="(?i)header|safetensors"):
        pretrain(options, out, resume=True)
    assert not marker.exists()


def test_a_full_disk_leaves_the_last_checkpoint(run_options, tmp_path, monkeypatch):
    options = run_options(12, train={"checkpoint_every": 3})
    out = tmp_path / "run"
    real = checkpoint.save_file

    def full(tensors, path):
        if ".step-6.part" in str(path) and "optimizer" in str(path):
            real(tensors, path)
            raise OSError(28, "No space left on device")
        real(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(checkpoint.DiskFull, match=r"step-6.*No space left.*step-3.*resume"):
            pretrain(options, out)
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == ["sources.json", "step-0", "step-3"]
    assert checkpoint.problem(out / "checkpoints" / "step-3") is None
    pretrain(options, out, resume=True)
    pretrain(options, tmp_path / "whole")
    assert same(final_weights(out), final_weights(tmp_path / "whole"))


def test_a_loss_that_is_not_finite_stops_the_run(run_options, tmp_path):
    options = run_options(60, optim={"lr": 1e30, "clip": 0, "warmup": 0, "schedule": "constant"}, train={"checkpoint_every": 1})
    with pytest.raises(Failed, match=r"not finite.*documents \[\d+.*last good checkpoint is .*step-\d+"):
        pretrain(options, tmp_path / "run")
    assert checkpoint.newest(tmp_path / "run" / "checkpoints")[0] is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"batch_tokens": 512}}, "train.batch_tokens"),
        ({"context": 16}, "context"),
        ({"optim": {"clip": 0.5}}, "optim.clip"),
    ],
)
def test_resume_refuses_other_options(run_options, tmp_path, monkeypatch, change, message):
    interrupted(run_options(8), tmp_path / "run", 2, monkeypatch)
    with pytest.raises(ValueError, match=f"can't be resumed with other options: {message}"):
        pretrain(run_options(**{"steps": 8, **change}), tmp_path / "run", resume=True)


def test_resume_refuses_another_corpus(run_options, corpus, tmp_path, monkeypatch):
    copy = tmp_path / "copy.txt"
    shutil.copy(corpus, copy)
    options = run_options(8, data={"corpus": [str(copy)]})
    interrupted(options, tmp_path / "run", 2, monkeypatch)
    with copy.open("a", encoding="utf-8") as file:
        file.write("한 줄 더\n")
    with pytest.raises(ValueError, match="the corpus has changed"):
        pretrain(options, tmp_path / "run", resume=True)


def test_a_stop_during_the_last_step_is_heard_by_whoever_trains_several(run_options, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(run_options(4), out, 4, monkeypatch, said="stopped; .*run is finished")
    assert pretrain(run_options(4), out, resume=True).steps == 4 and (out / "README.md").is_file()


def test_without_a_whole_checkpoint_it_starts_again_with_an_empty_log(run_options, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(run_options(6), out, 4, monkeypatch)
    for file in (out / "checkpoints").glob("*/manifest.json"):
        file.unlink()
    pretrain(run_options(6), out, resume=True)
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "loss" in record] == list(range(1, 7))


def test_an_existing_directory_is_refused(run_options, tmp_path):
    out = tmp_path / "run"
    pretrain(run_options(2), out)
    with pytest.raises(ValueError, match=r"exists already: pass resume.*overwrite"):
        pretrain(run_options(2), out)
    assert pretrain(run_options(3), out, overwrite=True).steps == 3
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("years of work")
    with pytest.raises(ValueError, match="not written by gyebo"):
        pretrain(run_options(2), other, overwrite=True)
    assert (other / "chapter.txt").exists()
