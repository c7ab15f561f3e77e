"""A run is resumed as the run that it is: what differs is refused by name, budget and rate may change and are noted."""

import hashlib
import io
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from gyebo.config.errors import OptionError
from gyebo.config.finetune import FinetuneOptions
from gyebo.config.run import RunOptions
from gyebo.jobs import identity, run_directory
from gyebo.jobs.finetune import finetune_seeds
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import student_family
from gyebo.text.training import train_tokenizer
from gyebo.training import checkpoint, log
from tests.jobs.test_finetune import interrupted as interrupted_tuning
from tests.jobs.tuning_files import reviews, saved_model, tuning
from tests.refusals import option_error
from tests.training.test_resume import interrupted, losses


@pytest.fixture(scope="module")
def other_tokenizer(corpus, tmp_path_factory):
    """Of the same size as the usual one, from other text."""
    folder = tmp_path_factory.mktemp("other")
    lines = corpus.read_text(encoding="utf-8").splitlines()
    train_tokenizer([line[::-1] for line in lines], "bpe", 400).save(folder)
    return folder


def scaled(model, factor=1.5):
    """The directory of a model gets other weights of the same shapes."""
    tensors = load_file(model / "model.safetensors")
    save_file({name: tensor * factor for name, tensor in tensors.items()}, model / "model.safetensors", {"format": "pt"})


# -- the parts and their hash ----------------------------------------------------------------------------------------------


def test_the_hash_is_stored_in_the_record_and_in_every_manifest(run_options, tmp_path):
    pretrain(run_options(4, train={"checkpoint_every": 2}), tmp_path / "run")
    stored = run_directory.read(tmp_path / "run")["identity"]
    assert stored.keys() == {"hash", "options", "seed", "corpus", "tokenizer"} and len(stored["hash"]) == 64
    for path in checkpoint.steps(tmp_path / "run" / "checkpoints"):
        assert json.loads((path / "manifest.json").read_text())["identity"] == stored


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"steps": 9}, True),
        ({"optim": {"lr": 0.5}}, True),
        ({"train": {"checkpoint_every": 3, "device": "auto", "keep": 7}}, True),
        ({"data": {"corpus": ["elsewhere.txt"]}, "tokenizer": "other"}, True),  # what lies there decides
        ({"seed": 1}, False),
        ({"optim": {"clip": 0.5}}, False),
        ({"model": {"layers": 3}}, False),
        ({"train": {"precision": "bfloat16"}}, False),
    ],
)
def test_what_is_a_part_of_the_identity(run_options, change, same):
    before, after = (identity.of(options.model_dump(mode="json")) for options in (run_options(), run_options(**change)))
    assert (identity.stamped(before)["hash"] == identity.stamped(after)["hash"]) == same


def test_a_size_that_is_named_is_an_option_but_a_directory_is_not():
    def options(model):
        return identity.of(FinetuneOptions(model=model, task={"name": "nsmc"}).model_dump(mode="json"))["options"]

    assert options("a/bert") == options("b/bert") != options("bert:tiny") != options("bert:mini")


# -- another tokenizer, teacher, start, corpus, task -------------------------------------------------------------------------


@pytest.mark.parametrize("finished", [False, True])
def test_another_tokenizer_of_the_same_size_is_refused(run_options, other_tokenizer, tmp_path, monkeypatch, finished):
    begin(run_options(4), tmp_path / "run", finished, monkeypatch)
    with pytest.raises(OptionError, match="the tokenizer is another one"):
        pretrain(run_options(4, tokenizer=str(other_tokenizer)), tmp_path / "run", resume=True)


def test_a_tokenizer_that_was_replaced_in_its_place_is_refused(
    run_options, tokenizer_folder, other_tokenizer, tmp_path, monkeypatch
):
    shutil.copytree(tokenizer_folder, tmp_path / "tok")
    options = run_options(4, tokenizer=str(tmp_path / "tok"))
    begin(options, tmp_path / "run", False, monkeypatch)
    shutil.copytree(other_tokenizer, tmp_path / "tok", dirs_exist_ok=True)
    with pytest.raises(OptionError, match="the tokenizer is another one"):
        pretrain(options, tmp_path / "run", resume=True)


