"""AdamW (Loshchilov & Hutter 2019), fused, Adafactor (Shazeer & Stern 2018) and Muon, with their state as named tensors;
gradual unfreezing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gyebo.config.errors import OptionError
from gyebo.config.run import OptimOptions
from gyebo.training import muon

ADAFACTOR_LR = 1e-2  # Shazeer & Stern 2018, section 9; T5's


def default_lr(width: int, optimizer: str = "adamw") -> float:
    """Default peak learning rate for a model of that width: 1e-3 up to 256, then proportional to 1 / sqrt(width). Adafactor's
    is relative to the size of the parameters, and does not depend on the width.

    Narrower models might train with more; with post-norm, a model at too large a rate does not get beyond unigram frequencies.
    """
    if optimizer == "adafactor":
        return ADAFACTOR_LR
    return float(f"{1e-3 * min(1.0, (256 / width) ** 0.5):.2g}")


def make_optimizer(model: Any, options: OptimOptions) -> torch.optim.Optimizer:
    """The optimiser that the options name. Weight decay is on matrices and embeddings only, not on biases and norms (one
    dimension).

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
    if options.name == "adafactor":
        assert options.beta2_decay is not None and options.eps2 is not None and options.clip_threshold is not None
        eps = (None, options.eps2)  # the first one is that of float32: it only keeps a division by zero away
        return torch.optim.Adafactor(groups, lr=0.0, beta2_decay=options.beta2_decay, eps=eps, d=options.clip_threshold)
    assert options.betas is not None and options.eps is not None
    if options.name == "muon":
        assert options.momentum is not None
        matrices = model.block_matrices()
        if not matrices:
            raise OptionError(f"‹optim.name›=muon: the blocks of {model.family} have no matrices, which it is for; use adamw")
        return muon.Muon(groups, matrices, momentum=options.momentum, betas=options.betas, eps=options.eps)
    return torch.optim.AdamW(groups, lr=0.0, betas=options.betas, eps=options.eps, fused=True)


def update_flops(model: Any, options: OptimOptions) -> float:
    """FLOPs of the matrix products of an update; only Muon has any."""
    return muon.update_flops(model.block_matrices()) if options.name == "muon" else 0.0


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


def _adamw_shapes(parameter: Tensor) -> dict[str, torch.Size]:
    """Number of steps, and the running means of the gradient and of its square."""
    return {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}


def _adafactor_shapes(parameter: Tensor) -> dict[str, torch.Size]:
    """Number of steps, and the running mean of the gradient's square: of a matrix only the means of its rows and columns."""
    shape, step = parameter.shape, {"step": torch.Size()}
    if parameter.ndim < 2:
        return step | {"variance": shape}
    return step | {"row_var": torch.Size((*shape[:-1], 1)), "col_var": torch.Size((*shape[:-2], 1, shape[-1]))}


def _muon_shapes(parameter: Tensor) -> dict[str, torch.Size]:
    """The momentum of a matrix."""
    return {muon.MOMENTUM: parameter.shape}


def _shapes(optimizer: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, torch.Size]:
    """The state that an optimiser keeps of a parameter: kind -> shape."""
    if isinstance(optimizer, torch.optim.Adafactor):
        return _adafactor_shapes(parameter)
    if isinstance(optimizer, muon.Muon) and parameter in optimizer.matrices:
        return _muon_shapes(parameter)
    return _adamw_shapes(parameter)


def load_state_tensors(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load what `state_tensors` returned; ValueError for a name that is missing, unexpected or of another shape. A parameter
    that was never updated has no state."""
    rest = dict(tensors)
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        expected = _shapes(optimizer, p)
        found = {kind: rest.pop(f"{kind}.{name}", None) for kind in expected}
        if all(value is None for value in found.values()):
            continue
        for kind, value in found.items():
            if value is None or value.shape != expected[kind]:
                raise ValueError(f"optimiser state {kind}.{name} is missing or not of shape {tuple(expected[kind])}")
            optimizer.state[p][kind] = value.to(p.device)
    if rest:
        raise ValueError(f"optimiser state has unknown entries: {', '.join(sorted(rest)[:3])}")
