"""A run from end to end: its budget, its directory, its record, and that it can be repeated."""

import json
import re
import shlex
import sys

import pytest
import torch
from safetensors.torch import load_file

import gyebo
from gyebo.config import toml
from gyebo.config.run import RunOptions
from gyebo.interchange import load
from gyebo.jobs import places, run_directory
from gyebo.jobs import pretrain as job
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.pretrain import command_of, pretrain
from gyebo.jobs.pretraining.build import set_up
from gyebo.tasks.metrics import bootstrap
from gyebo.training import checkpoint, log
from tests.training.test_resume import interrupted, losses

TEXT = "고양이 정말 나무 보았다. Élan"


def weights(out):
    return load_file(out / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def finished(corpus, tokenizer_folder, tmp_path_factory):
    """A finished run of 6 steps that wrote every checkpoint."""
    options = RunOptions.model_validate(
        {
            "family": "gpt2",
            "size": "tiny",
            "model": {"layers": 2, "width": 32, "heads": 2},
            "tokenizer": str(tokenizer_folder),
            "context": 32,
            "data": {"corpus": [str(corpus)], "valid_share": 0.05},
            "budget": {"steps": 6},
            "train": {"batch_tokens": 256, "precision": "float32", "device": "cpu", "checkpoint_every": 2, "keep": 9},
        }
    )
    out = tmp_path_factory.mktemp("runs") / "run"
    return options, out, pretrain(options, out)


# -- the directory ---------------------------------------------------------------------------------------------------------


def test_what_it_starts_from_is_not_replaced(run_options, tmp_path):
    out = tmp_path / "run"
    pretrain(run_options(2), out)
    with pytest.raises(ValueError, match="which the run starts from: choose another out"):
        pretrain(run_options(2, start_from=str(out)), out, overwrite=True)
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises((FileNotFoundError, ValueError)):
        pretrain(run_options(2, data={"corpus": [str(tmp_path / "typo.txt")]}), out, overwrite=True)
    assert (out / "model.safetensors").read_bytes() == before
    assert pretrain(run_options(3), out, overwrite=True).steps == 3 and not (tmp_path / ".run.replaced").exists()


def test_who_watches_a_run_sees_its_time_and_may_end_it(run_options, tmp_path):
    seen = []

    def watch(step, seconds):
        seen.append((step, seconds))
        if step == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        pretrain(run_options(6), tmp_path / "run", watch=watch)
    assert list(dict.fromkeys(step for step, _ in seen)) == [0, 1, 2, 3]
    assert seen[0][1] == 0 and [seconds for _, seconds in seen] == sorted(seconds for _, seconds in seen)
    assert pretrain(run_options(6), tmp_path / "run", resume=True).steps == 6


def test_a_run_directory_holds_what_is_promised(finished):
    _, out, _ = finished
    files = {p.name for p in out.iterdir()}
    assert files >= {
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "README.md",
        "run.toml", "metrics.jsonl", "checkpoints",
    }  # fmt: skip
    assert any(name.startswith("events.") for name in files)
    assert not [name for name in files if name.startswith(".")]
    names = sorted(p.name for p in (out / "checkpoints").iterdir())
    assert names == ["sources.json", "step-0", "step-2", "step-4", "step-6"]
    assert all(checkpoint.problem(p) is None for p in (out / "checkpoints").glob("step-*"))


def test_step_0_is_stored_before_any_training(run_options, finished, tmp_path):
    options, out, _ = finished
    fresh = set_up(options, tmp_path, None).make_model()
    stored = load_file(out / "checkpoints" / "step-0" / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in checkpoint.weights(fresh).items())


def test_keep_is_how_many_checkpoints_stay(run_options, tmp_path):
    pretrain(run_options(9, train={"checkpoint_every": 1, "keep": 3}), tmp_path / "run")
    assert sorted(p.name for p in (tmp_path / "run" / "checkpoints").glob("step-*")) == ["step-7", "step-8", "step-9"]


def test_transformers_opens_the_run_and_agrees(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, out, _ = finished
    theirs, their_tokenizer = AutoModelForCausalLM.from_pretrained(out).eval(), AutoTokenizer.from_pretrained(out)
    ours, tokenizer = gyebo.load(out)
    ids = tokenizer.encode(TEXT)
    assert their_tokenizer(TEXT)["input_ids"] == ids and their_tokenizer.decode(ids) == TEXT
    with torch.no_grad():
        batch = torch.tensor([ids])
        torch.testing.assert_close(ours(batch).logits, theirs(batch).logits, atol=1e-4, rtol=0)


def test_the_root_holds_the_last_weights_and_says_so(finished):
    _, out, _ = finished
    model, _ = gyebo.load(out)
    stored = load_file(out / "checkpoints" / "step-6" / "model.safetensors")
    assert all(torch.equal(tensor, stored[name]) for name, tensor in checkpoint.weights(model).items())
    assert toml.read(out / "run.toml")["state"] == {"finished": True, "weights": "last"}


def test_an_unfinished_root_holds_the_newest_weights(run_options, tmp_path, monkeypatch):
    out = tmp_path / "run"
    interrupted(run_options(8), out, 3, monkeypatch)
    stored = load_file(out / "checkpoints" / "step-3" / "model.safetensors")
    model, _ = gyebo.load(out)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in checkpoint.weights(model).items())
    assert toml.read(out / "run.toml")["state"] == {"finished": False, "weights": "newest"}


def test_metrics_hold_every_loss_exactly(finished, tmp_path):
    options, out, _ = finished
    trainer = set_up(options, tmp_path, None).trainer("float32", 6)
    records = [r for r in log.read(out) if "loss" in r]
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5, 6]
    for record in records:
        again = trainer.advance()
        assert all(record[name] == again[name] for name in ("loss", "lr", "grad_norm", "tokens"))