def begin(options, out, finished, monkeypatch):
    if finished:
        pretrain(options, out)
    else:
        interrupted(options, out, 2, monkeypatch)


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("role", "words"), [("teacher", "the teacher's weights differ"), ("start_from", "that it started from")]
)
def test_other_weights_of_a_teacher_or_a_start_are_refused(
    run_options, tokenizer_folder, tmp_path, monkeypatch, finished, role, words
):
    model = saved_model(tmp_path / "model", "bert", tokenizer_folder, context=32)
    family = student_family(str(model)) if role == "teacher" else "bert"
    values = run_options(4, family=family).model_dump() | {role: str(model), "model": {}, "tokenizer": None}
    options = RunOptions.model_validate(values)
    begin(options, tmp_path / "run", finished, monkeypatch)
    scaled(model)
    with pytest.raises(OptionError, match=words):
        pretrain(options, tmp_path / "run", resume=True)


@pytest.mark.parametrize("finished", [False, True])
def test_other_weights_or_examples_of_a_fine_tuning_are_refused(tokenizer_folder, tmp_path, monkeypatch, finished):
    model, data = saved_model(tmp_path / "bert", "bert", tokenizer_folder), reviews(tmp_path, 120)
    options = tuning(model, data, steps=4, epochs=None)
    tune(options, tmp_path / "run", finished, monkeypatch)
    text = data.read_text(encoding="utf-8")
    data.write_text(text.replace("나무", "바다"), encoding="utf-8")
    with pytest.raises(OptionError, match="the examples of its task have changed"):
        finetune(options, tmp_path / "run", resume=True)
    data.write_text(text, encoding="utf-8")
    scaled(model)
    with pytest.raises(OptionError, match="the weights that it started from are others"):
        finetune(options, tmp_path / "run", resume=True)


def tune(options, out, finished, monkeypatch):
    if finished:
        finetune(options, out)
    else:
        interrupted_tuning(options, out, 2, monkeypatch)


@pytest.mark.parametrize("side", ["en", "ko"])
def test_a_changed_side_of_a_translation_is_refused(tokenizer_folder, tmp_path, side):
    """A kind of task that reads two files."""
    from tests.conftest import sentences

    for language, seed in (("en", 1), ("ko", 2)):
        (tmp_path / f"pairs.{language}").write_text("\n".join(sentences(80, seed)) + "\n", encoding="utf-8")
    options = FinetuneOptions.model_validate(
        {
            "model": "transformer:tiny",
            "tokenizer": str(tokenizer_folder),
            "shape": {"width": 16, "heads": 2, "layers": 1, "decoder_layers": 1},
            "task": {"name": "translation", "data": str(tmp_path / "pairs"), "text": "en", "label": "ko"},
            "steps": 2,
            "translation": {"batch_tokens": 256, "beams": 1},
            "precision": "float32",
            "device": "cpu",
        }
    )
    finetune(options, tmp_path / "run")
    finetune(options, tmp_path / "run", resume=True)
    path = tmp_path / f"pairs.{side}"
    path.write_text(path.read_text(encoding="utf-8").replace("나무", "바다"), encoding="utf-8")
    with pytest.raises(OptionError, match="the examples of its task have changed"):
        finetune(options, tmp_path / "run", resume=True)


def test_a_finished_run_whose_corpus_is_gone_gives_its_result_and_says_so(run_options, corpus, tmp_path, capsys):
    copy = tmp_path / "copy.txt"
    shutil.copy(corpus, copy)
    options = run_options(2, data={"corpus": [str(copy)]})
    pretrain(options, tmp_path / "run")
    copy.unlink()
    assert pretrain(options, tmp_path / "run", resume=True).steps == 2
    assert "is not compared" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError):  # a name that is new
        pretrain(run_options(2, data={"corpus": [str(tmp_path / "typo.txt")]}), tmp_path / "run", resume=True)


