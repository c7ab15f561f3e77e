"""Hidden units of feed-forward networks: read while a model runs, and held at a value.

A unit is what stands behind the activation, before the second matrix: `inner` of them in each network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor

from gyebo.nn.feedforward import FeedForward

Layers = Mapping[str, FeedForward]


@contextmanager
def units_read(layers: Layers) -> Iterator[dict[str, list[Tensor]]]:
    """Within it, every pass of one of the networks adds its units [..., inner] to the list of its name."""
    found: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keeping(name: str) -> Any:
        return lambda module, inputs: found[name].append(inputs[0].detach())

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.down.register_forward_pre_hook(keeping(name)).remove)
        yield found


@contextmanager
def units_held(layers: Layers, held: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Within it, some units of networks have given values at every place: name -> numbers of the units [n], values [n]."""

    def holding(units: Tensor, values: Tensor) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
            x = inputs[0].clone()
            x[..., units.to(x.device)] = values.to(x)
            return (x,)

        return hook

    with ExitStack() as hooks:
        for name, (units, values) in held.items():
            hooks.callback(layers[name].down.register_forward_pre_hook(holding(units, values)).remove)
        yield