def test_what_a_run_counts_of_itself(finished, tmp_path):
    options, out, result = finished
    setup, model = set_up(options, tmp_path, None), load(out)[0]
    assert result.parameters == model.count_parameters()
    assert result.parameters_without_embeddings == model.count_parameters(embeddings=False) < result.parameters
    assert result.flops == run_directory.read(out)["plan"]["flops_per_step"] * result.steps
    read = sum(setup.rows.step(step, setup.batch_rows, options.seed)["input_ids"].shape[0] for step in range(result.steps))
    assert result.epochs == pytest.approx(read / len(setup.rows.plan))
    assert result.bytes == pytest.approx(result.epochs * setup.prepared.meta["train"]["bytes"], rel=0.1)
    assert result.tokens / result.seconds <= result.tokens_per_second < 1e9 and result.lr == 1e-3


def test_resuming_a_finished_run_returns_the_same_result(finished):
    options, out, result = finished
    assert pretrain(options, out, resume=True).as_dict() == result.as_dict()


def test_evaluate_gives_the_runs_own_last_figures(finished):
    _, out, result = finished
    last = [r for r in log.read(out) if "evaluation" in r][-1]
    assert last["step"] == 6
    found = evaluate(str(out), [])
    assert {name: found[name] for name in last["evaluation"]} == last["evaluation"]
    assert result.valid["bits_per_byte"] == found["bits_per_byte"]


def test_the_bits_of_each_held_out_document_are_stored(finished):
    _, out, result = finished
    bits, size = bootstrap.read(out).T
    assert bits.sum() / size.sum() == pytest.approx(result.valid["bits_per_byte"], rel=1e-9)
    assert len(size) == result.valid["documents"] > 1


def test_a_run_in_bfloat16_is_evaluated_as_it_was(run_options, tmp_path):
    result = pretrain(run_options(3, train={"precision": "bfloat16"}), tmp_path / "run")
    assert evaluate(str(tmp_path / "run"), [])["bits_per_byte"] == result.valid["bits_per_byte"]
    assert evaluate(str(tmp_path / "run"), [], precision="float32")["bits_per_byte"] != result.valid["bits_per_byte"]


# -- repeating -------------------------------------------------------------------------------------------------------------


def test_the_record_repeats_the_run(finished, tmp_path):
    options, out, _ = finished
    record = toml.read(out / "run.toml")
    stored = RunOptions.model_validate(record["options"])
    assert stored == places.published(options) and places.placed(stored, out, typed=False) == options
    assert record["options"]["seed"] == 0 and record["plan"]["precision"] == "float32"
    assert record["versions"]["torch"] == torch.__version__ and record["versions"]["gyebo"] == gyebo.__version__
    assert re.fullmatch("[0-9a-f]{64}", record["corpus"]["fingerprint"])
    pretrain(options, tmp_path / "again")
    assert losses(tmp_path / "again") == losses(out)
    assert same(weights(tmp_path / "again"), weights(out))


