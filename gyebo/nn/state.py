"""Carried state of a model, from row to row: a tree of named tensors, rows first.

A dict of tensors, or of such dicts; the model defines names and shapes. Training and evaluation slice, concatenate and store
the leaves without knowing what they mean: the initial state of rows without a past comes from the model's `reset`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

StateTree = dict[str, Any]  # name -> tensor [rows, ...] or another StateTree; names contain no full stop


def each(function: Callable[..., Tensor], *states: StateTree) -> StateTree:
    """Apply a function to the leaves at the same place of all states; returns the tree of the results."""
    first, *others = states
    return {
        name: each(function, value, *(other[name] for other in others))
        if isinstance(value, dict)
        else function(value, *(other[name] for other in others))
        for name, value in first.items()
    }


def leaves(state: StateTree, prefix: str = "") -> dict[str, Tensor]:
    """The leaves by path, names joined by full stops: {"memory": {"keys": k}} -> {"memory.keys": k}."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        assert "." not in name, f"the name of a state contains a full stop: {name}"
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def tree(leaves: dict[str, Tensor]) -> StateTree:
    """The inverse of `leaves`."""
    state: StateTree = {}
    for path, tensor in leaves.items():
        *parents, name = path.split(".")
        inside = state
        for parent in parents:
            inside = inside.setdefault(parent, {})
        inside[name] = tensor
    return state
