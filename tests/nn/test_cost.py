"""The FLOPs of every family against torch's counter of operations, on documents that each have a row of their own."""

from dataclasses import replace

import pytest
import torch

from gyebo.models.family import FAMILIES, model_class
from gyebo.nn.cost import Workload
from tests.conftest import dropouts
from tests.operations import counted, counted_of_positions

LENGTHS = (9, 30, 52)  # of documents; the targets of translators are longer
IDS, SHARE = 61, 0.3  # of the positions, at which the output layer is computed


def tokens(length):
    return torch.randint(4, IDS, (1, length), generator=torch.Generator().manual_seed(length))


def small(family):
    """A tiny model without dropout."""
    cls = model_class(family)
    torch.manual_seed(0)
    model = cls(replace(cls.sizes["tiny"], vocab_size=IDS, **dropouts(family, 0.0)))
    if model.reads_characters:
        symbols, size = torch.arange(model.config.characters), torch.arange(IDS)[:, None] % 11 + 3
        model.spell(torch.where(symbols < size, 1 + (symbols + size) % 250, 261))
    return model


def outputs(model, hidden, count):
    """The sum of the logits of every head at the first `count` positions; the next sentence at the first one alone."""
    return sum(model.project(hidden[:, 0] if head == "nsp" else hidden[:, :count], head).sum() for head in model.heads)


def passes(model):
    """The workload of the documents, and a function that runs each alone and gives the sum of its logits."""
    counts = [max(1, round(SHARE * length)) for length in LENGTHS]
    rows = {head: len(LENGTHS) if head == "nsp" else sum(counts) for head in model.heads}
    if model.encodes_source:
        targets = [length + 5 for length in LENGTHS]
        work = Workload({"source": LENGTHS, "target": targets}, rows)
        given = [(tokens(source), None, tokens(target)) for source, target in zip(LENGTHS, targets)]
    else:
        given = [(tokens(length),) for length in LENGTHS]
        lengths = {"tokens": LENGTHS}
        if model.reads_characters:
            distinct = [ids.unique() for (ids,) in given]
            lengths["characters"] = [model.symbols_read(ids) for ids in distinct for _ in ids]
        work = Workload(lengths, rows)

    def encoded(one, count):
        asked = {"targets": torch.arange(one[0].shape[1])[None] < count} if model.has_query_stream else {}
        return model.encode(*one, **asked).hidden

    def run():
        return sum(outputs(model, encoded(one, count), count) for one, count in zip(given, counts))

    return work, run


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forward_pass_costs_what_torch_counts(family):
    """Within 1 % where a query stream is counted as if predicted tokens were spread evenly."""
    model = small(family)
    work, run = passes(model)
    with torch.no_grad():
        own = counted(run) - counted_of_positions(run)
        assert own == pytest.approx(model.flops(work), rel=0.01 if model.has_query_stream else 1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_costs_three_forward_passes(family):
    """Within 2 %: the first step of a recurrent layer has no gradient to the initial state. Vectors of relative positions have
    none either, so that their projection costs two forward passes."""
    model = small(family)
    work, run = passes(model)
    recurrent = model.carries_state or model.reads_characters or family == "seq2seq"
    own = counted(lambda: run().backward()) - 2 * counted_of_positions(run)
    assert own == pytest.approx(3 * model.flops(work), rel=0.02 if recurrent else 1e-9)


@pytest.mark.parametrize("family", ["gpt", "bert"])
def test_attention_is_the_square_of_each_document(family):
    """n tokens as one document cost 4 x width x layers x n^2 more than without attention, as k documents the k-th part."""
    model = small(family)
    layers, width = model.config.layers, model.config.width
    whole, apart = (model.flops(Workload({"tokens": lengths})) for lengths in ([60], [10] * 6))
    assert whole - apart == 4 * width * layers * (60**2 - 6 * 10**2)


def test_a_head_that_a_model_lacks_has_no_cost():
    with pytest.raises(KeyError, match="mlm"):
        small("gpt").flops(Workload({"tokens": [4]}, {"mlm": 2}))


def test_pairs_are_those_of_one_document():
    work = Workload({"source": [2, 3, 0], "target": [5, 0, 7]})
    assert (work.places("source"), work.documents("source"), work.pairs("source")) == (5, 2, 4 + 9)
    assert work.pairs("target", "source") == work.pairs("source", "target") == 10
