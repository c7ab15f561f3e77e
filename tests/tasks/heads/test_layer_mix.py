"""What a task reads of ELMo: the mixture by its equation, one layer alone, heads on it, and what stays as it is."""

from __future__ import annotations

import math

import pytest
import torch

from gyebo.models.elmo import Elmo, ElmoConfig
from gyebo.nn.cost import Workload
from gyebo.tasks.heads.layer_mix import LAYERS, Mix, check_layers
from gyebo.tasks.heads.task_model import add_head
from tests.operations import counted
from tests.tasks.head_outputs import check_padding_may_stand_anywhere, scores_of, tokens
from tests.tasks.heads.test_task_model import KINDS

SHAPE = {"vocab_size": 53, "context": 24, "symbols": 30, "characters": 6, "filters": (3, 4), "highways": 1}
SHAPE |= {"width": 10, "cells": 7, "layers": 2, "clip": 0.0, "dropout": 0.5, "init_std": 0.3}


def body(seed=0):
    torch.manual_seed(seed)
    model = Elmo(ElmoConfig(**SHAPE)).eval()
    model.spell(torch.randint(1, 30, (53, 6)))
    return model


def task(kind, layers=None, labels=None):
    model = add_head(body(), "mix", kind, {"classification": 5, "tagging": 4, "dependency": 3}.get(kind), layers=layers)
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
        if model.mix is not None:
            model.mix.scores.copy_(torch.tensor([0.3, -1.2, 2.0]))
            model.mix.gain.fill_(1.7)
    return model


def test_the_mixture_is_its_equation():
    mix, layers = Mix(3), [torch.randn(2, 4, 5) for _ in range(3)]
    assert torch.allclose(mix(layers), sum(layers) / 3)
    scores, gain = [0.5, -2.0, 1.0], -0.7
    with torch.no_grad():
        mix.scores.copy_(torch.tensor(scores))
        mix.gain.fill_(gain)
    total = sum(map(math.exp, scores))
    for place in ((0, 0, 0), (1, 3, 4), (0, 2, 1)):
        expected = gain * sum(math.exp(score) / total * float(layer[place]) for score, layer in zip(scores, layers))
        assert float(mix(layers)[place].detach()) == pytest.approx(expected, rel=1e-5)
    mix(layers).sum().backward()
    assert mix.scores.grad.abs().min() > 0 and mix.gain.grad.abs() > 0
    with pytest.raises(ValueError):
        mix(layers[:2])


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize("kind", ["classification", "choice", "tagging", "spans"])
@torch.no_grad()
def test_heads_on_what_is_read(kind, layers):
    model = task(kind, layers)
    ids = tokens(3, 2, 9) if kind == "choice" else tokens(3, 9)
    every = model.body.encode(ids.flatten(0, -2), return_layers=True).layers
    shares = 1.7 * torch.tensor([0.3, -1.2, 2.0]).softmax(0)
    read = {"mix": sum(share * layer for share, layer in zip(shares, every)), "static": every[0], "top": every[-1]}[layers]
    rows = read if kind in ("tagging", "spans") else read.max(1).values
    expected = rows @ model.head.out.weight.T + model.head.out.bias
    assert torch.allclose(scores_of(model(ids)), expected.view(3, 2) if kind == "choice" else expected, atol=1e-5)
    assert expected.std() > 0.05


@pytest.mark.parametrize("layers", LAYERS)
@torch.no_grad()
def test_flops_are_those_that_torch_counts(layers):
    """The LSTMs cost nothing where only token vectors are read; repeated tokens are computed once."""
    model, ids = task("classification", layers), tokens(3, 9)
    distinct = ids.unique()
    symbols = [model.body.symbols_read(distinct)] * len(distinct)
    work = Workload({"tokens": [9] * 3, "characters": symbols})
    assert len(distinct) < 27
    assert counted(lambda: model(ids)) == pytest.approx(model.flops(work), rel=1e-9)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dependency"])
@torch.no_grad()
def test_padding_may_stand_anywhere(kind):
    check_padding_may_stand_anywhere(task(kind), kind)


@torch.no_grad()
def test_static_vectors_do_not_see_the_sentence_and_the_others_do():
    ids, other = tokens(1, 9), tokens(1, 9)
    other[0, 1:] = (ids[0, 1:] + 1) % 50 + 3
    for layers in LAYERS:
        model = task("tagging", layers)
        moved = (model(ids).logits[0, 0] - model(other).logits[0, 0]).abs().max()
        assert (moved < 1e-6) == (layers == "static")


def test_a_frozen_body_is_read_without_dropout_and_gets_no_gradient():
    model, ids = task("tagging"), tokens(2, 9)
    model.head.p = 0.0
    assert not torch.equal(model.train()(ids).logits, model(ids).logits)  # the body's own dropout, while it may learn
    for parameter in model.body.parameters():
        parameter.requires_grad_(False)
    assert torch.equal(model.train()(ids).logits, model.eval()(ids).logits)
    model.train()(ids).logits.square().sum().backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {"mix.scores", "mix.gain", "head.out.weight", "head.out.bias"}
    last = {id(p) for p in model.layer_groups()[-1]}
    assert last == {id(p) for name, p in model.named_parameters() if name in learned}
    assert model.count_parameters() == sum(p.numel() for p in model.parameters())


def test_which_layers_is_a_choice_of_this_style_alone():
    assert check_layers("mix", None) == "mix" and check_layers("last", None) is None
    with pytest.raises(ValueError, match="layers must be one of mix, static, top"):
        add_head(body(), "mix", "tagging", 2, layers="all")
    with pytest.raises(ValueError, match=r"layers=top is for models whose layers are features \(ELMo\)"):
        check_layers("pooled", "top")
