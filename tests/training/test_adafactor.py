"""Adafactor: its update as the paper has it, what is stored of it, and which options it has."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from gyebo.compare.recipe import parse
from gyebo.config import toml
from gyebo.config.errors import OptionError
from gyebo.config.finetune import LearningOptions
from gyebo.config.run import OptimOptions
from gyebo.jobs.finetuning.build import with_defaults
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.training import checkpoint
from gyebo.training.optimizer import load_state_tensors, make_optimizer, state_tensors
from tests.jobs.tuning_files import reviews, saved_model, tuning
from tests.training.test_resume import final_weights, same

ADAFACTOR = {"name": "adafactor"}


class Killed(BaseException):
    """What kill -9 looks like from inside."""


def updated(value, grads, *, lr, decay=0.0, d=1.0, eps2=1e-3, beta2_decay=-0.8):
    """Algorithms 4 and 5 of Shazeer & Stern 2018 in float64, with decoupled weight decay."""
    x, rows, columns, second = value.double(), 0.0, 0.0, 0.0
    for t, grad in enumerate(grads, 1):
        g = grad.double()
        beta = 1 - t**beta2_decay
        alpha = max(eps2, float(x.pow(2).mean().sqrt())) * min(lr, 1 / math.sqrt(t))
        if g.ndim == 2:
            rows = beta * rows + (1 - beta) * g.pow(2).sum(1)
            columns = beta * columns + (1 - beta) * g.pow(2).sum(0)
            second = torch.outer(rows, columns) / rows.sum()
        else:
            second = beta * second + (1 - beta) * g.pow(2)
        u = g / second.sqrt()
        u = u / max(1.0, float(u.pow(2).mean().sqrt()) / d)
        x = x * (1 - lr * decay) - alpha * u
    return x.float()


class Two(nn.Module):
    """A matrix above a vector, as layers."""

    def __init__(self):
        super().__init__()
        self.low, self.high = nn.Parameter(torch.randn(5, 7)), nn.Parameter(0.1 * torch.randn(6))

    def layer_groups(self):
        return [[self.low], [self.high]]


def test_its_update_is_that_of_the_paper():
    """Two rates, as of two layers; decay of the matrix only; the update is clipped at d; the rate is at most 1 / sqrt(t)."""
    torch.manual_seed(0)
    model = Two()
    options = OptimOptions(
        name="adafactor", weight_decay=0.2, layer_decay=0.5, clip_threshold=1.5, eps2=0.2, beta2_decay=-0.6, schedule="constant"
    )
    optimizer, start = make_optimizer(model, options), [p.detach().clone() for p in model.parameters()]
    grads = [[torch.randn_like(p) * (1 + 5 * (step == 2)) for p in model.parameters()] for step in range(5)]
    for step in grads:
        for p, grad in zip(model.parameters(), step):
            p.grad = grad
        for group in optimizer.param_groups:
            group["lr"] = 0.9 * group["scale"]
        optimizer.step()
    given = {"d": 1.5, "eps2": 0.2, "beta2_decay": -0.6}
    low = updated(start[0], [step[0] for step in grads], lr=0.45, decay=0.2, **given)
    high = updated(start[1], [step[1] for step in grads], lr=0.9, **given)
    torch.testing.assert_close(model.low.detach(), low, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(model.high.detach(), high, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "lstm"])
def test_a_killed_run_is_resumed_to_the_same_bits(run_options, tmp_path, family):
    options = run_options(9, family=family, optim=ADAFACTOR | {"layer_decay": 0.9}, train={"checkpoint_every": 4})
    result = pretrain(options, tmp_path / "whole")
    assert result.lr == 0.01 and result.valid["bits_per_byte"] < 4

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
    assert {name.partition(".")[0] for name in states[0]} == {"step", "row_var", "col_var", "variance"}


def test_it_fine_tunes_with_gradual_unfreezing_and_is_resumed(tokenizer_folder, tmp_path, monkeypatch):
    model, data = saved_model(tmp_path / "model", "gpt2", tokenizer_folder), reviews(tmp_path)
    options = tuning(model, data, epochs=2, optim=ADAFACTOR | {"unfreeze": 0.5, "layer_decay": 0.8, "lr": 0.03})
    first = finetune(options, tmp_path / "a")
    write = checkpoint.write

    def killed(*arguments, **rest):
        path = write(*arguments, **rest)
        if checkpoint.step_of(path) > first.steps // 3:
            raise Killed
        return path

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("gyebo.training.loop.checkpoint.write", killed)
        finetune(options, tmp_path / "b")
    again = finetune(options, tmp_path / "b", resume=True)
    assert again == dataclasses.replace(first, seconds=again.seconds, memory_bytes=again.memory_bytes)
    assert same(*(load_file(tmp_path / run / "model.safetensors") for run in "ab"))


def test_its_state_is_checked(run_options, tmp_path):
    trainer = set_up(run_options(optim=ADAFACTOR), tmp_path, None).trainer("float32", 10)
    trainer.advance()
    tensors = state_tensors(trainer.model, trainer.optimizer)
    fresh = set_up(run_options(optim=ADAFACTOR), tmp_path, None).trainer("float32", 10)
    name = "col_var.blocks.0.mlp.up.weight"
    with pytest.raises(ValueError, match=f"optimiser state {name} is missing or not of shape"):
        load_state_tensors(fresh.model, fresh.optimizer, tensors | {name: tensors[name].mT})
    adamw = set_up(run_options(), tmp_path, None).trainer("float32", 10)
    with pytest.raises(ValueError, match="optimiser state exp_avg"):
        load_state_tensors(adamw.model, adamw.optimizer, tensors)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            ADAFACTOR | {"betas": [0.9, 0.95]},
            "optim.betas is an option of AdamW and Muon: it has no effect with optim.name=adafactor",
        ),
        (ADAFACTOR | {"eps": 1e-8}, "optim.eps is an option of AdamW and Muon: it has no effect with optim.name=adafactor"),
        ({"momentum": 0.9}, "optim.momentum is an option of Muon: it has no effect with optim.name=adamw"),
        ({"clip_threshold": 2.0}, "optim.clip_threshold is an option of Adafactor: it has no effect with optim.name=adamw"),
        ({"name": "sgd"}, "optim.name must be 'adamw', 'adafactor' or 'muon', but is 'sgd' instead"),
        (ADAFACTOR | {"clip_threshold": 0.5}, "optim.clip_threshold must be greater than or equal to 1, but is 0.5 instead"),
        (ADAFACTOR | {"beta2_decay": 0.8}, "optim.beta2_decay must be less than or equal to 0, but is 0.8 instead"),
    ],
)
@pytest.mark.parametrize("kind", [OptimOptions, LearningOptions])
def test_what_has_no_effect_is_refused_in_one_line(values, said, kind):
    with pytest.raises(OptionError) as error:
        toml.check(kind, values, section="optim")
    assert str(error.value) == said


@pytest.mark.parametrize("kind", [OptimOptions, LearningOptions])
@pytest.mark.parametrize(
    "values",
    [{}, {"betas": (0.8, 0.9)}, ADAFACTOR, ADAFACTOR | {"eps2": 0.01, "weight_decay": 0.1}, {"name": "muon", "momentum": 0.9}],
)
def test_options_are_stored_and_read_again(kind, values):
    options = kind(**values)
    assert kind.model_validate(options.model_dump(mode="json")) == options
    assert kind.model_validate(toml.tomllib.loads(toml.dump(options.model_dump()))) == options
    assert options.model_dump(exclude_defaults=True) == values
    usual = {"adafactor": 0.0}.get(options.name, options.weight_decay)
    assert options.weight_decay == values.get("weight_decay", usual)


def test_a_candidate_may_have_another_optimiser(corpus):
    values = {
        "budget": {"steps": 5},
        "data": {"corpus": [str(corpus)]},
        "optim": {"final_lr": 0.2},
        "candidates": [{"family": "gpt2", "size": "tiny"}, {"family": "lstm", "size": "tiny", "optim": ADAFACTOR}],
    }
    recipe = parse(values)
    one, two = (recipe.options(candidate, 0, None).optim for candidate in recipe.candidates)
    assert (one.name, one.betas, one.final_lr) == ("adamw", (0.9, 0.95), 0.2)
    assert (two.name, two.betas, two.final_lr, two.weight_decay) == ("adafactor", None, 0.2, 0.0)
    with pytest.raises(ValueError, match=r"candidate lstm-tiny: .*betas is an option of AdamW and Muon"):
        parse(values | {"optim": {"betas": [0.8, 0.9]}})


def test_a_familys_rate_and_betas_are_those_of_adamw(tmp_path):
    options = tuning("gpt2:tiny", tmp_path / "a.csv", optim=ADAFACTOR)
    found = with_defaults(options, "ulmfit").optim
    assert found.betas is None and found.lr is None and found.schedule == "slanted-triangular" and found.unfreeze == 0.5
