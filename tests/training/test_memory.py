"""A model that hands on keys and values: a reset row attends to nothing old; the loop, parts of a batch, a resumed run."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from gyebo.nn.state import each, leaves
from gyebo.training import checkpoint
from tests.training.memory_model import CONTEXT, IDS, LANES, trainer_of


def same(a, b):
    a, b = leaves(a), leaves(b)
    return a.keys() == b.keys() and all(torch.equal(a[path], b[path]) for path in a)


@torch.no_grad()
def test_a_row_that_was_reset_attends_to_nothing_old():
    model, ids = trainer_of().model, torch.randint(IDS, (3, 2 * CONTEXT))
    ones = torch.ones(3, CONTEXT, dtype=torch.long)
    state = model.encode(ids[:, :CONTEXT], ones).state
    which = torch.tensor([True, False, True])
    later = ids[:, CONTEXT:]
    alone, after = model.encode(later, ones).hidden, model.encode(later, ones, model.reset(state, which)).hidden
    assert torch.equal(after[which], alone[which]) and torch.equal(after[1], model.encode(later, ones, state).hidden[1])
    assert not torch.allclose(after[1], alone[1], atol=1e-3)
    zeros = {**state, "memory": each(torch.zeros_like, state["memory"])}
    assert not torch.allclose(model.encode(later, ones, zeros).hidden[0], alone[0], atol=1e-3)  # a zero is attended to


def test_the_loop_resets_the_rows_that_do_not_go_on():
    """A step's loss is that of the model, given what it left of the same lane, and nothing where a document or epoch begins."""
    trainer = trainer_of()
    model, objective, rows = trainer.model, trainer.objective, trainer.rows
    state = model.fresh_state(LANES)
    for step in range(rows.plan.windows + 3):
        batch = {name: torch.from_numpy(array) for name, array in rows.step(step, LANES, 0).items()}
        with torch.no_grad():
            losses, left = [], []
            for lane in range(LANES):
                row = slice(lane, lane + 1)
                goes_on = bool(batch["continues"][lane])
                one = {name: array[row] for name, array in batch.items()}
                one["state"] = each(lambda leaf, row=row: leaf[row], state) if goes_on else model.fresh_state(1)
                losses.append(float(objective.loss(model, one)["lm"][0]))
                left.append(one["state"])
        state = each(lambda *parts: torch.cat(parts), *left)
        assert trainer.advance()["loss"] == pytest.approx(sum(losses) / objective.counts(batch)["lm"], rel=1e-4)
    assert 0 < sum(batch["continues"]) < LANES


def test_parts_of_a_batch_carry_their_own_rows():
    whole, parts = trainer_of(), trainer_of(2)
    for _ in range(4):
        assert whole.advance()["loss"] == pytest.approx(parts.advance()["loss"], rel=1e-5)
    ours, theirs = leaves(whole.carried), leaves(parts.carried)
    assert list(ours) == ["memory.keys", "memory.values", "filled"]
    for path, leaf in ours.items():
        torch.testing.assert_close(leaf, theirs[path], atol=1e-5, rtol=1e-4)
        assert not leaf.requires_grad


def test_a_checkpoint_holds_the_leaves_by_name(tmp_path):
    whole, killed = trainer_of(), trainer_of()
    for trainer, steps in ((whole, 9), (killed, 4)):
        for _ in range(steps):
            trainer.advance()
    path = checkpoint.write(
        tmp_path, killed.model, killed.optimizer, killed.state(), made={}, keep=1, carried=killed.all_carried()
    )
    assert checkpoint.problem(path) is None
    carried = checkpoint.read_carried(path)
    assert same(carried, killed.carried) and list(leaves(carried)) != []
    again = trainer_of()
    again.restore(checkpoint.read(path, again.model, again.optimizer), carried)
    for _ in range(5):
        again.advance()
    assert same(again.carried, whole.carried)
    assert all(torch.equal(p, q) for p, q in zip(again.model.parameters(), whole.model.parameters()))


def test_leaves_that_share_memory_are_stored(tmp_path):
    trainer = trainer_of()
    both = torch.arange(8.0).view(2, 4)
    carried = {"a": both, "b": {"c": both[:, 2:], "d": both}}
    path = checkpoint.write(tmp_path, trainer.model, trainer.optimizer, trainer.state(), made={}, keep=1, carried=carried)
    assert same(checkpoint.read_carried(path), carried)


def test_one_tensor_of_a_stored_run_is_a_tree_of_one_leaf(tmp_path):
    tensor = torch.rand(3, 2, 4)
    save_file({"state": tensor}, tmp_path / checkpoint.CARRIED)
    assert same(checkpoint.read_carried(tmp_path), {"state": tensor})
    with pytest.raises(ValueError, match="not one of this model: 'filled' is missing"):
        trainer = trainer_of()
        trainer.restore(trainer.state(), checkpoint.read_carried(tmp_path))
