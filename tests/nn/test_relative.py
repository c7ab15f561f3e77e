"""Scores by distance against the definition, entry by entry."""

import pytest
import torch

from gyebo.nn.relative import relative_shift

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
