"""Adaptive embedding and softmax against plain formulas, and in the families whose vocabulary may be divided."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gyebo.data.streams import TOKENS
from gyebo.interchange import load, save
from gyebo.jobs.model_building import grow_vocabulary
from gyebo.jobs.workload import workload_of
from gyebo.models.family import model_class
from gyebo.models.rnn import Lstm, RnnConfig
from gyebo.nn.adaptive import AdaptiveEmbedding, AdaptiveSoftmax, check_cutoffs
from gyebo.nn.cross_entropy import cross_entropy_each, cross_entropy_sum
from tests.operations import counted, counted_of_positions

SHAPES = {  # vocabulary, width, width of the short list's vectors, cutoffs, division
    "narrower": (41, 10, 8, (7, 19, 30), 2),
    "one table": (41, 10, 8, (7, 19), 1),
    "as wide": (41, 10, 10, (13,), 1),
    "no clusters": (41, 10, 8, (), 1),
}


@pytest.fixture(params=SHAPES)
def layers(request):
    """(embedding, softmax, shape) with random weights."""
    torch.manual_seed(0)
    shape = SHAPES[request.param]
    embedding, softmax = AdaptiveEmbedding(*shape), AdaptiveSoftmax(*shape)
    for module in (embedding, softmax):
        for parameter in module.parameters():
            parameter.data.normal_()
    softmax.tie(embedding, tables=True, projections=True)
    return embedding, softmax, shape


def cluster(id, cutoffs):
    """Its number."""
    return sum(id >= cutoff for cutoff in cutoffs)


def test_an_id_has_the_vector_of_its_cluster(layers):
    embedding, _, (vocabulary, width, _, cutoffs, division) = layers
    found = embedding(torch.arange(vocabulary).flip(0).view(1, -1)).flip(1)[0]
    assert found.shape == (vocabulary, width)
    for id in range(vocabulary):
        number = cluster(id, cutoffs) if division > 1 else 0
        vector = embedding.tables[number].weight[id - ([0, *cutoffs][number] if division > 1 else 0)]
        expected = embedding.projections[number] @ vector if len(embedding.projections) else vector
        torch.testing.assert_close(found[id], expected, atol=1e-5, rtol=1e-4)


def test_the_probability_of_an_id_is_that_of_its_cluster_times_that_within_it(layers):
    _, softmax, (vocabulary, width, _, cutoffs, division) = layers
    x = torch.randn(width)
    found = softmax(x).log_softmax(-1).exp()
    assert float(found.detach().sum()) == pytest.approx(1, abs=1e-5)
    bounds = [0, *cutoffs, vocabulary]

    def scores(number, first, end):
        layer = softmax.layers[number if division > 1 else 0]
        rows = slice(None) if division > 1 else slice(first, end)
        projected = x @ softmax.projections[number] if len(softmax.projections) else x
        return layer.weight[rows] @ projected + layer.bias[rows], projected

    head, projected = scores(0, 0, bounds[1])
    if cutoffs:
        head = torch.cat([head, softmax.clusters.weight @ projected + softmax.clusters.bias])
    head = head.softmax(0)
    for id in range(vocabulary):
        number = cluster(id, cutoffs)
        if number == 0:
            expected = head[id]
        else:
            inside = scores(number, bounds[number], bounds[number + 1])[0].softmax(0)
            expected = head[bounds[1] + number - 1] * inside[id - bounds[number]]
        torch.testing.assert_close(found[id], expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("missing", [False, True])
def test_losses_and_gradients_are_those_of_the_log_probabilities(layers, missing):
    """Also where a cluster has no label: its matrix has a gradient, of zeros."""
    embedding, softmax, shape = layers
    x = torch.randn(23, shape[1], requires_grad=True)
    labels = torch.randint(0, 12 if missing else 41, (23,))
    expected = F.cross_entropy(softmax(x), labels, reduction="none")
    torch.testing.assert_close(cross_entropy_each(x, softmax.weight, softmax.bias, labels), expected.detach())
    inputs = [x, *softmax.parameters()]
    wanted = torch.autograd.grad(expected.sum(), inputs)
    found = torch.autograd.grad(cross_entropy_sum(x, softmax.weight, softmax.bias, labels), inputs)
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    embedding(labels).sum().backward()
    assert all(p.grad is not None for p in embedding.parameters())
    assert not cross_entropy_sum(x[:0].detach(), softmax.weight, softmax.bias, labels[:0]).detach()


@pytest.mark.parametrize("width", [8, 10])
def test_smoothing_over_one_cluster_is_that_of_a_plain_softmax(width):
    torch.manual_seed(0)
    softmax = AdaptiveSoftmax(41, 10, width, (), 1)
    softmax.initialise(0.5, 0.5)
    x, labels = torch.randn(6, 10), torch.randint(0, 41, (6,))
    found = cross_entropy_sum(x, softmax.weight, None, labels, smoothing=0.1)
    expected = torch.nn.functional.cross_entropy(softmax(x), labels, reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(found, expected)


def test_smoothing_over_several_clusters_is_refused():
    softmax = AdaptiveSoftmax(41, 10, 8, (7,), 2)
    with pytest.raises(ValueError, match=r"smoothing=0\.1 is not defined for an adaptive softmax"):
        cross_entropy_sum(torch.zeros(1, 10), softmax.weight, None, torch.tensor([0]), smoothing=0.1)


@pytest.mark.parametrize("cutoffs", [(0,), (5, 5), (9, 4), (12,)])
def test_cutoffs_must_ascend(cutoffs):
    with pytest.raises(ValueError, match="cutoffs must ascend from 1 to below vocab_size 12"):
        check_cutoffs(12, cutoffs, 1, 8)


def made(family, **options):
    torch.manual_seed(0)
    cls = model_class(family)
    return cls(replace(cls.sizes["tiny"], vocab_size=41, cutoffs=(9, 20), division=2, dropout=0.0, **options)).eval()


@pytest.mark.parametrize("family", ["rnn", "lstm", "gru", "transformer_xl"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_with_clusters_comes_back_and_has_its_cost(family, tied, tmp_path):
    model = made(family, tied=tied)
    save(model, None, tmp_path)
    again, _ = load(tmp_path)
    ids, labels = torch.randint(41, (1, 17)), torch.randint(41, (17,))
    with torch.no_grad():
        hidden = model.encode(ids).hidden
        torch.testing.assert_close(again(ids).logits, model.project(hidden))
        ones = {"input_ids": ids.numpy(), "labels": labels[None].numpy(), "document_ids": np.ones((1, 17), np.int64)}
        work = workload_of(ones, (TOKENS,), model, lambda batch: {"lm": 17})
        run = lambda: cross_entropy_sum(*model.output_layer(model.encode(ids).hidden[0], "lm"), labels)  # noqa: E731
        assert counted(run) - counted_of_positions(run) == pytest.approx(model.flops(work), rel=1e-9)
    assert again.config == model.config


@pytest.mark.parametrize("family", ["lstm", "transformer_xl"])
@pytest.mark.parametrize("tied", [True, False])
def test_the_last_cluster_grows(family, tied):
    model, ids = made(family, tied=tied), torch.randint(41, (1, 9))
    before = model(ids).logits
    grow_vocabulary(model, 44)
    after = model(ids).logits
    assert after.shape[-1] == 44 == model.config.vocab_size
    torch.testing.assert_close(after[..., :20], before[..., :20])  # the clusters before
    assert torch.isfinite(model(torch.tensor([[43, 42]])).logits).all()
    assert (model.lm_head.layers[2].weight is model.token_embedding.tables[2].weight) == tied


def test_a_division_without_clusters_is_refused():
    with pytest.raises(ValueError, match="division 4 has no effect without cutoffs"):
        Lstm(RnnConfig(division=4))
