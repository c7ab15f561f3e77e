"""The models that most tests of generation share."""

from __future__ import annotations

import pytest
from torch import nn

from gyebo.models.gpt import Gpt
from gyebo.models.gpt2 import Gpt2
from tests.generation.generation_models import make_pair


@pytest.fixture(scope="session", params=["gpt", "gpt2"])
def pair(request) -> tuple[Gpt, nn.Module]:
    return make_pair(request.param)


@pytest.fixture(scope="session")
def gpt2() -> Gpt2:
    return make_pair("gpt2")[0]
