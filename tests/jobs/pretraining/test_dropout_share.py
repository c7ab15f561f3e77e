"""A training with less dropout than the model has, which the saved model keeps."""

import json

import pytest
import torch
from safetensors.torch import load_file

from gyebo.config.errors import OptionError
from gyebo.interchange import load
from gyebo.jobs.pretrain import pretrain
from gyebo.jobs.pretraining.build import set_up

STILL = {"embedding_dropout": 0.0, "attention_dropout": 0.0, "residual_dropout": 0.0}


def same(one, other):
    one, other = (load_file(out / "model.safetensors") for out in (one, other))
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_none_of_it_is_the_training_of_a_model_without(run_options, tmp_path):
    for name, more in (("share", {"train": {"dropout_share": 0.0}}), ("without", {"model": STILL}), ("with", {})):
        pretrain(run_options(4, family="bert", **more), tmp_path / name)
    assert same(tmp_path / "share", tmp_path / "without") and not same(tmp_path / "share", tmp_path / "with")
    kept, none = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("share", "without"))
    assert kept["hidden_dropout_prob"] == kept["attention_probs_dropout_prob"] == 0.1
    assert none["hidden_dropout_prob"] == none["attention_probs_dropout_prob"] == 0.0
    model, _ = load(tmp_path / "share")
    assert model.blocks[0].dropout == model.config.residual_dropout == 0.1


def test_a_share_is_of_every_place(run_options, tmp_path):
    model = set_up(run_options(4, family="bert", train={"dropout_share": 0.5}), tmp_path, None).make_model()
    assert {model.config.residual_dropout, model.config.attention_dropout, model.blocks[0].dropout} == {0.05}


def test_it_is_resumed_to_the_bit(run_options, tmp_path):
    options = {"family": "bert", "train": {"dropout_share": 0.5}, "optim": {"schedule": "constant", "warmup": 0.0}}
    pretrain(run_options(6, **options), tmp_path / "whole")
    pretrain(run_options(3, **options), tmp_path / "cut")
    pretrain(run_options(6, **options), tmp_path / "cut", resume=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert json.loads((tmp_path / "cut" / "config.json").read_text())["hidden_dropout_prob"] == 0.1
    with pytest.raises(OptionError, match="options"):
        pretrain(run_options(6, **options | {"train": {}}), tmp_path / "cut", resume=True)


def test_where_it_has_no_effect(run_options, tmp_path):
    with pytest.raises(OptionError, match=r"dropout_share=0 has no effect: this bert has no dropout"):
        set_up(run_options(4, family="bert", model=STILL, train={"dropout_share": 0.0}), tmp_path, None)
    pretrain(run_options(2, family="bert"), tmp_path / "run")
    options = run_options(4, family="bert", train={"dropout_share": 0.0})
    further = {"start_from": str(tmp_path / "run"), "tokenizer": None, "model": {}}
    with pytest.raises(OptionError, match=r"dropout_share=0 has no effect on start_from="):
        set_up(options.model_copy(update=further), tmp_path / "further", None)
