"""`gyebo verify`: an honest run passes to the bit; a flipped bit or a changed digit is found."""

import io
import json
import shutil

import pytest
from rich.console import Console

from gyebo.jobs import run_directory
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.verify import verify
from gyebo.training import checkpoint
from gyebo.training.trainer import Trainer
from tests.training.test_resume import interrupted


def verified(run):
    said = io.StringIO()
    return verify(run, Console(file=said, width=1000)), said.getvalue()


@pytest.fixture
def run(run_options, tmp_path):
    out = tmp_path / "run"
    pretrain(run_options(6, train={"checkpoint_every": 2}), out)
    return out


def test_an_honest_run_passes_to_the_bit(run):
    before = sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*"))
    ok, said = verified(run)
    assert ok and "replaying steps 5 to 6" in said and "to the bit" in said
    assert sorted((p, p.stat().st_mtime_ns) for p in run.rglob("*")) == before  # it only looks


def test_an_interrupted_and_resumed_run_passes(run_options, tmp_path, monkeypatch):
    options = run_options(8, train={"checkpoint_every": 3, "micro_batch_tokens": 96})
    interrupted(options, tmp_path / "run", 4, monkeypatch)
    pretrain(options, tmp_path / "run", resume=True)
    ok, said = verified(tmp_path / "run")
    assert ok and "replaying steps 7 to 8" in said and "to the bit" in said


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("step", [4, 6])
def test_a_flipped_bit_is_found(run, name, step):
    path = run / "checkpoints" / f"step-{step}" / name
    raw = bytearray(path.read_bytes())
    place = raw.index(b'"sha256": "') + 11 if name == "manifest.json" else len(raw) - 3
    raw[place] ^= 1
    path.write_bytes(raw)
    ok, said = verified(run)
    assert not ok and "to the bit" not in said
    assert "SHA-256 differs" in next(line for line in said.splitlines() if f"step-{step}:" in line)


def test_a_changed_loss_is_found_even_in_its_last_digit(run):
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if json.loads(line).get("step") == 6 and "loss" in line)
    record = json.loads(lines[at])
    told = record["loss"]
    record["loss"] = float(f"{told:.15g}") if float(f"{told:.15g}") != told else told * (1 + 2e-16)
    assert record["loss"] != told
    path.write_text("\n".join([*lines[:at], json.dumps(record), *lines[at + 1 :]]) + "\n")
    ok, said = verified(run)
    assert not ok and f"step 6: the log says {record['loss']}, the replay gives {told}" in said


def test_a_loss_that_is_missing_is_found(run):
    path = run / "metrics.jsonl"
    kept = [line for line in path.read_text().splitlines() if json.loads(line)["step"] != 5]
    path.write_text("\n".join(kept) + "\n")
    ok, said = verified(run)
    assert not ok and "step 5: the log says None" in said


