"""Muon: what it does to stacked matrices, what is left to AdamW, what is stored and what it costs."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gyebo.config.errors import OptionError
from gyebo.config.run import OptimOptions
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.models import family
from gyebo.training import checkpoint, muon
from gyebo.training.muon import update_flops
from gyebo.training.optimizer import load_state_tensors, make_optimizer, state_tensors
from tests.jobs.tuning_files import reviews, saved_model, tuning
from tests.training.test_resume import final_weights, same

MUON = {"name": "muon"}


class Killed(BaseException):
    """What kill -9 looks like from inside."""


class Small(nn.Module):
    """A table, a block with query, key and value in one matrix, and a head."""

    family = "small"

    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)
        self.qkv, self.out = nn.Linear(4, 12), nn.Linear(4, 4)

    def block_matrices(self):
        return {self.qkv.weight: 3, self.out.weight: 1}


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 6, 20), (1, 20, 6)])
def test_the_iteration_in_float32_is_that_of_the_definition(shape):
    """a x + b (x x') x + c (x x')^2 x five times, in float64; and all singular values lie about 1."""
    torch.manual_seed(1)
    x = torch.randn(shape, dtype=torch.float64)
    expected = []
    for matrix in x:
        y = matrix / matrix.norm()
        for _ in range(5):
            y = 3.4445 * y - 4.7750 * (y @ y.T) @ y + 2.0315 * (y @ y.T) @ (y @ y.T) @ y
        expected.append(y)
    found = muon.orthogonal(x.float())
    torch.testing.assert_close(found.double(), torch.stack(expected), atol=1e-4, rtol=1e-4)
    assert ((torch.linalg.svdvals(found.float()) - 1).abs() < 0.5).all()


def test_parts_are_orthogonal_one_by_one_and_the_rest_is_adamws(monkeypatch):
    """Beside torch's two optimisers on query, key and value as three parameters, with decay and a rate that changes."""
    monkeypatch.setattr(muon, "_precision", lambda device: torch.bfloat16)  # torch's
    torch.manual_seed(0)
    model = Small()
    options = OptimOptions(name="muon", weight_decay=0.2, momentum=0.9, betas=(0.8, 0.9), eps=1e-7)
    optimizer = make_optimizer(model, options)
    names = ("qkv.weight", "out.weight")
    apart = [nn.Parameter(part.clone()) for part in model.qkv.weight.detach().chunk(3)]
    apart.append(nn.Parameter(model.out.weight.detach().clone()))
    rest = {n: nn.Parameter(p.detach().clone()) for n, p in model.named_parameters() if n not in names}
    theirs = torch.optim.Muon(apart, weight_decay=0.2, momentum=0.9, adjust_lr_fn="match_rms_adamw")
    decayed, plain = ([p for p in rest.values() if (p.ndim == 2) == kind] for kind in (True, False))
    adamw = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.2}, {"params": plain, "weight_decay": 0.0}], betas=(0.8, 0.9), eps=1e-7
    )
    for step in range(4):
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        for part, rows in zip(apart, [*model.qkv.weight.grad.chunk(3), model.out.weight.grad]):
            part.grad = rows.clone()
        for name, p in rest.items():
            p.grad = dict(model.named_parameters())[name].grad.clone()
        for group in (*optimizer.param_groups, *theirs.param_groups, *adamw.param_groups):
            group["lr"] = 0.1 / (1 + step)
        for each in (optimizer, theirs, adamw):
            each.step()
    torch.testing.assert_close(model.qkv.weight, torch.cat(apart[:3]), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.out.weight, apart[3], atol=1e-6, rtol=1e-5)
    for name, p in rest.items():
        torch.testing.assert_close(dict(model.named_parameters())[name], p, atol=1e-6, rtol=1e-5)
    assert set(state_tensors(model, optimizer)) >= {f"momentum_buffer.{name}" for name in names}