def test_the_card_is_written_and_its_command_gives_the_same_run(finished, tmp_path, monkeypatch):
    options, out, result = finished
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"{result.valid['bits_per_byte']:.4g}" in card and "library_name" in card
    command = re.search(r"```sh\n(gyebo pretrain .*)\n```", card)[1]
    assert parsed(command, monkeypatch) == (places.published(options), out.name)


def parsed(command, monkeypatch):
    """The options and the directory that a command line asks for."""
    from gyebo.cli.app import main

    asked = []
    monkeypatch.setattr(job, "pretrain", lambda run, out, **rest: asked.extend([run, str(out)]) or {})
    monkeypatch.setattr(sys, "argv", shlex.split(command))
    main()
    return tuple(asked)


SETTINGS = {
    "tokenizer": "to k/한",
    "picture_tokenizer": "runs/v q",
    "seed": 7,
    "context": 48,
    "objective": {"rate": 0.2, "format": "doc-sentences"},
    "model": {"layers": 3, "attention_dropout": 1e-05, "activation": "relu", "scale_attention": False},
    "data": {
        "corpus": ["a b.txt", "c*.jsonl"], "documents": "blank", "text_field": "본문😀", "bad_bytes": "replace",
        "valid": "v 1.txt", "across_documents": True, "order": "shuffled",
        "plan_seed": 3, "without": ["test set.jsonl"],
        "picture_size": 48, "picture_fit": "pad", "picture_field": "그림", "crop_size": 8,
    },
    "optim": {
        "lr": 1e-05, "betas": [0.8, 0.99], "eps": 1e-7, "weight_decay": 0.0, "schedule": "inverse-root", "warmup": 100.0,
        "final_lr": 0.0, "layer_decay": 0.9, "clip": 0.0,
    },
    "train": {
        "batch_tokens": 1234567, "micro_batch_tokens": 4096, "device": "cpu", "precision": "bfloat16", "compile": True,
        "checkpoint_every": 11, "keep": 5, "evaluate_every": 13, "evaluate_tokens": 999,
        "evaluate_context": 40, "evaluate_memory": 7, "dropout_share": 0.25,
    },
}  # fmt: skip


@pytest.mark.parametrize("budget", [{"steps": 1234567}, {"tokens": 123456789.0}, {"flops": 1.5e18}, {"minutes": 0.1}])
def test_a_command_line_holds_every_option(budget, monkeypatch):
    options = RunOptions.model_validate({"family": "gpt2", "size": "small", "budget": budget, **SETTINGS})
    unset = [name for name, value in options.model_dump(exclude_defaults=True).items() if value is None]
    assert not unset
    assert parsed(command_of(options, "runs/x y"), monkeypatch) == (options, "runs/x y")


@pytest.mark.parametrize(
    "changes",
    [
        {"vocab_size": 512},
        {"start_from": "runs/first"},
        {"data": {"corpus": ["x.txt"], "valid_last": 0.1}},
        {"data": {"corpus": ["x.txt"], "valid_share": 0.123}},
        {"optim": {"name": "adafactor", "beta2_decay": -0.7, "eps2": 0.002, "clip_threshold": 2.0}},
        {"optim": {"name": "muon", "momentum": 0.9, "betas": [0.8, 0.97]}},
    ],
)
def test_a_command_line_holds_options_that_exclude_others(changes, monkeypatch):
    values = {"family": "gpt", "budget": {"steps": 5}, "data": {"corpus": ["x.txt"]}} | changes
    options = RunOptions.model_validate(values)
    assert parsed(command_of(options, "out"), monkeypatch) == (options, "out")


def test_the_settings_above_leave_no_option_out():
    options = RunOptions.model_validate({"family": "gpt2", "size": "small", "budget": {"steps": 1}, **SETTINGS})
    default = RunOptions.model_validate({"family": "", "budget": {"steps": 2}, "data": {"corpus": ["-"]}})
    others = {
        "vocab_size",
        "start_from",
        "recipe",  # which GPT-2 has not: pretraining/test_recipe.py
        "teacher",  # another command: gyebo distill
        "data.encoding",
        "data.valid_last",
        "data.valid_share",
        "budget.tokens",
        "budget.flops",
        "budget.minutes",
        "budget.epochs",
        "optim.name",  # with the options of the other optimiser
        "optim.beta2_decay",
        "optim.eps2",
        "optim.clip_threshold",
        "optim.momentum",
    }
    a, b = toml.flat(options.model_dump()), toml.flat(default.model_dump())
    assert {name for name in toml.described(RunOptions) if a.get(name) == b.get(name)} - {"model", "objective"} == others


