"""Scores by distance against the definition, entry by entry."""

import math

import pytest
import torch

from gyebo.nn.relative import distance_vectors, relative_shift, slide

SIZES = [(1, 1, 0, 2), (3, 3, 2, 6), (4, 9, 3, 12), (4, 9, 4, 17), (1, 7, 1, 9)]


@pytest.mark.parametrize("queries, keys, first, distances", SIZES)
def test_every_entry_is_that_of_its_distance(queries, keys, first, distances):
    scores = torch.randn(2, 3, queries, distances, requires_grad=True)
    found = relative_shift(scores, first, keys)
    assert found.shape == (2, 3, queries, keys)
    assert found.data_ptr() == scores.data_ptr() + scores.element_size() * first, "a view"
    for query in range(queries):
        for key in range(keys):
            assert torch.equal(found[..., query, key], scores[..., query, first - query + key])
    weights = torch.randn_like(found)
    expected = torch.zeros_like(scores)
    for query in range(queries):
        expected[..., query, first - query : first - query + keys] = weights[..., query, :]
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), scores)[0], expected)


def test_distances_that_are_missing_are_refused():
    with pytest.raises(ValueError, match="don't fit"):
        relative_shift(torch.zeros(1, 1, 4, 6), 3, 4)


@pytest.mark.parametrize("shape, keys", [((2, 3, 4, 9), 5), ((1, 6), 6), ((3, 2, 7), 1), ((0, 4, 5), 2)])
def test_queries_at_any_places_take_their_stretch(shape, keys):
    torch.manual_seed(0)
    scores = torch.randn(shape, requires_grad=True)
    starts = torch.randint(0, shape[-1] - keys + 1, shape[1:-1])
    found = slide(scores, starts, keys)
    index = starts.expand(shape[:-1])[..., None] + torch.arange(keys)
    expected = scores.gather(-1, index)
    assert torch.equal(found, expected)
    weights = torch.randn_like(found)
    first, second = (torch.autograd.grad((x * weights).sum(), scores)[0] for x in (found, expected))
    torch.testing.assert_close(first, second)
    turned = scores.detach().transpose(0, -2).contiguous().transpose(0, -2)  # not contiguous
    assert torch.equal(slide(turned, starts, keys), expected)


@pytest.mark.parametrize("width", [1, 6, 7])
@pytest.mark.parametrize("clamp", [None, 3])
def test_vectors_of_distances(width, clamp):
    found = distance_vectors(9, -5, width, clamp=clamp, device=torch.device("cpu"))
    assert found.shape == (15, width)
    sines = (width + 1) // 2
    for row, distance in enumerate(range(9, -6, -1)):
        told = distance if clamp is None else max(-clamp, min(clamp, distance))
        for i in range(width):
            pair = i if i < sines else i - sines
            expected = (math.sin if i < sines else math.cos)(told / 10_000 ** (2 * pair / width))
            assert float(found[row, i]) == pytest.approx(expected, abs=1e-6)
