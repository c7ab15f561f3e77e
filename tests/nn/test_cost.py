"""The FLOPs of every family against torch's counter of operations, on documents that each have a row of their own."""

from dataclasses import replace

import pytest
import torch

from gyebo.models.family import FAMILIES, model_class
from gyebo.nn.cost import Workload
from gyebo.objectives.table import OBJECTIVES
from tests.conftest import dropouts
from tests.operations import counted, counted_of_positions

LENGTHS = (9, 30, 52)  # of documents; the targets of translators are longer
# Of pictures, the families' own files in tests/models/ tell.
READING = [name for name, family in FAMILIES.items() if OBJECTIVES[family.objective].of == "text"]
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


FIRST = ("nsp", "match", "answer", "alignment")  # heads on the vector of the first token
REGIONS = (4, 1, 7)  # of the pictures beside the documents
AT_REGIONS = ("object", "attribute", "feature", "region")


def outputs(model, found, count):
    """The sum of the logits of every head at the first `count` positions, or at all regions; of a text at its first one."""
    hidden, total = found.hidden, 0
    for head in model.heads:
        if head == "alignment":
            rows = model.fuse(hidden[:, 0], found.region_hidden[:, 0])
        elif head in AT_REGIONS:
            rows = found.region_hidden
        else:
            rows = hidden[:, 0] if head in FIRST else hidden[:, :count]
        total = total + model.project(rows, head).sum()
    return total


def pictures(model):
    """The regions of a picture for each document, as `encode` takes them."""
    boxes = 4 if model.family == "lxmert" else 5
    return [
        {
            "visual_feats": torch.rand(1, count, model.config.feature_size),
            "visual_pos": torch.rand(1, count, boxes),
        }
        for count in REGIONS
    ]


def passes(model):
    """The workload of the documents, and a function that runs each alone and gives the sum of its logits."""
    counts = [max(1, round(SHARE * length)) for length in LENGTHS]
    rows = {head: len(LENGTHS) if head in FIRST else sum(counts) for head in model.heads}
    rows |= {head: sum(REGIONS) for head in model.heads if head in AT_REGIONS}
    seen = pictures(model) if model.sees else [{}] * len(LENGTHS)
    if model.encodes_source:
        targets = [length + 5 for length in LENGTHS]
        work = Workload({"source": LENGTHS, "target": targets}, rows)
        given = [(tokens(source), None, tokens(target)) for source, target in zip(LENGTHS, targets)]
    else:
        given = [(tokens(length),) for length in LENGTHS]
        lengths = {"tokens": LENGTHS} | ({"regions": REGIONS} if model.sees else {})
        if model.reads_characters:
            distinct = [ids.unique() for (ids,) in given]
            lengths["characters"] = [model.symbols_read(ids) for ids in distinct for _ in ids]
        work = Workload(lengths, rows)

    def encoded(one, picture, count):
        for values in picture.values():  # gradients of the features too, as of what any other layer reads
            values.requires_grad_(torch.is_grad_enabled())
        asked = {"targets": torch.arange(one[0].shape[1])[None] < count} if model.has_query_stream else {}
        return model.encode(*one, **asked, **picture)

    def run():
        return sum(outputs(model, encoded(one, picture, n), n) for one, picture, n in zip(given, seen, counts))

    return work, run


@pytest.mark.parametrize("family", READING)
def test_a_forward_pass_costs_what_torch_counts(family):
    """Within 1 % where a query stream is counted as if predicted tokens were spread evenly."""
    model = small(family)
    work, run = passes(model)
    with torch.no_grad():
        own = counted(run) - counted_of_positions(run)
        assert own == pytest.approx(model.flops(work), rel=0.01 if model.has_query_stream else 1e-9)


@pytest.mark.parametrize("family", READING)
def test_training_costs_three_forward_passes(family):
    """Within 2 %: the first step of a recurrent layer has no gradient to the initial state. Vectors of relative positions have
    none either, so that their projection costs two forward passes."""
    model = small(family)
    work, run = passes(model)
    recurrent = model.carries_state or model.reads_characters or family == "seq2seq"
    own = counted(lambda: run().backward()) - 2 * counted_of_positions(run)
    assert own == pytest.approx(3 * model.flops(work), rel=0.02 if recurrent else 1e-9)


@pytest.mark.parametrize("size", ["lxmert:base", "vilbert:base", "vilbert:tiny-one"])
def test_features_that_are_given_and_a_single_stream(size):
    family, _, size = size.partition(":")
    cls = model_class(family)
    small_ = {"vocab_size": IDS, "width": 24, "heads": 2, "inner": 20, "crop": None, "feature_size": 9}
    if family == "vilbert":
        small_ |= {"image_width": 16, "co_width": 8, "classes": 5}
    else:
        small_ |= {"objects": 5, "attributes": 7, "answers": 3}
    model = cls(replace(cls.sizes[size], **small_, **dropouts(family, 0.0)))
    work, run = passes(model)
    with torch.no_grad():
        assert counted(run) == pytest.approx(model.flops(work), rel=1e-9)
        texts = [tokens(length) for length in LENGTHS]
        alone = counted(lambda: [model.encode(ids) for ids in texts])
        assert alone == pytest.approx(model.flops(Workload({"tokens": LENGTHS})), rel=1e-9)


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
