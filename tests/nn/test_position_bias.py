"""Buckets of relative positions: the paper's, and the bias looked up pair by pair."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gyebo.nn.position_bias import bias_by_distance, bias_of_length, bucket_of

BOTH = [(0, 0), (-1, 1), (1, 17), (-7, 7), (-8, 8), (8, 24), (16, 26), (64, 30), (127, 31), (128, 31), (5000, 31), (-127, 15)]
CAUSAL = [(-15, 15), (-16, 16), (-17, 16), (-64, 26), (-112, 30), (-113, 31), (-9000, 31), (0, 0), (1, 0), (300, 0)]


@pytest.mark.parametrize(("distance", "bucket"), BOTH)
def test_buckets_of_an_encoder(distance, bucket):
    assert int(bucket_of(torch.tensor(distance), bidirectional=True, buckets=32, farthest=128)) == bucket


@pytest.mark.parametrize(("distance", "bucket"), CAUSAL)
def test_buckets_of_a_decoder(distance, bucket):
    assert int(bucket_of(torch.tensor(distance), bidirectional=False, buckets=32, farthest=128)) == bucket


@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (8, 20), (64, 256), (10, 33)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_those_of_transformers(bidirectional, buckets, farthest):
    T5Attention = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention
    distance = torch.arange(-700, 701)
    expected = T5Attention._relative_position_bucket(distance, bidirectional, buckets, farthest)
    assert torch.equal(bucket_of(distance, bidirectional=bidirectional, buckets=buckets, farthest=farthest), expected)


@given(length=st.integers(1, 12), bidirectional=st.booleans())
@settings(max_examples=20, deadline=None)
def test_every_pair_has_the_bias_of_its_distance(length, bidirectional):
    table = torch.randn(8, 3, requires_grad=True)
    options = {"bidirectional": bidirectional, "farthest": 9}
    found = bias_of_length(table, length, **options)
    places = torch.arange(length)
    expected = table[bucket_of(places[None] - places[:, None], buckets=8, **options)].permute(2, 0, 1)
    assert torch.equal(found, expected)
    slopes = torch.randn(3, length, length)
    grads = [torch.autograd.grad((bias * slopes).sum(), table)[0] for bias in (found, expected)]
    torch.testing.assert_close(*grads)
    assert torch.equal(bias_by_distance(table, 1 - length, 0, **options), found[:, -1])
