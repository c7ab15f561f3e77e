"""Small models of each family, with weights large enough that a wrong mask or position shows."""

from __future__ import annotations

import pytest
import torch

from gyebo.models.gpt import Gpt
from gyebo.models.gpt2 import Gpt2

ODD = {"vocab_size": 53, "context": 32, "width": 21, "layers": 3, "heads": 3, "init_std": 0.3}  # heads of width 7


@pytest.fixture(params=[Gpt, Gpt2], ids=["gpt", "gpt2"])
def cls(request):
    return request.param


@pytest.fixture
def build(cls):
    """build(seed=0, **options) -> a model of the family in evaluation mode, every tensor drawn at random."""

    def make(seed: int = 0, **options):
        torch.manual_seed(seed)
        model = cls(cls.config_class(**{**ODD, **options})).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1:
                    parameter.copy_(("norm.weight" in name) + 0.3 * torch.randn_like(parameter))
        return model

    return make


@pytest.fixture
def model(build):
    return build()
