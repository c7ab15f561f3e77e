"""Steps whose figures a device keeps for a while: the same run, and nothing that waits for the device."""

import json

import pytest
import torch
from safetensors.torch import load_file

from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.nn import host
from gyebo.training import checkpoint, loop, trainer
from gyebo.training.loop import Failed
from tests.jobs.test_picture_code_runs import options as picture_options
from tests.jobs.test_text_with_regions_runs import pictured
from tests.training.test_resume import final_weights, same
from tests.training.waits import Waits

# Whose steps wait for nothing.
RECURRENT = ("rnn", "lstm", "gru", "ulmfit", "elmo")
ATTENTION = ("gpt", "gpt2", "bert", "roberta", "distilbert", "bart_decoder", "bart", "t5", "transformer_xl", "xlnet")
REGIONS = ("lxmert", "vilbert")
PICTURES = ("vqvae", "dvae")
CLUSTERS = {"cutoffs": [100, 250], "division": 2}


def lines(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def waiting(monkeypatch):
    """A CPU is asked for the figures of four steps together."""
    monkeypatch.setattr(loop, "lag", lambda device: 4)


def run(options, out):
    pretrain(options, out)
    state = load_file(checkpoint.newest(out / "checkpoints")[0] / "optimizer.safetensors")
    return (
        [{name: value for name, value in line.items() if name != "seconds"} for line in lines(out)],
        final_weights(out),
        state,
    )


def test_a_run_is_the_same(run_options, tmp_path, monkeypatch):
    """Evaluated every 3 and stored every 5 of 11 steps."""
    options = run_options(11, family="bert", train={"checkpoint_every": 5, "evaluate_every": 3})
    at_once = run(options, tmp_path / "a")
    monkeypatch.setattr(loop, "lag", lambda device: 4)
    later = run(options, tmp_path / "b")
    assert at_once[0] == later[0] and len(at_once[0]) == 11 + 4
    assert same(at_once[1], later[1]) and same(at_once[2], later[2])
    seconds = [line["seconds"] for line in lines(tmp_path / "b") if "loss" in line]
    assert seconds == sorted(seconds) and seconds[0] > 0


def test_a_step_that_is_not_finite_ends_the_run_where_it_was(run_options, tmp_path, waiting, monkeypatch):
    """Steps after it that were taken are not logged, and the last good checkpoint is before it."""
    clip = trainer.Trainer._clip

    def broken(self):
        return clip(self) * (float("nan") if self.step == 5 else 1.0)

    monkeypatch.setattr(trainer.Trainer, "_clip", broken)
    with pytest.raises(Failed, match=r"step 6: loss \d.*norm of the gradient nan.*last good checkpoint is .*step-4"):
        pretrain(run_options(12, train={"checkpoint_every": 4, "evaluate_every": 12}), tmp_path / "run")
    steps = [line["step"] for line in lines(tmp_path / "run") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5] and lines(tmp_path / "run")[-1]["step"] == 6


def options_of(family, run_options):
    if family in PICTURES:
        return picture_options(family)
    if family in REGIONS:
        return pictured(run_options, family)
    return run_options(family=family.partition("-")[0], model=CLUSTERS if family.endswith("clusters") else None)


@pytest.mark.parametrize("family", [*RECURRENT, *ATTENTION, "transformer_xl-clusters", *REGIONS, *PICTURES])
def test_no_step_waits_for_the_device(run_options, tmp_path, monkeypatch, family):
    made = set_up(options_of(family, run_options), tmp_path, None).trainer("float32", 9)
    made.advance()
    waits = Waits([*made.model.parameters(), *made.model.buffers()])
    monkeypatch.setattr(host, "to_device", waits.copied)
    with waits:
        figures = made.advance_unread()
    assert not waits.found and figures.values in waits.device


def test_one_that_waits_is_found():
    x = torch.rand(4)
    with Waits([x]) as waits:
        (x + 1).nonzero()
        torch.rand(3).nonzero()
        (2 * x).max().item()
        x[x > 0.5]
        x.long().bincount()
        x.unique(dim=0)
    assert sum(waits.found.values()) == 5
