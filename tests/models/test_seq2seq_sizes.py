"""Seq2seq: published sizes and counts, costs, groups of layers, refusals."""

from __future__ import annotations

import pytest
import torch

import gyebo
from gyebo.models.family import FAMILIES
from gyebo.models.seq2seq import Seq2seq, Seq2seqConfig
from gyebo.nn.cost import Workload
from tests.models.encoder_decoders import tokens
from tests.models.seq2seq_variants import ODD, VARIANTS, make
from tests.operations import counted


def numbers(inputs: int, width: int, gates: int) -> int:
    """Parameters of a cell: two matrices and two biases for each gate."""
    return gates * (inputs * width + width * width + 2 * width)


def test_the_published_shapes_have_their_counts():
    """Bahdanau et al.: 1000 units, embeddings of 620, a maxout of 500; Sutskever et al.: 64 million recurrent parameters."""
    sizes = FAMILIES["seq2seq"].sizes
    assert list(Seq2seq.sizes) == list(sizes)
    for size, count in sizes.items():
        with torch.device("meta"):
            assert Seq2seq(Seq2seq.sizes[size]).count_parameters() == count
    units, words, out, ids = 1000, 620, 500, 30_000
    recurrent = 2 * numbers(words, units, 3) + numbers(words + 2 * units, units, 3)
    looking = (units + 2 * units + 1) * units + units * units + units  # W, U and v; the bridge
    maxout = 2 * out * (units + words + 2 * units + 1)
    assert sizes["rnnsearch"] == ids * words + recurrent + looking + maxout + ids * (out + 1)
    recurrent = 8 * numbers(1000, 1000, 4)
    assert sizes["sutskever"] == recurrent + 2 * 80_000 * 1000 + 80_000
    assert abs(recurrent / 64e6 - 1) < 0.002
    width, ids = 512, 16_000  # small: two layers of an LSTM, two ways
    recurrent = 2 * numbers(width, width, 4) + 2 * numbers(2 * width, width, 4) + numbers(3 * width, width, 4)
    recurrent += numbers(width, width, 4)
    looking = (3 * width + 1) * width + 4 * (width + 1) * width
    assert sizes["small"] == ids * width + recurrent + looking + 2 * width * (4 * width + 1) + ids
    assert sizes["tiny"] < 1_000_000
    assert abs(sizes["mini"] / FAMILIES["transformer"].sizes["mini"] - 1) < 0.03


@pytest.mark.parametrize("name", ["none", "none-both-ways-lstm", "additive", "dot", "general", "general-fed-lstm", "concat"])
def test_flops_are_those_that_torch_counts(name):
    model, source, target = make(**{**VARIANTS[name], "layers": 2}), tokens(4, 16), tokens(4, 23)
    work = Workload({"source": [16] * 4, "target": [23] * 4}, {"lm": 4 * 10})
    with torch.no_grad():
        flops = counted(lambda: model.project(model.encode(source, None, target).hidden[:, :10]))
    assert model.flops(work) == pytest.approx(flops, rel=1e-9)


def test_layer_groups_go_from_input_to_output():
    model = make(layers=2)
    groups = model.layer_groups()
    assert [len(group) for group in groups] == [1, 8, 8, 4, 4, len(list(model.parameters())) - 25]
    assert groups[0][0] is model.token_embedding.weight and groups[3][0] is model.decoder[0].weight_ih_l0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cell": "rnn"}, "cell must be one of gru, lstm"),
        ({"attention": "local"}, "attention must be one of none, additive, dot, general, concat"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"embedding": 0}, "embedding must be at least 1"),
        ({"dropout": 1.0}, "dropout must be from 0"),
        ({"start_id": 53}, "start_id must be below vocab_size 53"),
        ({"attention": "none", "input_feeding": True}, "input_feeding has no effect where attention is none"),
        ({"input_feeding": True}, "input_feeding has no effect where attention is additive"),
        ({"reversed_source": True}, "reversed_source has no effect where bidirectional"),
        ({"attention": "general", "maxout": 5}, "maxout has no effect where"),
        ({"attention": "dot"}, "dot needs .*use general"),
        ({"embedding": 7, "attention": "general"}, "embedding.*7 and 11: .*tied"),
        ({"maxout": 5}, "11 and 5: .*tied"),
    ],
)
def test_bad_configs_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Seq2seqConfig(**{**ODD, **options})


def test_what_has_no_meaning_is_refused():
    model = make(attention="none")
    with pytest.raises(ValueError, match="at most 32 tokens"):
        model(tokens(1, 33))
    with pytest.raises(ValueError, match="return_attentions"):
        model(tokens(1, 3), output_attentions=True)
    cache = model.read_source(tokens(1, 3), slots=2)
    cache.attentions = []
    with pytest.raises(ValueError, match="this model has no attention.*no attention weights"):
        model.step(tokens(1), cache)


@torch.no_grad()
def test_the_decoder_begins_with_the_start():
    for ids, start in (({}, 1), ({"start_id": 4}, 4), ({"bos_id": None}, 0)):
        model = make(**ids)
        assert model.start_id == start
        assert torch.equal(model(tokens(2, 5)).logits, model(tokens(2, 5), None, torch.full((2, 1), start)).logits)


def test_exported():
    assert gyebo.Seq2seq is Seq2seq
