from __future__ import annotations

import os

import pytest

from gyebo.text.tokenizer import Tokenizer
from tests.text.text_corpus import SIZES, trained

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(params=list(SIZES))
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A tokenizer of each kind."""
    return trained(request.param)


@pytest.fixture
def train():
    """train(kind, normalize): one tokenizer for all tests of the session."""
    return trained
