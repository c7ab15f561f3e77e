"""One step: accumulation, schedules, decay, seeds."""

import math

import pytest
import torch

from gyebo.config.run import OptimOptions
from gyebo.jobs.pretraining.build import set_up
from gyebo.training import checkpoint
from gyebo.training.optimizer import default_lr, load_state_tensors, make_optimizer, state_tensors, unfrozen
from gyebo.training.schedule import learning_rate
from gyebo.training.trainer import NotFinite

STILL = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}


def trained(options, tmp_path, steps, micro_rows=None):
    setup = set_up(options, tmp_path, None)
    if micro_rows:
        setup.micro_rows = micro_rows
    trainer = setup.trainer("float32", 100)
    losses = [trainer.advance()["loss"] for _ in range(steps)]
    return trainer, losses


@pytest.mark.parametrize(("family", "micro_rows"), [("gpt2", 1), ("gpt2", 3), ("gpt2", 4), ("bert", 3), ("roberta", 3)])
def test_accumulation_equals_one_large_batch(run_options, tmp_path, family, micro_rows):
    options = run_options(family=family, model=STILL)
    whole, losses = trained(options, tmp_path, 3)
    parts, again = trained(options, tmp_path, 3, micro_rows)
    assert losses == pytest.approx(again, abs=1e-5)
    # One step later the gradients themselves, which Adam's division would hide.
    for trainer in (whole, parts):
        trainer.optimizer.step = lambda: None
        trainer.advance()
    for (name, p), (_, q) in zip(whole.model.named_parameters(), parts.model.named_parameters()):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-5, rtol=1e-4, msg=name)


def test_the_same_seed_gives_the_same_weights_with_dropout(run_options, tmp_path):
    a, losses = trained(run_options(), tmp_path, 3)
    b, again = trained(run_options(), tmp_path, 3)
    c, other = trained(run_options(seed=1), tmp_path, 3)
    assert losses == again != other
    assert all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters()))
    assert not torch.equal(a.model.token_embedding.weight, c.model.token_embedding.weight)


def test_training_does_not_depend_on_the_global_generator(run_options, tmp_path):
    setup = set_up(run_options(), tmp_path, None)
    losses = []
    for disturbance in (0, 1):
        trainer = setup.trainer("float32", 100)
        for _ in range(2):
            torch.manual_seed(disturbance)
            torch.rand(disturbance * 7)
            losses.append(trainer.advance()["loss"])
    assert losses[:2] == losses[2:]


def test_decay_only_on_matrices(run_options, tmp_path):
    model = set_up(run_options(), tmp_path, None).make_model()
    optimizer = make_optimizer(model, OptimOptions(weight_decay=0.3))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    for name, p in model.named_parameters():
        assert (id(p) in decayed) == (p.ndim == 2), name
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(list(model.parameters()))


def test_clipping_bounds_the_gradient_and_reports_the_norm_before(run_options, tmp_path):
    setup = set_up(run_options(optim={"clip": 0.01}), tmp_path, None)
    trainer = setup.trainer("float32", 10)
    norm = trainer.advance()["grad_norm"]
    left = math.sqrt(sum(float(p.grad.pow(2).sum()) for p in trainer.model.parameters()))
    assert norm > 0.1 and left == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "inverse-root"])
def test_schedules(schedule):
    def rate(step):
        return learning_rate(step, peak=2.0, steps=100, warmup=10, schedule=schedule, final=0.1)

    assert [rate(s) for s in (1, 5, 10)] == pytest.approx([0.2, 1.0, 2.0])
    later = [rate(s) for s in range(10, 101)]
    assert all(a >= b for a, b in zip(later, later[1:]))
    ends = {"cosine": 0.2, "linear": 0.2, "constant": 2.0, "inverse-root": 2 * math.sqrt(10 / 100)}
    middle = {"cosine": 1.1, "linear": 1.1, "constant": 2.0, "inverse-root": 2 * math.sqrt(10 / 55)}
    assert rate(100) == pytest.approx(ends[schedule]) and rate(55) == pytest.approx(middle[schedule])


def test_wsd_is_that_of_the_paper():
    """Hägele et al. 2024, section 3: warm-up, constant, then 1 - sqrt((n - (N - N_decay)) / N_decay), here to a tenth."""
    for steps, warm in ((110, 10), (60, 10), (100, 0)):
        decay = 0.2 * (steps - warm)
        for n in range(1, steps + 1):
            share = min(1.0, n / warm) if warm else 1.0
            if n > steps - decay:
                share = 0.1 + 0.9 * (1 - math.sqrt((n - (steps - decay)) / decay))
            found = learning_rate(n, peak=3e-3, steps=steps, warmup=warm, schedule="wsd", final=0.1)
            assert found == pytest.approx(3e-3 * share, rel=1e-9), (steps, n)


@pytest.mark.parametrize(("steps", "cut_frac", "ratio"), [(100, 0.1, 32), (250, 0.04, 8), (40, 0.25, 100), (10, 0.1, 32)])
def test_the_slanted_triangle_is_that_of_the_paper(steps, cut_frac, ratio):
    """Howard & Ruder 2018, equation 3, written out."""
    found, expected = [], []
    cut = math.floor(steps * cut_frac)
    for t in range(1, steps + 1):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        expected.append(0.01 * (1 + p * (ratio - 1)) / ratio)
        given = {"peak": 0.01, "steps": steps, "warmup": cut_frac, "schedule": "slanted-triangular", "final": 1 / ratio}
        found.append(learning_rate(t, **given))
    assert found == pytest.approx(expected, rel=1e-12)
    assert max(found) == found[cut - 1] == pytest.approx(0.01) and found[-1] == pytest.approx(0.01 / ratio)