def test_further_seeds_must_be_of_the_same_fine_tuning(tokenizer_folder, tmp_path):
    model, data = saved_model(tmp_path / "bert", "bert", tokenizer_folder), reviews(tmp_path, 120)
    options = tuning(model, data, steps=2, epochs=None)
    finetune_seeds(options, [0, 1], tmp_path / "run")
    with pytest.raises(OptionError, match=r"optim\.clip"):
        finetune_seeds(tuning(model, data, steps=2, epochs=None, optim={"clip": 0.5}), [2, 3], tmp_path / "run", resume=True)
    scaled(model)
    with pytest.raises(OptionError, match="the weights that it started from are others"):
        finetune_seeds(options, [2, 3], tmp_path / "run", resume=True)
    assert not (tmp_path / "run" / "seed-2" / "run.toml").exists()


# -- checkpoints of others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", ["another", "none"])
def test_a_checkpoint_of_another_run_is_refused(run_options, tmp_path, monkeypatch, stored):
    begin(run_options(4), tmp_path / "a", False, monkeypatch)
    begin(run_options(4, seed=1), tmp_path / "b", False, monkeypatch)
    copied = tmp_path / "a" / "checkpoints" / "step-3"
    shutil.copytree(tmp_path / "b" / "checkpoints" / "step-2", copied)
    if stored == "none":
        manifest = json.loads((copied / "manifest.json").read_text())
        del manifest["identity"]
        (copied / "manifest.json").write_text(json.dumps(manifest))
    words = "the seed" if stored == "another" else "only one"
    with pytest.raises(OptionError, match=f"step-3 is a checkpoint of another run .{words}"):
        pretrain(run_options(4), tmp_path / "a", resume=True)
    shutil.rmtree(copied)
    assert pretrain(run_options(4), tmp_path / "a", resume=True).steps == 4


def test_options_that_were_edited_in_the_record_are_refused(run_options, tmp_path, monkeypatch):
    begin(run_options(4), tmp_path / "run", False, monkeypatch)
    path = tmp_path / "run" / "run.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("weight_decay = 0.1", "weight_decay = 0.2"), encoding="utf-8")
    with pytest.raises(OptionError, match="changed by hand"):
        pretrain(run_options(4, optim={"weight_decay": 0.2}), tmp_path / "run", resume=True)


# -- runs from before ----------------------------------------------------------------------------------------------------------


