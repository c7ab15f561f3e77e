"""AdamW (Loshchilov & Hutter 2019), fused; and its state as named tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gyebo.config.run import OptimOptions


def default_lr(width: int) -> float:
    """A peak rate that suits Adam on a Transformer of that width: 1e-3 up to 256, from there falling with its square root.

    Narrower models might bear more; with post-norm a rate too large leaves a model at the frequencies of single pieces.
    """
    return float(f"{1e-3 * min(1.0, (256 / width) ** 0.5):.2g}")


def make_optimizer(model: Any, options: OptimOptions) -> torch.optim.AdamW:
    """Decay on matrices and embeddings only; biases and norms (one dimension) have none.

    With `layer_decay` below 1 each of the model's `layer_groups()` learns at that share of the rate of the group after it
    (Howard & Ruder 2018, section 3.2); a group's "scale" is what the rate is multiplied with.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    layers = [learned] if options.layer_decay == 1.0 else learned_layers(model)
    groups = []
    for number, layer in enumerate(layers):
        scale = options.layer_decay ** (len(layers) - 1 - number)
        for matrices, decay in ((True, options.weight_decay), (False, 0.0)):
            params = [p for p in layer if (p.ndim >= 2) == matrices]
            if params:
                groups.append({"params": params, "weight_decay": decay, "scale": scale})
    return torch.optim.AdamW(groups, lr=0.0, betas=options.betas, eps=options.eps, fused=True)


def learned_layers(model: Any) -> list[list[nn.Parameter]]:
    """The model's `layer_groups()`, from input to output, without what is frozen and what that leaves empty."""
    groups = [[p for p in group if p.requires_grad] for group in model.layer_groups()]
    return [group for group in groups if group]


def thawed(groups: int, step: int, steps: int, share: float) -> int:
    """How many of the groups, from the head down, learn in update `step` (1 to `steps`): they begin one after the other, at
    equal distances, and after that share of the run all of them do (gradual unfreezing, Howard & Ruder 2018, 3.3)."""
    return sum(step > share * steps * number / max(1, groups - 1) for number in range(groups))


def state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as {"exp_avg.blocks.0...": tensor}."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        f"{kind}.{names[id(p)]}": value.contiguous() for p, state in optimizer.state.items() for kind, value in state.items()
    }


def load_state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put `state_tensors` back; ValueError for a name that is missing, extra or of another shape. A parameter that was never
    updated has no state."""
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