def rewritten(path, change):
    """A checkpoint with changed weights and a manifest that vouches for them."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["model.safetensors"]["sha256"] = checkpoint.digest(path / "model.safetensors")
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_weights_that_training_did_not_make_are_found(run):
    def change(tensors):
        tensors["final_norm.bias"][0] += 1e-6

    rewritten(run / "checkpoints" / "step-6", change)
    ok, said = verified(run)
    assert not ok and "differs from the replay in tensor final_norm.bias" in said


def test_root_weights_that_are_not_the_last_checkpoints_are_found(run):
    path = run / "model.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1
    path.write_bytes(raw)
    ok, said = verified(run)
    assert not ok and f"{run}: differs from {run / 'checkpoints' / 'step-6'} in tensor" in said


def test_every_file_of_the_root_has_a_digest(run):
    written = {path.name for path in run.iterdir() if path.is_file() and not path.name.startswith((".", "events"))}
    assert "per-example.npz" in written
    assert set(run_directory.read(run)["files"]) >= written - {"run.toml"}


def vouched(run, name):
    """run.toml vouches for a file of the root as it is now."""
    record = run_directory.read(run)
    record["files"][name] = checkpoint.digest(run / name)
    run_directory.write(run, record)


def made_elsewhere(run, **facts):
    for path in checkpoint.steps(run / "checkpoints"):
        manifest = json.loads((path / "manifest.json").read_text())
        manifest["made"].update(facts)
        (path / "manifest.json").write_text(json.dumps(manifest))


def test_on_another_machine_it_says_so_and_compares_to_a_tolerance(run):
    made_elsewhere(run, threads=7, cpu="another")
    path = run / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for record in lines:
        if record["step"] == 6 and "loss" in record:
            record["loss"] *= 1 + 1e-6  # as another order of summation may give
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))
    vouched(run, "metrics.jsonl")
    ok, said = verified(run)
    assert ok and "threads 7 then" in said and "cpu another then" in said and "tolerance" in said and "to the bit" not in said


def test_the_tolerance_has_an_end(run):
    made_elsewhere(run, threads=7)

    def change(tensors):
        tensors["token_embedding.weight"][0, 0] += 0.01

    rewritten(run / "checkpoints" / "step-6", change)
    ok, said = verified(run)
    assert not ok and "differs from the replay in tensor token_embedding.weight" in said


def test_what_cannot_be_verified(run, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not a run of gyebo \(no run.toml"):
        verify(tmp_path, Console(quiet=True))
    shutil.rmtree(run / "checkpoints" / "step-4")
    with pytest.raises(ValueError, match=r"has 1 checkpoint: a replay needs two"):
        verify(run, Console(quiet=True))


def test_a_changed_corpus_cannot_be_replayed(run_options, corpus, tmp_path):
    copy = tmp_path / "copy.txt"
    shutil.copy(corpus, copy)
    pretrain(run_options(4, data={"corpus": [str(copy)]}), tmp_path / "run")
    with copy.open("a", encoding="utf-8") as file:
        file.write("한 줄 더\n")
    with pytest.raises(ValueError, match="the corpus has changed since the run"):
        verify(tmp_path / "run", Console(quiet=True))


# -- the root, half-deleted checkpoints, another environment, changes on the way -----------------------------------------------

ROOT = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "loss.png", "metrics.jsonl"]


@pytest.mark.parametrize("how", ["changed", "missing"])
@pytest.mark.parametrize("name", ROOT)
def test_a_file_of_the_root_that_is_not_what_was_written_is_found(run, name, how):
    if how == "missing":
        (run / name).unlink()
    else:
        (run / name).write_bytes((run / name).read_bytes() + b"\n")
    ok, said = verified(run)
    assert not ok and "the run is what its log says" not in said
    assert any(line.startswith(f"{run / name}: ") for line in said.splitlines())


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "metrics.jsonl"])
def test_what_can_not_be_read_is_a_line(run, name):
    (run / name).write_bytes(b"\xff\xfe{")
    ok, said = verified(run)
    assert not ok and str(run / name) in said


def test_an_edited_card_is_a_note_and_files_of_ones_own_are_nothing(run):
    with (run / "README.md").open("a", encoding="utf-8") as file:
        file.write("Trained for a thesis.\n")
    (run / "LICENSE").write_text("mine")
    (run / "notes.txt").write_text("mine")
    ok, said = verified(run)
    assert ok and "to the bit" in said and "LICENSE" not in said and "notes.txt" not in said
    assert [line for line in said.splitlines() if line.startswith("note: ")] and f"{run / 'README.md'}" in said


def test_an_unfinished_run_has_no_root_to_compare(run_options, tmp_path, monkeypatch):
    interrupted(run_options(8, train={"checkpoint_every": 3}), tmp_path / "run", 4, monkeypatch)
    ok, said = verified(tmp_path / "run")
    assert ok and "replaying steps 4 to 4" in said


def test_what_a_kill_left_among_the_checkpoints_is_no_obstacle(run):
    """A checkpoint that was being deleted or written, and the weights of a save that was cut."""
    folder = run / "checkpoints"
    shutil.copytree(folder / "step-4", folder / "step-2")
    (folder / "step-2" / "manifest.json").unlink()
    (folder / "step-0").mkdir()
    shutil.copytree(folder / "step-6", folder / ".step-7.part")
    (folder / "step-x").mkdir()
    (run / ".saving-abc").mkdir()
    (run / ".saving-abc" / "config.json").write_text("{")
    ok, said = verified(run)
    assert ok and "to the bit" in said and sum(line.startswith("note: ") for line in said.splitlines()) == 2


def test_a_newest_checkpoint_that_lacks_a_file_is_no_leftover(run):
    (run / "checkpoints" / "step-6" / "optimizer.safetensors").unlink()
    ok, said = verified(run)
    assert not ok and "optimizer.safetensors is missing" in said


def test_a_checkpoint_of_another_run_is_named(run, run_options, tmp_path):
    pretrain(run_options(6, seed=1, train={"checkpoint_every": 2}), tmp_path / "other")
    shutil.rmtree(run / "checkpoints" / "step-6")
    shutil.copytree(tmp_path / "other" / "checkpoints" / "step-6", run / "checkpoints" / "step-6")
    with pytest.raises(ValueError, match="step-6 is a checkpoint of another run .the seed"):
        verify(run, Console(quiet=True))


def test_threads_that_differed_are_said_in_the_verdict(run_options, tmp_path, monkeypatch):
    """The last stretch repeats to the bit, but the whole is not that of an uninterrupted run."""
    out = tmp_path / "run"
    options = run_options(8, train={"checkpoint_every": 2})
    interrupted(options, out, 3, monkeypatch)
    made = checkpoint.environment
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "environment", lambda *given: made(*given) | {"threads": 7})
        interrupted(options, out, 5, monkeypatch)
    pretrain(options, out, resume=True)
    noted = [(c["step"], c["option"], c["before"], c["after"]) for c in run_directory.read(out)["changes"]]
    assert noted == [(3, "made.threads", 1, 7), (5, "made.threads", 7, 1)]
    ok, said = verified(out)
    verdict = said.splitlines()[-1]
    assert ok and "to the bit" in verdict and "not bit-equal to an uninterrupted run" in verdict
    assert "threads 1 before, 7 from step 4 on" in verdict and "threads 7 before, 1 from step 6 on" in verdict


def test_an_older_run_shows_it_where_its_checkpoints_differ(run):
    path = run / "checkpoints" / "step-4" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["made"]["threads"] = 7
    path.write_text(json.dumps(manifest))
    ok, said = verified(run)
    assert ok and "threads 7 before, 1 at the end" in said.splitlines()[-1]


@pytest.mark.parametrize("change", [{"optim": {"lr": 1e-4}}, {"steps": 12}])
@pytest.mark.parametrize("kept", [True, False])
def test_a_stretch_is_replayed_with_the_options_that_held_then(run_options, tmp_path, monkeypatch, change, kept):
    """Also where the checkpoint is gone at which they changed."""
    out = tmp_path / "run"
    options = {"train": {"checkpoint_every": 3, "keep": 4}}
    interrupted(run_options(8, **options), out, 4, monkeypatch)
    interrupted(run_options(**{"steps": 8, **options, **change}), out, 7, monkeypatch)
    for step in (6, 0, *(() if kept else (4,))):
        shutil.rmtree(out / "checkpoints" / f"step-{step}", ignore_errors=True)
    if not kept:
        assert [checkpoint.step_of(path) for path in checkpoint.steps(out / "checkpoints")] == [7, 3]
    ok, said = verified(out)
    assert ok and "to the bit" in said, said


def test_the_stretch_before_a_change_is_replayed_too(run_options, tmp_path, monkeypatch):
    out = tmp_path / "run"
    options = {"train": {"checkpoint_every": 2}}
    interrupted(run_options(8, **options), out, 4, monkeypatch)
    with monkeypatch.context() as patch:  # killed after the change was noted, before anything was trained
        patch.setattr(Trainer, "advance", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pretrain(run_options(8, **options, optim={"lr": 1e-4}), out, resume=True)
    assert run_directory.read(out)["changes"]
    ok, said = verified(out)
    assert ok and "replaying steps 3 to 4" in said and "to the bit" in said
