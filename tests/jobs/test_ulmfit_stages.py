"""ULMFiT's three stages as commands: pretrained, adapted to the domain, fine-tuned; and what of them survives a kill."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import gyebo
from gyebo.config import toml
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.build import set_up, with_defaults
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.model_building import grow_vocabulary
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up as set_up_run
from gyebo.jobs.verify import verify
from gyebo.models.family import FAMILIES
from gyebo.training import checkpoint, log
from gyebo.training.loop import Stopped
from gyebo.training.optimizer import make_optimizer, unfrozen
from gyebo.training.trainer import Trainer
from tests.conftest import sentences as documents
from tests.jobs.tuning_files import choices, json_lines, pairs, questions, reviews, table, tagged, tuning
from tests.refusals import option_error

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return reviews(tmp_path_factory.mktemp("reviews"))


@pytest.fixture(scope="module")
def stages(corpus, tokenizer_folder, tmp_path_factory):
    """(general, domain): a pretrained run, and one that goes on from it on other text."""
    folder = tmp_path_factory.mktemp("stages")
    (folder / "domain.txt").write_text("\n".join(documents(300, seed=7)) + "\n", encoding="utf-8")

    def run(out, text, **more):
        values = {
            "family": "ulmfit",
            "data": {"corpus": [str(text)], "valid_share": 0.05},
            "optim": {"lr": 1e-2},
            "budget": {"steps": 40},
            "train": {"batch_tokens": 512, "precision": "float32", "device": "cpu"},
        }
        pretrain(gyebo.RunOptions.model_validate({**values, **more}), folder / out)
        return folder / out

    shape = {"size": "tiny", "model": {"width": 48}, "tokenizer": str(tokenizer_folder), "context": 32}
    general = run("a", corpus, **shape)
    slow = {"lr": 4e-3, "schedule": "slanted-triangular", "final_lr": 1 / 32, "layer_decay": 1 / 2.6, "betas": [0.7, 0.99]}
    return general, run("b", folder / "domain.txt", start_from=str(general), optim=slow)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def root(out):
    return load_file(out / "model.safetensors")


# -- learning the language ---


def test_a_window_of_training_is_shorter_than_a_text(stages):
    general, domain = stages
    model, _ = gyebo.load(general)
    assert (model.config.window, model.config.context) == (32, 256)  # --context is the window; a text may be longer
    carried = checkpoint.read_carried(checkpoint.steps(general / "checkpoints")[0])["state"]
    assert carried.shape == (16, 6, 96) and carried.abs().sum() > 0
    for run in (general, domain):
        assert verify(run, QUIET)
        result = toml.read(run / "run.toml")["result"]
        assert result["valid"]["bits_per_byte"] == pytest.approx(evaluate(str(run))["bits_per_byte"], rel=1e-5)
        curve = [record for record in log.read(run) if "loss" in record]
        assert {"loss_lm", "loss_ar", "loss_tar"} <= curve[-1].keys() and curve[-1]["loss_lm"] < curve[0]["loss_lm"] - 0.1


def test_the_curve_is_that_of_the_next_token_alone(run_options, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("gyebo.jobs.pretrain.training_curve", lambda path, steps, losses, *rest, **more: drawn.append(losses))
    for family in ("ulmfit", "lstm"):
        pretrain(run_options(3, family=family), tmp_path / family)
    of, plain = ([record for record in log.read(tmp_path / family) if "loss" in record] for family in ("ulmfit", "lstm"))
    assert drawn == [[record["loss_lm"] for record in of], [record["loss"] for record in plain]]


def test_adapting_starts_from_the_general_model(stages):
    general, domain = stages
    start = load_file(domain / "checkpoints" / "step-36" / "model.safetensors")  # 40 steps, a tenth each
    assert not same(start, load_file(general / "checkpoints" / "step-40" / "model.safetensors"))
    first = next(record for record in log.read(domain) if "loss" in record)
    last = [record for record in log.read(general) if "loss" in record][-1]
    assert abs(first["loss_lm"] - last["loss_lm"]) < 1.0
    card = (domain / "README.md").read_text(encoding="utf-8")
    assert f"--from {general.name}" in card and "slanted-triangular" in card


# -- learning a task ---


def test_what_is_not_asked_for_is_as_published():
    """Howard & Ruder 2018, 3.2 and 3.3: what a user asks for stays, and no other family is touched."""
    options = with_defaults(tuning("x", optim={"lr": 0.5}, dropout=0.2), "ulmfit")
    assert (options.optim.lr, options.dropout, options.optim.schedule) == (0.5, 0.2, "slanted-triangular")
    assert (options.optim.layer_decay, options.optim.final_lr) == (1 / 2.6, 1 / 32) and options.optim.betas == (0.7, 0.99)
    assert with_defaults(options, "ulmfit") == options
    assert with_defaults(tuning("x"), "ulmfit").optim.lr == 0.01
    for family in [None, *FAMILIES]:
        if family != "ulmfit":
            assert with_defaults(tuning("x"), family) == tuning("x")


def test_it_learns_resumes_and_is_replayed(stages, data, tmp_path, monkeypatch):
    """In one piece, and killed before and after groups are unfrozen: the same bits, running means among them."""
    _, domain = stages
    options = tuning(domain, data, epochs=24, optim={"layer_decay": 0.9})  # what 80 steps have taught the body is not enough
    whole = finetune(options, tmp_path / "a")
    assert whole.test["accuracy"] > 0.85
    record = toml.read(tmp_path / "a" / "run.toml")
    assert record["options"]["optim"]["unfreeze"] == 0.5 and record["options"]["optim"]["schedule"] == "slanted-triangular"
    advance = Trainer.advance
    for stop in (3, whole.steps // 2 + 2):

        def stopping(self, stop=stop):
            found = advance(self)
            if self.step == stop:
                os.kill(os.getpid(), signal.SIGTERM)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "advance", stopping)
            with pytest.raises(Stopped):
                finetune(options, tmp_path / "b", resume=(tmp_path / "b").exists())
    again = finetune(options, tmp_path / "b", resume=True)
    assert same(root(tmp_path / "a"), root(tmp_path / "b")) and again.test == whole.test
    last = checkpoint.steps(tmp_path / "a" / "checkpoints")[0]
    stored = load_file(last / "model.safetensors")
    assert same(stored, load_file(tmp_path / "b" / "checkpoints" / last.name / "model.safetensors"))
    assert (stored["head.norm.running_var"] != 1).all() and stored["head.norm.running_mean"].count_nonzero() > 0
    assert verify(tmp_path / "a", QUIET)
    stored["head.norm.running_mean"] += 1e-3  # a replay that does not notice is none
    damage(last, stored)
    assert not verify(tmp_path / "a", QUIET)


def damage(path, tensors):
    """Other weights in a checkpoint, with digests that fit them."""
    import json

    from safetensors.torch import save_file

    save_file(tensors, path / "model.safetensors")
    manifest = json.loads((path / "manifest.json").read_text())
    size, digest = (path / "model.safetensors").stat().st_size, checkpoint.digest(path / "model.safetensors")
    manifest["files"]["model.safetensors"] = {"size": size, "sha256": digest}
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_groups_learn_when_their_turn_comes(stages, data):
    """Step by step: what is frozen keeps every bit, gets no gradient and no state of the optimiser; the rest moves."""
    _, domain = stages
    setup = set_up(with_defaults(tuning(domain, data, epochs=2, evaluations=1), "ulmfit"))
    trainer = setup.trainer(setup.plan("float32"))
    groups = [group for group in trainer.model.layer_groups() if group]
    assert len(groups) == 5
    moved = []
    for step in range(1, trainer.steps + 1):
        before = [[p.detach().clone() for p in group] for group in groups]
        trainer.advance()
        changed = [any(not torch.equal(p, q) for p, q in zip(group, old)) for group, old in zip(groups, before)]
        count = unfrozen(5, step, trainer.steps, 0.5)
        assert changed == [False] * (5 - count) + [True] * count, step
        for group in groups[: 5 - count]:
            assert all(p.grad is None and p not in trainer.optimizer.state for p in group)
        moved.append(count)
    assert moved[0] == 1 and moved[-1] == 5 and sorted(set(moved)) == [1, 2, 3, 4, 5]


def test_rates_fall_from_group_to_group(stages, data):
    _, domain = stages
    setup = set_up(with_defaults(tuning(domain, data), "ulmfit"))
    model = setup.make_model()
    optimizer = make_optimizer(model, setup.options.optim)
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    order = ("body.token_embedding", "body.blocks.0", "body.blocks.1", "body.blocks.2", "head")
    for name, parameter in model.named_parameters():
        place = next((n for n, start in enumerate(order) if name.startswith(f"{start}.")), 0)
        assert scale[id(parameter)] == pytest.approx(2.6 ** (place - 4)), name


@pytest.mark.parametrize("kind", ["regression", "pair", "tagging", "spans", "choice"])
def test_every_kind_of_task_is_learned(stages, tmp_path, kind):
    _, domain = stages
    files = {
        "regression": lambda: table(tmp_path / "s.csv", ("text", "verb", "same", "score"), pairs(60)),
        "pair": lambda: table(tmp_path / "p.csv", ("text", "verb", "same", "score"), pairs(60)),
        "tagging": lambda: json_lines(tmp_path / "t.jsonl", tagged(60)),
        "spans": lambda: json_lines(tmp_path / "q.jsonl", questions(60)),
        "choice": lambda: json_lines(tmp_path / "c.jsonl", choices(60)),
    }
    columns = {
        "regression": {"text": "text", "pair": "verb", "label": "score"},
        "pair": {"text": "text", "pair": "verb", "label": "same"},
    }
    options = tuning(domain, files[kind](), kind, task=columns.get(kind, {}))
    result = finetune(options, tmp_path / "run")
    assert all(value == value for value in result.test.values())  # no NaN
    model = gyebo.load(tmp_path / "run")[0]
    assert (type(model.head).__name__ == "ConcatHead") == (kind in ("regression", "pair"))


@torch.no_grad()
def test_a_vocabulary_grows_with_its_output_layer(stages, tmp_path):
    _, domain = stages
    (before, _), (grown, tokenizer) = gyebo.load(domain), gyebo.load(domain)
    grow_vocabulary(grown, 404)
    gyebo.save(grown, tokenizer, tmp_path / "grown")
    again, ids = gyebo.load(tmp_path / "grown")[0], torch.randint(400, (2, 9))
    logits = again(ids).logits
    assert again.config.vocab_size == logits.shape[2] == 404 and again.lm_head.bias[400:].count_nonzero() == 0
    torch.testing.assert_close(logits[..., :400], before(ids).logits)


def test_windows_bound_the_gradient_and_not_the_text(stages, data):
    _, domain = stages
    setup = set_up(tuning(domain, data, gradient_windows=1, max_length=60))
    assert setup.make_model().head.windows == 1 and set_up(tuning(domain, data)).make_model().head.windows is None


# -- what is refused ---


def test_parts_of_a_batch_are_refused_for_norms_over_it(stages, data, tmp_path):
    _, domain = stages
    with option_error("batch", "micro_batch"):
        finetune(tuning(domain, data, micro_batch=7), tmp_path / "no")
    with option_error("batch"):
        finetune(tuning(domain, data, batch=1), tmp_path / "no")
    assert not (tmp_path / "no").exists()
    assert set_up(tuning(domain, data, micro_batch=16)).plan("float32")["micro_batch"] == 16
    tags = json_lines(tmp_path / "tags.jsonl", tagged(40))
    assert set_up(tuning(domain, tags, "tagging", micro_batch=4)).plan("float32")["micro_batch"] == 4


def test_windows_are_refused_where_nothing_is_read_in_any(stages, data, tmp_path, tokenizer_folder):
    _, domain = stages
    with option_error("gradient_windows"):
        set_up(tuning("lstm:tiny", data, gradient_windows=2, tokenizer=str(tokenizer_folder)))
    tags = json_lines(tmp_path / "tags.jsonl", tagged(40))
    with option_error("gradient_windows"):
        set_up(tuning(domain, tags, "tagging", gradient_windows=2))


def test_held_out_text_is_read_whole_whatever_the_window(run_options, tmp_path):
    """And a step takes all its rows at once, also where the batch is no multiple of the window."""
    setups = [
        set_up_run(run_options(family="ulmfit", context=window, train={"batch_tokens": 512}), tmp_path / str(window), None)
        for window in (24, 36, 64)
    ]
    assert len({len(setup.valid.plan) for setup in setups}) == 1 and max(setups[0].valid.step(0, 4, 0)["input_ids"].shape) > 36
    for setup, window in zip(setups, (24, 36, 64)):
        assert setup.micro_rows == setup.batch_rows == round(512 / window)


def test_an_evaluation_has_the_context_that_it_is_given_and_repeats_it(run_options, tmp_path):
    """As with `evaluate_context` in a comparison, where no family may see more than the others."""
    figures = {}
    for context in (24, None):
        options = run_options(4, family="ulmfit", context=24, train={"batch_tokens": 96, "evaluate_context": context})
        result = pretrain(options, tmp_path / str(context))
        figures[result.evaluate_context] = result.valid["bits_per_byte"]
        again = evaluate(str(tmp_path / str(context)))["bits_per_byte"]
        assert again == pytest.approx(result.valid["bits_per_byte"], rel=1e-6)
        whole = evaluate(str(tmp_path / str(context)), context=256)["bits_per_byte"]
        assert (whole == pytest.approx(again, rel=1e-9)) == (context is None)
    assert set(figures) == {24, 256} and figures[24] != figures[256]
    with option_error("train.evaluate_context"):
        pretrain(run_options(4, family="ulmfit", train={"evaluate_context": 257}), tmp_path / "longer")


def test_a_window_longer_than_a_text_is_refused(run_options, tmp_path):
    with option_error("context"):
        pretrain(run_options(family="ulmfit", context=300), tmp_path / "run")
    with pytest.raises(ValueError, match="unknown option 'model.window'"):
        pretrain(run_options(family="ulmfit", model={"window": 8}), tmp_path / "run")
