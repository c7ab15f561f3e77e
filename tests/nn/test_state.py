"""A tree of named tensors: every leaf is reached, under its path, and comes back."""

import pytest
import torch

from gyebo.nn.state import each, leaves, tree

MEMORY = {
    "memory": {"keys": torch.arange(6.0).view(3, 2), "values": -torch.arange(3.0)},
    "filled": torch.tensor([True, False, True]),
}


def test_leaves_have_paths_and_come_back():
    found = leaves(MEMORY)
    assert list(found) == ["memory.keys", "memory.values", "filled"]
    assert found["memory.values"] is MEMORY["memory"]["values"]
    again = tree(found)
    assert again.keys() == MEMORY.keys() and again["memory"].keys() == MEMORY["memory"].keys()
    assert again["memory"]["keys"] is MEMORY["memory"]["keys"] and again["filled"] is MEMORY["filled"]


def test_a_function_is_given_the_leaves_of_the_same_place():
    halves = [each(lambda leaf, part=part: leaf[part], MEMORY) for part in (slice(0, 1), slice(1, 3))]
    assert [leaf.shape[0] for half in halves for leaf in leaves(half).values()] == [1, 1, 1, 2, 2, 2]
    joined = each(lambda *parts: torch.cat(parts), *halves)
    assert all(torch.equal(leaf, leaves(MEMORY)[path]) for path, leaf in leaves(joined).items())


def test_a_name_with_a_full_stop_would_not_come_back():
    with pytest.raises(AssertionError, match=r"a\.b"):
        leaves({"c": {"a.b": torch.zeros(1)}})
