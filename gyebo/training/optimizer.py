"""AdamW (Loshchilov & Hutter 2019), fused, with its state as named tensors; gradual unfreezing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gyebo.config.run import OptimOptions


def default_lr(width: int) -> float:
    """Default peak learning rate for a model of that width: 1e-3 up to 256, then proportional to 1 / sqrt(width).

    Narrower models might train with more; with post-norm, a model at too large a rate does not get beyond unigram frequencies.
    """
    return float(f"{1e-3 * min(1.0, (256 / width) ** 0.5):.2g}")


def make_optimizer(model: Any, options: OptimOptions) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices and embeddings only, not on biases and norms (one dimension).

    With `layer_decay` below 1, each of the model's `layer_groups()` has that share of the learning rate of the group after it
    (Howard & Ruder 2018, section 3.2); "scale" of a parameter group is the factor on its learning rate.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    layers = [trained] if options.layer_decay == 1.0 else trained_layers(model)
    groups = []
    for number, layer in enumerate(layers):
        scale = options.layer_decay ** (len(layers) - 1 - number)
        for matrices, decay in ((True, options.weight_decay), (False, 0.0)):
            params = [p for p in layer if (p.ndim >= 2) == matrices]
            if params:
                groups.append({"params": params, "weight_decay": decay, "scale": scale})
    return torch.optim.AdamW(groups, lr=0.0, betas=options.betas, eps=options.eps, fused=True)


def trained_layers(model: Any) -> list[list[nn.Parameter]]:
    """The model's `layer_groups()`, from input to output, without frozen parameters and without empty groups."""
    groups = [[p for p in group if p.requires_grad] for group in model.layer_groups()]
    return [group for group in groups if group]


def unfrozen(groups: int, step: int, steps: int, share: float) -> int:
    """Number of groups, counted from the head down, that are trained in `step` (1 to `steps`): gradual unfreezing (Howard &
    Ruder 2018, 3.3). Groups are unfrozen one after the other, at equal intervals; all are after that share of the run."""
    return sum(step > share * steps * number / max(1, groups - 1) for number in range(groups))


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as {"exp_avg.blocks.0...": tensor}."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        f"{kind}.{names[id(p)]}": value.contiguous() for p, state in optimizer.state.items() for kind, value in state.items()
    }


def load_state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what `state_tensors` returned; ValueError for a name that is missing, unexpected or of another shape. A parameter
    that was never updated has no state."""
    rest = dict(tensors)
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        found = {kind: rest.pop(f"{kind}.{name}", None) for kind in ("step", "exp_avg", "exp_avg_sq")}
        if all(value is None for value in found.values()):
            continue
        for kind, value in found.items():
            if value is None or (kind != "step" and value.shape != p.shape):
                raise ValueError(f"optimiser state {kind}.{name} is missing or not of shape {tuple(p.shape)}")
            optimizer.state[p][kind] = value.to(p.device)
    if rest:
        raise ValueError(f"optimiser state has unknown entries: {', '.join(sorted(rest)[:3])}")
