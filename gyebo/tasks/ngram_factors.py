"""How much the network's scores and those of its n-grams count in an answer: a factor of each, fitted on validation examples.

The two layers learn apart, so neither knows how sure the other is, and in their mean the surer one outvotes the other, right or
wrong. With factors under which the labels of examples that neither learned from are likeliest, each is as sure as it is right:
temperature scaling (Guo et al. 2017) of two models, or stacking (Wolpert 1992) with weights of at least 0 (Breiman 1996).

N examples, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gyebo.tasks.features import Features
from gyebo.tasks.heads.task_model import TaskModel
from gyebo.tasks.kinds.kind import stacked
from gyebo.tasks.prediction import outputs_of

Loss = Callable[[Tensor], Tensor]
MEAN = (0.5, 0.5)
# Standard deviation of the normal prior around the mean; without one, labels without errors would have no optimum.
SPREAD = 10.0
MOST_STEPS, MOST_HALVINGS = 100, 40
ENOUGH = 1e-12  # what another Newton step may promise, as a part of the loss


def fit_factors(model: TaskModel, features: Features, autocast: Callable[[], Any] = nullcontext) -> None:
    """Give a model the factors under which the labels of these examples are likeliest, whatever its factors were before.

    `features`: with n-grams and labels. The model reads n-grams, and is put into evaluation mode.
    """
    assert model.ngrams is not None
    form = model.form
    right = {name: torch.from_numpy(values) for name, values in features.fixed.items()}
    network, ngrams = parts_of(model, features, autocast)
    found = best_factors(lambda scores: form.loss(form.output(scores), right), network, ngrams)
    model.ngrams.factors = found.to(model.ngrams.idf)


def parts_of(model: TaskModel, features: Features, autocast: Callable[[], Any] = nullcontext) -> tuple[Tensor, Tensor]:
    """The scores [N, K] of the network alone and those of the n-grams alone, float64 on the CPU."""
    network, ngrams = outputs_of(model, model.form, features, autocast=autocast, of=lambda output: output.apart)
    return torch.from_numpy(stacked(network).astype(np.float64)), torch.from_numpy(stacked(ngrams).astype(np.float64))


def best_factors(loss: Loss, network: Tensor, ngrams: Tensor) -> Tensor:
    """The two factors, none negative, under which `loss` of the sum of both scores [N, K] is least: float64 [2].

    `loss` is a convex function of the scores, summed over the labels. It is never more than with the factors of the mean, which
    stay where scores of 0 would be best.
    """

    def cost(factors: Tensor) -> Tensor:
        prior = (factors - factors.new_tensor(MEAN)).square().sum() / (2 * SPREAD**2)
        return loss(factors[0] * network + factors[1] * ngrams) + prior

    mean = torch.tensor(MEAN, dtype=torch.float64)
    found = _minimum(cost, mean, free=(0, 1))
    if float(found.min()) < 0:
        # The cost is convex, so it is least on the border where its minimum lies outside, and there, too, 0 is best below 0.
        borders = []
        for place in (0, 1):
            start = mean.clone()
            start[place] = 0
            borders.append(_minimum(cost, start, free=(1 - place,)).clamp(min=0))
        found = min(borders, key=lambda factors: float(cost(factors)))
    return found if bool(found.any()) else mean


def _minimum(cost: Callable[[Tensor], Tensor], start: Tensor, free: Sequence[int]) -> Tensor:
    """Where a strictly convex function of a few numbers is least, of which only the `free` ones change: Newton's method, with
    steps that are halved until they lead down."""
    places, point = list(free), start.clone()
    with torch.enable_grad():
        for _ in range(MOST_STEPS):
            value, gradient, curvature = _derivatives(cost, point)
            step = torch.zeros_like(point)
            step[places] = -torch.linalg.solve(curvature[places][:, places], gradient[places])
            slope = float(gradient @ step)
            if not -slope > ENOUGH * (1 + abs(value)):
                break
            lengths = (0.5**halvings for halvings in range(MOST_HALVINGS))
            better = (
                point + length * step
                for length in lengths
                if float(cost(point + length * step)) < value + 1e-4 * length * slope
            )
            found = next(better, None)
            if found is None:
                break
            point = found
    return point


def _derivatives(cost: Callable[[Tensor], Tensor], point: Tensor) -> tuple[float, Tensor, Tensor]:
    """The value, the gradient [2] and the second derivatives [2, 2]."""
    point = point.clone().requires_grad_()
    value = cost(point)
    (gradient,) = torch.autograd.grad(value, point, create_graph=True)
    rows = [torch.autograd.grad(each, point, retain_graph=True)[0] for each in gradient]
    return float(value.detach()), gradient.detach(), torch.stack(rows)
