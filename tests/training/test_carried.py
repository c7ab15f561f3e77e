"""Truncated back-propagation: the state of a recurrent model is handed on from step to step, and survives an interruption."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from safetensors.torch import load_file

from gyebo.config.errors import OptionError
from gyebo.data.batches import IGNORE
from gyebo.data.streams import BatchField, Stream
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.verify import verify
from gyebo.objectives.causal import Causal
from gyebo.training import checkpoint
from tests.conftest import RECURRENT, dropouts
from tests.refusals import option_error

FAMILY = pytest.mark.parametrize("family", RECURRENT)


def still(family):
    return {**dropouts(family, 0.0), "init_std": 0.5}


def next_token(record):
    """That term of the loss alone."""
    return record.get("loss_lm", record["loss"])


def trainer_of(options, folder, micro_rows=None):
    setup = set_up(options, folder, None)
    setup.micro_rows = micro_rows or setup.micro_rows
    return setup, setup.trainer("float32", 100)


@FAMILY
@pytest.mark.parametrize("across", [True, False])
def test_losses_are_those_of_a_lane_that_is_read_at_once(run_options, tmp_path, family, across):
    """Three windows one after the other, without learning, against one long row a lane."""
    options = run_options(family=family, model=still(family), data={"across_documents": across}, optim={"lr": 1e-30})
    setup, trainer = trainer_of(options, tmp_path)
    batches = [setup.rows.step(step, setup.batch_rows, 0) for step in range(3)]
    found = [next_token(trainer.advance()) for _ in range(3)]
    ids, labels, documents = (
        torch.cat([torch.from_numpy(batch[name]) for batch in batches], 1) for name in ("input_ids", "labels", "document_ids")
    )
    width = setup.rows.plan.context
    for step in range(1, 3):  # number the documents through: what goes on keeps its number
        for row in range(len(ids)):
            window = documents[row, step * width : (step + 1) * width]
            window[window > 0] += documents[row, : step * width].max() - int(batches[step]["continues"][row])
    long = type(trainer.model)(dataclasses.replace(trainer.model.config, context=10_000))
    long.load_state_dict(trainer.model.state_dict())
    logits = long.eval()(ids, document_ids=documents).logits
    for step in range(3):
        part = slice(step * width, (step + 1) * width)
        expected = F.cross_entropy(logits[:, part].flatten(0, 1), labels[:, part].flatten(), ignore_index=IGNORE)
        assert found[step] == pytest.approx(float(expected.detach()), abs=1e-5)
    assert any(batch["continues"].any() for batch in batches[1:])
    lost = trainer_of(options, tmp_path)[1]
    lost.advance()
    lost.carried = lost.model.reset(lost.carried, torch.ones(8, dtype=torch.bool))
    assert abs(next_token(lost.advance()) - found[1]) > 1e-3


def test_parts_of_a_batch_carry_their_own_rows(run_options, tmp_path):
    options = run_options(family="lstm", model=still("lstm"))
    _, whole = trainer_of(options, tmp_path)
    _, parts = trainer_of(options, tmp_path, micro_rows=3)
    losses = [[trainer.advance()["loss"] for _ in range(4)] for trainer in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert whole.carried.keys() == {"state"}
    torch.testing.assert_close(whole.carried["state"], parts.carried["state"], atol=1e-4, rtol=1e-3)
    assert whole.carried["state"].shape == (8, 4, 32) and not whole.carried["state"].requires_grad


@FAMILY
def test_a_replay_from_a_checkpoint_is_the_same_to_the_bit(run_options, tmp_path, family):
    options = run_options(9, family=family, model=dropouts(family, 0.2), train={"checkpoint_every": 3})
    pretrain(options, tmp_path / "run")
    assert verify(tmp_path / "run", Console(quiet=True))
    path = tmp_path / "run" / "checkpoints" / "step-6"
    carried = checkpoint.read_carried(path)
    assert carried["state"].shape[0] == 8 and carried["state"].abs().sum() > 0
    assert checkpoint.CARRIED in {file.name for file in path.iterdir()}
    _, trainer = trainer_of(options, tmp_path)
    state = checkpoint.read(path, trainer.model, trainer.optimizer)
    with pytest.raises(ValueError, match="data.order"):
        trainer.restore(state)
    with pytest.raises(ValueError, match="'memory'"):
        trainer.restore(state, {**carried, "memory": carried["state"]})
    for other in (carried["state"][:7], carried["state"][..., :-1]):
        with pytest.raises(ValueError, match=r"'state' has shape .* \[8, "):
            trainer.restore(state, {"state": other})
    trainer.restore(state, trainer.model.fresh_state(8))
    for _ in range(3):
        trainer.advance()
    last = load_file(tmp_path / "run" / "checkpoints" / "step-9" / "model.safetensors")
    weights = checkpoint.weights(trainer.model)
    assert not all(torch.equal(weights[name], last[name]) for name in last)


def test_an_order_is_chosen_and_refused(run_options, tmp_path):
    assert set_up(run_options(family="lstm"), tmp_path, None).rows.carries
    assert not set_up(run_options(family="lstm", data={"order": "shuffled"}), tmp_path, None).rows.carries
    assert not set_up(run_options(family="gpt2"), tmp_path, None).rows.carries
    with option_error("data.order"):
        set_up(run_options(family="gpt2", data={"order": "lanes"}), tmp_path, None)


def test_several_streams_have_no_lanes(run_options, tmp_path, monkeypatch):
    beside = BatchField("pixels", Stream("image", "image_document_ids", counted=False))
    monkeypatch.setattr(Causal, "fields", (*Causal.fields, beside))
    for order in ("auto", "lanes"):
        with pytest.raises(OptionError, match="data.order.*2 .*tokens, image"):
            set_up(run_options(family="lstm", data={"order": order}), tmp_path, None)
    assert not set_up(run_options(family="lstm", data={"order": "shuffled"}), tmp_path, None).rows.carries