@pytest.mark.parametrize("name", [name for name, row in family.FAMILIES.items() if "tiny" in row.sizes])
def test_matrices_of_blocks_are_cut_into_equal_parts_and_no_table_or_head_is_among_them(name):
    cls = family.model_class(name)
    with torch.device("meta"):
        model = cls(cls.sizes["tiny"])
    named = {p: key for key, p in model.named_parameters()}
    matrices = model.block_matrices()
    for matrix, parts in matrices.items():
        assert matrix.ndim == 2 and matrix.shape[0] % parts == 0 and named[matrix].startswith(tuple(model.stacks))
        assert not any(word in named[matrix] for word in ("embedding", "lm_head", "table"))
    wide = [key for p, key in named.items() if p in matrices and p.shape[0] >= 2 * p.shape[1] and matrices[p] == 1]
    # What is wider than its input, and one matrix nevertheless: the feed-forward network.
    assert all(any(word in key for word in ("mlp", "dense", "pointwise", "up.")) for key in wide), wide
    assert bool(matrices) == bool(model.stacks and name not in ("vqvae", "dvae"))


@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_a_killed_run_is_resumed_to_the_same_bits(run_options, tmp_path, family):
    options = run_options(9, family=family, optim=MUON | {"layer_decay": 0.9}, train={"checkpoint_every": 4})
    result = pretrain(options, tmp_path / "whole")
    assert result.valid["bits_per_byte"] < 4

    def kill(step, seconds):
        if step == 6:
            raise Killed

    with pytest.raises(Killed):
        pretrain(options, tmp_path / "killed", watch=kill)
    pretrain(options, tmp_path / "killed", resume=True)
    assert same(final_weights(tmp_path / "whole"), final_weights(tmp_path / "killed"))
    states = [
        load_file(checkpoint.newest(tmp_path / run / "checkpoints")[0] / "optimizer.safetensors") for run in ("whole", "killed")
    ]
    assert same(*states)
    assert {name.partition(".")[0] for name in states[0]} == {"step", "exp_avg", "exp_avg_sq", "momentum_buffer"}


def test_it_fine_tunes_with_gradual_unfreezing(tokenizer_folder, tmp_path):
    model, data = saved_model(tmp_path / "model", "bert", tokenizer_folder), reviews(tmp_path)
    options = tuning(model, data, epochs=2, optim=MUON | {"unfreeze": 0.5, "lr": 0.01})
    first, second = (finetune(options, tmp_path / name) for name in "ab")
    assert second == dataclasses.replace(first, seconds=second.seconds, memory_bytes=second.memory_bytes)


def test_its_state_is_checked(run_options, tmp_path):
    trainer = set_up(run_options(optim=MUON), tmp_path, None).trainer("float32", 10)
    trainer.advance()
    tensors = state_tensors(trainer.model, trainer.optimizer)
    fresh = set_up(run_options(optim=MUON), tmp_path, None).trainer("float32", 10)
    name = "momentum_buffer.blocks.0.mlp.up.weight"
    with pytest.raises(ValueError, match=f"optimiser state {name} is missing or not of shape"):
        load_state_tensors(fresh.model, fresh.optimizer, tensors | {name: tensors[name].mT})
    adamw = set_up(run_options(), tmp_path, None).trainer("float32", 10)
    with pytest.raises(ValueError, match="optimiser state"):
        load_state_tensors(adamw.model, adamw.optimizer, tensors)


def test_its_products_are_counted(run_options, tmp_path):
    """Beside torch's counter over a step of the optimiser, and in the cost of a run's step."""
    setup = set_up(run_options(optim=MUON), tmp_path, None)
    trainer = setup.trainer("float32", 10)
    trainer.advance()
    with FlopCounterMode(display=False) as counter:
        trainer.optimizer.step()
    assert update_flops(trainer.model.block_matrices()) == counter.get_total_flops() > 0
    plain = set_up(run_options(), tmp_path, None)
    both = [found.flops_per_step(found.outline()) for found in (setup, plain)]
    assert both[0] - both[1] == counter.get_total_flops()


def test_a_model_without_matrices_in_its_blocks_is_refused():
    cls = family.model_class("vqvae")
    with pytest.raises(OptionError, match="optim.name=muon: the blocks of vqvae have no matrices"):
        make_optimizer(cls(cls.sizes["tiny"]), OptimOptions(name="muon"))
