"""The logit-Laplace distribution against torch's distributions."""

import torch
from torch.distributions import Laplace, SigmoidTransform, TransformedDistribution

from gyebo.nn.logit_laplace import inside, nats, outside


def test_it_is_a_laplace_distribution_of_the_logit():
    generator = torch.Generator().manual_seed(0)
    values, location, log_scale = torch.rand(3, 50, dtype=torch.float64, generator=generator)
    values = inside(values)
    reference = TransformedDistribution(Laplace(location, log_scale.exp()), SigmoidTransform())
    torch.testing.assert_close(nats(values, location, log_scale), -reference.log_prob(values), rtol=1e-10, atol=1e-10)


def test_its_density_is_that_of_a_distribution():
    grid = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    density = (-nats(grid, torch.tensor(0.7), torch.tensor(-0.5))).exp()
    assert abs(float(density.mean()) - 1) < 1e-4


def test_pixels_come_back():
    values = torch.arange(256, dtype=torch.float64) / 255
    assert float(inside(values).min()) == 0.1 and abs(float(inside(values).max()) - 0.9) < 1e-15
    torch.testing.assert_close(outside(inside(values)), values, rtol=0, atol=1e-14)
    assert outside(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]
