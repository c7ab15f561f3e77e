"""What a recurrent model hands on from text to text: a tree of named tensors, rows first.

A dict of tensors, or of such dicts; its names and shapes are the model's own. Whoever carries it (training, evaluation) slices,
joins and stores its leaves and never looks inside: what a text without a past starts from is for `reset(state, which)` of the
model to say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

StateTree = dict[str, Any]  # name -> tensor [rows, ...] or another StateTree; no name holds a full stop


def each(function: Callable[..., Tensor], *states: StateTree) -> StateTree:
    """The tree of what a function makes of the leaves that stand at the same place of all states."""
    first, *others = states
    return {
        name: each(function, value, *(other[name] for other in others))
        if isinstance(value, dict)
        else function(value, *(other[name] for other in others))
        for name, value in first.items()
    }


def leaves(state: StateTree, prefix: str = "") -> dict[str, Tensor]:
    """The leaves by their path, names joined by full stops: {"memory": {"keys": k}} gives {"memory.keys": k}."""
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        assert "." not in name, f"a state's name holds a full stop: {name}"
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def tree(leaves: dict[str, Tensor]) -> StateTree:
    """The state of which `leaves` gives these."""
    state: StateTree = {}
    for path, tensor in leaves.items():
        *parents, name = path.split(".")
        inside = state
        for parent in parents:
            inside = inside.setdefault(parent, {})
        inside[name] = tensor
    return state
