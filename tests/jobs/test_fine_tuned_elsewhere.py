"""What other jobs do with a fine-tuned model: replay it, or say in a line why it can't be used."""

import pytest
from rich.console import Console
from safetensors.torch import load_file, save_file

from gyebo.config.run import RunOptions
from gyebo.jobs.evaluate import evaluate
from gyebo.jobs.finetuning.run import finetune
from gyebo.jobs.pretraining.build import set_up
from gyebo.jobs.verify import verify
from gyebo.training import checkpoint
from tests.jobs.tuning_files import tuning


@pytest.fixture(scope="module")
def tuned(models, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("tuned") / "run"
    finetune(tuning(models("bert"), data), out)
    return out


def test_verify_replays_it_and_finds_a_changed_weight(tuned):
    quiet = Console(quiet=True)
    assert verify(tuned, quiet)
    last = checkpoint.steps(tuned / "checkpoints")[0]
    tensors = load_file(last / "model.safetensors")
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1e-3
    before = (last / "model.safetensors").read_bytes()
    save_file(tensors, last / "model.safetensors")
    assert not verify(tuned, quiet)
    (last / "model.safetensors").write_bytes(before)


@pytest.mark.parametrize("option", ["start_from", "teacher"])
def test_it_has_no_head_to_pretrain_with(tuned, corpus, tmp_path, option):
    values = {"family": "bert", "data": {"corpus": [str(corpus)]}, "budget": {"steps": 1}, option: str(tuned)}
    with pytest.raises(ValueError, match="was fine-tuned and has no head to pretrain with"):
        set_up(RunOptions.model_validate(values), tmp_path, None)


def test_it_scores_no_text(tuned, corpus):
    with pytest.raises(ValueError, match="was fine-tuned and has no head for text: name a task"):
        evaluate(str(tuned), [str(corpus)])