def without_identity(out):
    """A run as an earlier version stored it."""
    record = run_directory.read(out)
    run_directory.write(out, {name: value for name, value in record.items() if name not in ("identity", "made", "files")})
    (out / "checkpoints" / "sources.json").unlink()
    for path in checkpoint.steps(out / "checkpoints"):
        manifest = json.loads((path / "manifest.json").read_text())
        del manifest["identity"]
        (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_run_without_an_identity_goes_on_and_says_what_was_not_compared(
    run_options, other_tokenizer, tmp_path, monkeypatch, capsys
):
    begin(run_options(4), tmp_path / "run", False, monkeypatch)
    without_identity(tmp_path / "run")
    with pytest.raises(OptionError, match="tokenizer: "):  # its name is all that there is
        pretrain(run_options(4, tokenizer=str(other_tokenizer)), tmp_path / "run", resume=True)
    pretrain(run_options(4), tmp_path / "run", resume=True)
    assert "did not store its tokenizer: not compared" in capsys.readouterr().out
    pretrain(run_options(4), tmp_path / "whole")
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


# -- budget and rate -----------------------------------------------------------------------------------------------------------


def test_a_lower_rate_is_noted_and_holds_from_there(run_options, tmp_path, monkeypatch):
    options = {"schedule": "constant", "warmup": 0.0}
    interrupted(run_options(6, optim=options), tmp_path / "run", 3, monkeypatch)
    pretrain(run_options(6, optim=options | {"lr": 1e-4}), tmp_path / "run", resume=True)
    record = run_directory.read(tmp_path / "run")
    assert record["changes"] == [{"step": 3, "option": "optim.lr", "after": 1e-4}]
    assert record["options"]["optim"]["lr"] == 1e-4
    rates = [line["lr"] for line in log.read(tmp_path / "run") if "loss" in line]
    assert rates == [1e-3] * 3 + [1e-4] * 3


@pytest.mark.parametrize("finished", [False, True])
def test_a_larger_budget_goes_on_from_the_last_checkpoint(run_options, tmp_path, monkeypatch, finished):
    optim = {"schedule": "constant", "warmup": 0.0}
    begin(run_options(4, optim=optim), tmp_path / "run", finished, monkeypatch)
    found = pretrain(run_options(7, optim=optim), tmp_path / "run", resume=True)
    record = run_directory.read(tmp_path / "run")
    at = 4 if finished else 2
    assert found.steps == 7 and record["result"]["steps"] == 7 and record["plan"]["steps"] == 7
    assert [(change["step"], change["option"], change["before"], change["after"]) for change in record["changes"]] == [
        (at, "budget.steps", 4, 7),
        (at, "plan.steps", 4, 7),
    ]
    pretrain(run_options(7, optim=optim), tmp_path / "whole")  # the schedule is constant, so nothing else differs
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert pretrain(run_options(7, optim=optim), tmp_path / "run", resume=True).steps == 7


def test_a_budget_in_another_unit_is_noted(run_options, tmp_path, monkeypatch):
    begin(run_options(8), tmp_path / "run", False, monkeypatch)
    options = run_options(8)
    options = options.model_copy(update={"budget": options.budget.model_validate({"tokens": 2000})})
    steps = pretrain(options, tmp_path / "run", resume=True).steps
    record = run_directory.read(tmp_path / "run")
    assert 2 < steps != 8 and record["options"]["budget"] == {"tokens": 2000}
    assert {change["option"] for change in record["changes"]} == {"budget.steps", "budget.tokens", "plan.steps"}


def test_what_would_have_no_effect_is_refused(run_options, tmp_path, monkeypatch):
    pretrain(run_options(4), tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    for changed, option in (({"optim": {"lr": 0.5}}, "optim.lr"), ({"steps": 3}, "out")):
        with option_error(option):
            pretrain(run_options(**{"steps": 4, **changed}), tmp_path / "run", resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    begin(run_options(4), tmp_path / "half", False, monkeypatch)
    with option_error("out"):
        pretrain(run_options(2), tmp_path / "half", resume=True)


def test_a_fine_tuning_goes_on_with_more_steps_and_another_rate(tokenizer_folder, tmp_path):
    model, data = saved_model(tmp_path / "bert", "bert", tokenizer_folder), reviews(tmp_path, 120)
    finetune(tuning(model, data, steps=4, epochs=None), tmp_path / "run")
    found = finetune(tuning(model, data, steps=8, epochs=None, optim={"lr": 1e-3}), tmp_path / "run", resume=True)
    record = run_directory.read(tmp_path / "run")
    assert found.steps == 8 and found.lr == 1e-3 and record["plan"]["lr"] == 1e-3
    noted = {change["option"]: (change["step"], change.get("before"), change["after"]) for change in record["changes"]}
    assert noted["steps"] == noted["plan.steps"] == (4, 4, 8) and noted["optim.lr"] == (4, None, 1e-3)
    assert noted["plan.lr"][2] == 1e-3
    assert [line["step"] for line in log.read(tmp_path / "run") if "loss" in line] == list(range(1, 9))


# -- the digest of weights ---------------------------------------------------------------------------------------------------


class Mixed(nn.Module):
    """A matrix that is shared, a transposed one, and a buffer without dimensions."""

    def __init__(self, dtype):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(3, 2, generator=random).to(dtype))
        self.turned = nn.Parameter(torch.randn(2, 5, generator=random).to(dtype).T)
        self.register_buffer("count", torch.tensor(7))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_digest_is_of_names_shapes_and_bytes(dtype):
    model, expected = Mixed(dtype), hashlib.sha256()
    for name, tensor in sorted(checkpoint.weights(model).items()):
        expected.update(f"{name} {tensor.dtype} {list(tensor.shape)}\0".encode())
        buffer = io.BytesIO()
        np.save(buffer, tensor.contiguous().view(torch.int16 if tensor.element_size() == 2 else tensor.dtype).numpy())
        expected.update(buffer.getvalue()[-tensor.nbytes :])
    assert identity.digest(model) == expected.hexdigest()
    with torch.no_grad():
        model.turned[4, 1] += 1
    assert identity.digest(model) != expected.hexdigest()
