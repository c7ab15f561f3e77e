"""The cost function against torch's counter of operations."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from gyebo.models.gpt2 import Gpt2, Gpt2Config


@pytest.mark.parametrize("shape", [dict(width=24, layers=3, heads=4), dict(width=14, layers=1, heads=2, inner=33)])
def test_forward_and_backward_are_counted_exactly(shape):
    model = Gpt2(Gpt2Config(vocab_size=51, context=16, embedding_dropout=0, attention_dropout=0, residual_dropout=0, **shape))
    ids = torch.randint(51, (3, 10))
    with FlopCounterMode(display=False) as counter:
        # The naive path: its products are plain matrix products, which the counter sees.
        hidden = model.encode(ids, return_attentions=True).hidden
        logits = model.project(hidden)
    assert counter.get_total_flops() == model.flops(30, 10)
    with FlopCounterMode(display=False) as counter:
        logits.sum().backward()
    assert counter.get_total_flops() == 2 * model.flops(30, 10)