# -- --from and --across-documents -----------------------------------------------------------------------------------------


def started_from(run_options, first, **changes):
    values = run_options(2, optim={"lr": 1e-4}, train={"keep": 9}).model_dump()
    values |= {"start_from": str(first), "model": {}, "tokenizer": None}
    return RunOptions.model_validate(values | changes)


def test_from_starts_with_those_weights_and_that_tokenizer(finished, run_options, tmp_path):
    _, first, _ = finished
    out = tmp_path / "run"
    options = started_from(run_options, first)
    pretrain(options, out)
    stored = load_file(out / "checkpoints" / "step-0" / "model.safetensors")
    last = load_file(first / "checkpoints" / "step-6" / "model.safetensors")
    assert same(stored, last)
    assert json.loads((out / "tokenizer.json").read_text()) == json.loads((first / "tokenizer.json").read_text())
    # The first loss is that of those weights on the first batch, dropout drawn as for step 1.
    setup = set_up(options, tmp_path / "other", None)
    trainer = setup.trainer("float32", 2)
    assert losses(out)[0][1] == trainer.advance()["loss"]
    assert losses(out)[0][1] < losses(first)[0][1] - 0.1
    assert f"--from {first.name}" in (out / "README.md").read_text(encoding="utf-8")


def test_from_refuses_what_contradicts_it(finished, run_options, tokenizer_folder, tmp_path):
    _, first, _ = finished
    for changes, message in [
        ({"family": "gpt"}, "holds a gpt2 model, not gpt"),
        ({"model": {"layers": 1}}, r"model.layers contradicts start_from"),
        ({"context": 64}, "context=64 is longer than the 32 positions"),
    ]:
        with pytest.raises(ValueError, match=message):
            pretrain(started_from(run_options, first, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_from_refuses_a_tokenizer_with_more_ids_than_the_model(finished, run_options, corpus, tmp_path):
    from gyebo.text.training import train_tokenizer

    train_tokenizer(corpus.read_text(encoding="utf-8").splitlines(), "bpe", 420).save(tmp_path / "larger")
    with pytest.raises(ValueError, match=r"the tokenizer has 4\d\d ids, but .* has 400: use its own"):
        pretrain(started_from(run_options, finished[1], tokenizer=str(tmp_path / "larger")), tmp_path / "run")


def test_across_documents_lets_attention_cross(run_options, tmp_path):
    apart = set_up(run_options(), tmp_path, None).trainer("float32", 9)
    crossed = set_up(run_options(data={"across_documents": True}), tmp_path, None).trainer("float32", 9)
    batch, one = next(apart.micro_batches()), next(crossed.micro_batches())
    assert int(batch["document_ids"].max()) > 1 and int(one["document_ids"].max()) == 1
    assert torch.equal(batch["input_ids"], one["input_ids"]) and torch.equal(batch["labels"], one["labels"])
    assert apart.advance()["loss"] != crossed.advance()["loss"]


# -- starts that fail, directories that are not ours -----------------------------------------------------------------------


def test_a_start_that_fails_leaves_nothing(run_options, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(ValueError, match="less than one batch"):
        pretrain(run_options(train={"batch_tokens": 10**9}, tokenizer=None, vocab_size=300), out)
    assert not out.exists()


def test_a_start_that_was_killed_is_begun_anew(run_options, tmp_path):
    out = tmp_path / "run"
    (out / "tokenizer").mkdir(parents=True)
    (out / run_directory.STARTING).touch()
    (out / "tokenizer" / "tokenizer.json").write_text("{")
    pretrain(run_options(1), out)
    assert (out / "run.toml").exists() and not (out / "tokenizer").exists()


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_a_directory_of_others_is_never_touched(run_options, tmp_path, how):
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "README.md").write_text("years of work")
    with pytest.raises(ValueError, match="not written by gyebo"):
        pretrain(run_options(1), out, **how)
    assert [p.name for p in out.iterdir()] == ["README.md"] and (out / "README.md").read_text() == "years of work"


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("layers", 2.5, "2.5"),
        ("width", "abc", "'abc'"),
        ("inner", "x", "'x'"),
        ("scale_attention", 1, "1"),
        ("heads", True, "True"),
    ],
)
def test_model_fields_of_another_type_are_refused(run_options, tmp_path, field, value, found):
    with pytest.raises(ValueError, match=rf"model.{field} must be .*, but is {found} instead"):
        pretrain(run_options(1, model={field: value}), tmp_path / "run")