@pytest.mark.parametrize(("groups", "steps", "share"), [(5, 40, 0.5), (3, 10, 0.99), (1, 4, 0.5), (4, 100, 0.0), (6, 3, 0.9)])
def test_groups_are_unfrozen_one_after_the_other_from_the_head(groups, steps, share):
    counts = [unfrozen(groups, step, steps, share) for step in range(1, steps + 1)]
    assert counts == sorted(counts) and counts[0] >= 1 and counts[-1] == groups
    for number in range(groups):
        before = sum(count <= number for count in counts)  # steps without it
        assert 0 <= share * steps * number / max(1, groups - 1) - before < 1
    assert counts[math.ceil(share * steps) :] == [groups] * (steps - math.ceil(share * steps))


def test_a_state_that_is_only_there_in_part_is_refused(run_options, tmp_path):
    """A parameter that was never updated has none; of one that was, everything must be there."""
    trainer, _ = trained(run_options(), tmp_path, 2)
    tensors = state_tensors(trainer.model, trainer.optimizer)
    name = "blocks.0.mlp.up.bias"
    fresh = set_up(run_options(), tmp_path, None).trainer("float32", 10)
    load_state_tensors(fresh.model, fresh.optimizer, {n: t for n, t in tensors.items() if not n.endswith(name)})
    assert fresh.optimizer.state.keys() == {p for n, p in fresh.model.named_parameters() if n != name}
    with pytest.raises(ValueError, match=f"optimiser state exp_avg_sq.{name} is missing"):
        load_state_tensors(fresh.model, fresh.optimizer, {n: t for n, t in tensors.items() if n != f"exp_avg_sq.{name}"})
    with pytest.raises(ValueError, match="unknown entries: exp_avg.nowhere"):
        load_state_tensors(fresh.model, fresh.optimizer, {**tensors, "exp_avg.nowhere": torch.zeros(1)})


def test_warmup_may_be_a_share():
    assert learning_rate(10, peak=1.0, steps=200, warmup=0.1, schedule="linear", final=0.0) == pytest.approx(0.5)
    assert learning_rate(1, peak=1.0, steps=200, warmup=0.0, schedule="constant", final=0.0) == 1.0


def test_a_loss_that_is_not_finite_changes_nothing(run_options, tmp_path):
    trainer = set_up(run_options(), tmp_path, None).trainer("float32", 10)
    trainer.advance()
    with torch.no_grad():
        trainer.model.blocks[0].mlp.up.bias[0] = float("nan")
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    with pytest.raises(NotFinite, match="step 2: loss nan"):
        trainer.advance()
    assert trainer.step == 1
    for name, p in trainer.model.named_parameters():
        torch.testing.assert_close(p, before[name], equal_nan=True, rtol=0, atol=0)


def test_a_gradient_that_is_not_finite_changes_nothing(run_options, tmp_path):
    trainer = set_up(run_options(), tmp_path, None).trainer("float32", 10)
    weight = trainer.model.blocks[0].mlp.up.weight
    weight.register_hook(lambda gradient: gradient * float("inf"))
    before = weight.detach().clone()
    with pytest.raises(NotFinite, match=r"step 1: loss \d.*norm of the gradient (nan|inf)"):
        trainer.advance()
    assert trainer.step == 0 and torch.equal(weight, before)


def test_a_checkpoint_is_read_strictly(run_options, tmp_path):
    trainer, _ = trained(run_options(), tmp_path, 2)
    path = checkpoint.write(tmp_path / "c", trainer.model, trainer.optimizer, trainer.state(), made={}, keep=2)
    other = set_up(run_options(model={"layers": 1}), tmp_path, None).trainer("float32", 10)
    with pytest.raises(ValueError, match="not a checkpoint of this model"):
        checkpoint.read(path, other.model, other.optimizer)
    (path / "state.json").write_text('{"step": 2, "tokens": 1}')
    fresh = set_up(run_options(), tmp_path, None).trainer("float32", 10)
    with pytest.raises(ValueError, match="has the fields"):
        checkpoint.read(path, fresh.model, fresh.optimizer)


def test_bf16_learns_and_keeps_float32_weights(run_options, tmp_path):
    setup = set_up(run_options(), tmp_path, None)
    trainer = setup.trainer("bfloat16", 30)
    losses = [trainer.advance()["loss"] for _ in range(30)]
    assert losses[-1] < losses[0] - 0.5
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())


def test_every_micro_batch_of_every_step_draws_its_own_dropout(run_options, tmp_path):
    setup = set_up(run_options(), tmp_path, None)
    setup.micro_rows = 2
    trainer = setup.trainer("float32", 100)
    seeds = []
    trainer.terms.register_forward_pre_hook(lambda *_: seeds.append(torch.initial_seed()))
    for _ in range(2):
        trainer.advance()
    assert len(seeds) >= 6 and len(set(seeds)) == len(seeds)


def test_a_step_has_the_rate_and_the_momenta_that_were_asked_for(run_options, tmp_path):
    asked = {"lr": 0.01, "warmup": 4, "schedule": "linear", "final_lr": 0.3, "betas": (0.5, 0.6), "eps": 1e-4}
    trainer = set_up(run_options(10, optim=asked), tmp_path, None).trainer("float32", 10)
    rates = [trainer.advance()["lr"] for _ in range(10)]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01]) and rates[-1] == pytest.approx(0.003)
    for group in trainer.optimizer.param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (pytest.approx(0.003), (0.5, 0.6), 1e-4)


@pytest.mark.parametrize(("width", "rate"), [(64, 1e-3), (256, 1e-3), (512, 7.1e-4), (1024, 5e-4)])
def test_wide_models_learn_at_a_lower_rate(width, rate):
    """docs/training.md: multiplied by sqrt(256 / width), rounded to two digits."""
    assert default_lr(width) == rate
