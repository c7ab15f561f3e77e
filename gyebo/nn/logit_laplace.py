"""The logit-Laplace distribution of pixel values (Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation", appendix A.3): the
logit of a value has a Laplace distribution, so that the value lies between 0 and 1, as a pixel's does.

Near 0 and 1 the density has no bound; pixel values are mapped into the inside of the interval before.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EDGE = 0.1  # how far the mapped values stay from 0 and 1


def inside(values: Tensor) -> Tensor:
    """Pixel values from 0 to 1 -> from 0.1 to 0.9."""
    return (1 - 2 * EDGE) * values + EDGE


def outside(values: Tensor) -> Tensor:
    """What `inside` gave -> pixel values; what lies beyond it becomes 0 or 1."""
    return ((values - EDGE) / (1 - 2 * EDGE)).clamp(0, 1)


def nats(values: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
    """-ln of the density of values between 0 and 1, elementwise: ln(2 b x (1 - x)) + |logit(x) - mu| / b, with the location mu
    and ln b. Below 0 where the density is above 1."""
    distance = (torch.logit(values) - location).abs() * (-log_scale).exp()
    return distance + log_scale + math.log(2) + (values * (1 - values)).log()
