"""Random models of `transformers`, small and odd, with every tensor away from its initial value."""

from __future__ import annotations

import logging

import pytest
import torch
import transformers

SHAPE = {"vocab_size": 101, "n_positions": 24, "n_embd": 21, "n_layer": 2, "n_head": 3}  # 3 heads of width 7
CLASSES = {
    "gpt": (transformers.OpenAIGPTConfig, transformers.OpenAIGPTLMHeadModel, transformers.OpenAIGPTModel),
    "gpt2": (transformers.GPT2Config, transformers.GPT2LMHeadModel, transformers.GPT2Model),
}


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()


@pytest.fixture
def reference():
    """reference("gpt2", n_layer=1, ...) -> a model of transformers in evaluation mode; `body` leaves out the head."""

    def make(family: str, body: bool = False, seed: int = 0, **options):
        config_class, with_head, without = CLASSES[family]
        config = config_class(**{**SHAPE, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **options})
        config._attn_implementation = "eager"
        model = (without if body else with_head)(config).eval()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                gain = ".ln_" in name and name.endswith("weight")
                parameter.copy_(1 + 0.2 * noise if gain else 0.2 * noise)
        return model

    return make
